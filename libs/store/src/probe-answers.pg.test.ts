import { DEFAULT_POLICY, type ProbeVerdict, type StoredAnswer } from '@floe/model';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { ProbeOfRing } from './rollout-records.ts';
import { commit, newHost, newRelease, newRepository, path, receive, toBuilding, type World, WORLDS } from './test/test-store.ts';

const LEASE_MS = 100;
const said = { value: '0.2', max: 0.1, min: undefined, detail: 'of the shop' };

describe.each(WORLDS)('answers of probes on $name', ({ name: kind, open }) => {
  let world: World;
  let repositoryId: string;
  let probe: ProbeOfRing;
  beforeAll(async () => void (world = await open()));
  afterAll(async () => await world[Symbol.asyncDispose]());
  beforeEach(async () => {
    const { store } = world;
    const repository = await newRepository(store);
    repositoryId = repository.id;
    const [host, revision] = [newHost(), await receive(store, repository, commit('a'))];
    await toBuilding(store, revision.id);
    const rings = DEFAULT_POLICY.rings.map((ring) => ({ ...ring, probes: [{ name: 'errors', everyMs: 60_000 }] }));
    await store.revisions.savePolicy(revision.id, { ...DEFAULT_POLICY, rings });
    await store.hosts.ensure(repositoryId, [host]);
    await store.releases.publish(revision.id, [newRelease(revision, host, path('x'))], 50);
    const { rollout } = await store.hosts.fleet(repositoryId);
    probe = { rolloutId: rollout?.id ?? '', ring: 0, name: 'errors' };
  });

  const answers = async (): Promise<readonly StoredAnswer[] | undefined> => (await world.store.hosts.fleet(repositoryId)).rollout?.probes;
  async function ask(verdict: ProbeVerdict, askedAt: number): Promise<void> {
    const claim = await world.store.rollouts.claimProbe(probe, askedAt, LEASE_MS);
    expect(await world.store.rollouts.answerProbe(probe, claim ?? 0, { ...said, verdict, askedAt })).toBe(true);
  }
  async function resume(number: number): Promise<void> {
    const by = { by: 'ada', role: 'operator', reason: 'seen', at: 1 } as const;
    await world.store.rollouts.order({ rolloutId: probe.rolloutId, kind: 'resume', subject: 1, answers: [{ ...probe, number }], ...by });
  }

  test('the last one is there, with how often it was asked in vain', async () => {
    expect(await answers()).toEqual([]);
    await ask('unknown', 1);
    await ask('unknown', 2);
    expect(await answers()).toMatchObject([{ verdict: 'unknown', number: 2, tries: 2 }]);
    await ask('bad', 3);
    const { rolloutId: _, ...about } = probe;
    expect(await answers()).toEqual([{ ...about, ...said, verdict: 'bad', number: 3, tries: 0, askedAt: 3, isAcknowledged: false }]);
  });

  test('a person acknowledges what was seen, and no answer that came since', async () => {
    await ask('unknown', 1);
    await ask('bad', 2);
    await resume(1);
    expect(await answers()).toMatchObject([{ number: 2, isAcknowledged: false }]);
    await resume(2);
    expect(await answers()).toMatchObject([{ number: 2, isAcknowledged: true }]);
    await ask('unknown', 3);
    expect(await answers()).toMatchObject([{ number: 3, isAcknowledged: false, tries: 1 }]);
  });

  test('one server asks at a time; the answer of one that was too slow is not stored over a newer one', async () => {
    const { rollouts } = world.store;
    const claims = await Promise.all([1, 2, 3].map(async () => await rollouts.claimProbe(probe, 10, LEASE_MS)));
    const [slow, ...others] = claims.filter((claim) => claim !== undefined);
    expect(others).toEqual([]);
    expect(await rollouts.claimProbe(probe, 10 + LEASE_MS, LEASE_MS)).toBeUndefined();
    const next = await rollouts.claimProbe(probe, 11 + LEASE_MS, LEASE_MS);
    expect(await rollouts.answerProbe(probe, slow ?? 0, { ...said, verdict: 'good', askedAt: 10 })).toBe(false);
    expect(await rollouts.answerProbe(probe, next ?? 0, { ...said, verdict: 'bad', askedAt: 120 })).toBe(true);
    expect(await answers()).toMatchObject([{ verdict: 'bad' }]);
    // A clock that was a year ahead keeps nobody from asking.
    await rollouts.claimProbe(probe, 1e12, LEASE_MS);
    expect(await rollouts.claimProbe(probe, 200, LEASE_MS)).toBeDefined();
  });

  test('whatever an answer says is stored', async () => {
    for (const detail of ['', '\u0000', 'x'.repeat(100_000), '\ud800', '🦊'.repeat(3000)]) {
      const claim = await world.store.rollouts.claimProbe(probe, 1, LEASE_MS);
      const answer = { verdict: 'bad', value: detail, max: 1e308, min: -1e308, detail, askedAt: 1 } as const;
      expect(await world.store.rollouts.answerProbe(probe, claim ?? 0, answer)).toBe(true);
      expect(await answers()).toMatchObject([{ verdict: 'bad', max: 1e308, min: -1e308 }]);
    }
  });

  test.runIf(kind === 'Postgres')('a row that cannot be read is no answer, and is replaced by the next one', async () => {
    await ask('good', 1);
    for (const [column, value] of Object.entries({ verdict: `'fine'`, number: '-1', asked_at: '-1', tries: '9007199254740993', max: `'NaN'` })) {
      await world.query?.(`update probe_answers set ${column} = ${value} where rollout_id = '${probe.rolloutId}'`);
      expect(await answers(), column).toEqual([]);
      await world.query?.(`update probe_answers set number = 1 where rollout_id = '${probe.rolloutId}'`);
      await ask('good', 2);
      expect(await answers(), column).toHaveLength(1);
    }
  });
});
