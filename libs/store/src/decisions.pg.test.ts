import type { HostName, StorePath } from '@floe/model';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { DecisionIn, METHOD_KINDS } from './decisions.ts';
import type { AuditEntry, Release, Repository, Revision } from './records.ts';
import type { DecisionStore, Store } from './store.ts';
import { TABLE_NAMES } from './table-names.ts';
import {
  commit,
  newestRelease,
  newHost,
  newRepository,
  path,
  publishNext,
  receive,
  toBuilding,
  unique,
  type World,
  WORLDS,
} from './test/test-store.ts';

// Each decision that the store knows: it is stored with its entry in the log, or neither is, wherever it is cut off.

interface Subject {
  readonly world: World;
  readonly store: Store;
  readonly repository: Repository;
  readonly host: HostName;
  readonly revision: Revision;
  readonly toplevel: StorePath;
  readonly rolloutId: string;
  readonly release: Release;
}

type Groups = keyof typeof METHOD_KINDS;
type Act = (decisions: DecisionStore) => Promise<unknown>;
/** Prepares what the decision is about, and returns the decision. One that is missing does not compile. */
type Cases = { readonly [Group in Groups]: { readonly [Method in DecisionIn<Group> & string]: (about: Subject) => Promise<Act> | Act } };

const SHA = commit('9');
const said = { by: 'ada', reason: 'why', at: 5 };
const trialOf = ({ host, toplevel }: Subject) => ({ host, toplevel, sequence: 1, commit: SHA, envelope: '{}', ...said, endsAt: 9_000_000 });
const tokenOf = (name: string) => ({ name, role: 'administrator' as const, token: `secret of ${name}`, at: 1 });
const freeze = { by: 'ada', reason: 'why', at: 5, until: undefined };
const label = { label: 'role=dns', ...freeze };
const orderOf = (about: Subject) => ({ rolloutId: about.rolloutId, kind: 'hotfix' as const, role: 'administrator' as const, ...said });
const enrolmentOf = ({ host, repository }: Subject) => ({ host, repositoryId: repository.id, machineId: 'm', publicKey: 'another key', at: 7 });

const CASES: Cases = {
  server: {
    async setClockHigh({ store }) {
      const keys = { releaseKey: 'release', serverKey: 'server', mayReplaceKeys: false };
      await store.server.claim({ ...keys, place: 'here', process: 'one', description: 'a server', now: 5, deadBeats: undefined });
      return async ({ server }) => await server.setClockHigh(7);
    },
  },
  deliveries: {},
  releases: {},
  stable: {},
  signing: {},
  reports: {},
  outbox: {},
  notifications: {},
  audit: {},
  hostStatements: {},
  repositories: {
    async allow({ store, repository }) {
      await store.repositories.hold(repository.id, { commit: SHA, reason: 'hosts would go', cause: { kind: 'shrink', gone: [] } }, 5);
      return async ({ repositories }) => await repositories.allow(repository.id, SHA);
    },
  },
  revisions: {
    reopen:
      ({ revision }) =>
      async ({ revisions }) =>
        await revisions.reopen(revision.id, 60),
    async endOlder({ store, repository }) {
      // After three supersessions in a row the fourth is finished first, and the fifth waits.
      for (const each of ['a7', 'b7', 'c7']) await receive(store, repository, commit(each));
      await toBuilding(store, (await receive(store, repository, commit('d7'))).id);
      const { sha } = await receive(store, repository, commit('e7'));
      return async ({ revisions }) => await revisions.endOlder(repository.id, sha, 60);
    },
    async takeUp({ store, repository }) {
      const replaced = await receive(store, repository, commit('a8'));
      const newer = await receive(store, repository, commit('b8'));
      await store.revisions.advance(newer.id, 'refused', 60, 'its policy is not valid');
      return async ({ revisions }) => await revisions.takeUp(repository.id, replaced.id, 60);
    },
    async breakGlass({ store, repository }) {
      const refused = await receive(store, repository, commit('6'));
      await store.revisions.noteBelowFloor(refused.id, 'floor');
      await store.revisions.advance(refused.id, 'refused', 60, 'below the floor');
      return async ({ revisions }) => await revisions.breakGlass(refused.id, { ...said, role: 'administrator', person: 'ada' }, 2);
    },
  },
  rollouts: {
    async begin({ store, repository }) {
      // One without news waits for the rollout before it.
      await publishNext(store, repository, commit('8'), []);
      const { next } = await store.hosts.fleet(repository.id);
      if (next === undefined) throw new Error('none waits');
      return async ({ rollouts }) => await rollouts.begin(next, 70);
    },
    order:
      (about) =>
      async ({ rollouts }) =>
        await rollouts.order(orderOf(about)),
    freeze:
      ({ repository }) =>
      async ({ rollouts }) =>
        await rollouts.freeze(repository.id, freeze),
    async unfreeze({ store, repository }) {
      await store.rollouts.freeze(repository.id, freeze);
      return async ({ rollouts }) => await rollouts.unfreeze(repository.id, freeze);
    },
    stopLabel:
      ({ repository }) =>
      async ({ rollouts }) =>
        await rollouts.stopLabel(repository.id, label),
    async startLabel({ store, repository }) {
      await store.rollouts.stopLabel(repository.id, label);
      return async ({ rollouts }) => await rollouts.startLabel(repository.id, label);
    },
  },
  hosts: {
    orderQuarantine:
      ({ repository, host, revision }) =>
      async ({ hosts }) =>
        await hosts.orderQuarantine({ repositoryId: repository.id, host, commit: revision.sha, ...said }),
    async liftQuarantine({ store, repository, host, revision }) {
      const order = { repositoryId: repository.id, host, commit: revision.sha };
      await store.hosts.orderQuarantine({ ...order, ...said });
      return async ({ hosts }) => await hosts.liftQuarantine(order);
    },
    async rename({ store, repository, host }) {
      const to = newHost();
      await publishNext(store, repository, commit('5'), [to]);
      return async ({ hosts }) => await hosts.rename({ formerHost: host, host: to, publicKey: 'key', at: 60 });
    },
    enrol:
      (about) =>
      async ({ hosts }) =>
        await hosts.enrol(enrolmentOf(about)),
    revoke:
      ({ host }) =>
      async ({ hosts }) =>
        await hosts.revoke(host, 60),
    async forget({ store, host }) {
      await store.hosts.revoke(host, 60);
      return async ({ hosts }) => await hosts.forget(host);
    },
    async forgetLeft({ store, repository, revision }) {
      await store.hosts.ensure(repository.id, [newHost()]);
      return async ({ hosts }) => await hosts.forgetLeft(repository.id, revision.id);
    },
    markCloned:
      ({ host }) =>
      async ({ hosts }) =>
        await hosts.markCloned(host, 60),
    async clearCloned({ store, host }) {
      await store.hosts.markCloned(host, 60);
      return async ({ hosts }) => await hosts.clearCloned(host);
    },
    retry:
      ({ host, toplevel }) =>
      async ({ hosts }) =>
        await hosts.retry(host, toplevel),
    async deploy({ store, host, release }) {
      await store.hosts.desire([release], 60);
      return async ({ hosts }) => await hosts.deploy({ host, level: 'now', ...said, expiresAt: 9_000_000 }, release);
    },
    pin:
      ({ host, release: { id: releaseId } }) =>
      async ({ hosts }) =>
        await hosts.pin({ host, kind: 'pin', releaseId, ...said }),
    async unpin({ store, host, release }) {
      await store.hosts.pin({ host, kind: 'hold', releaseId: release.id, ...said });
      return async ({ hosts }) => await hosts.unpin(host, 'hold');
    },
    beginTrial:
      (about) =>
      async ({ hosts }) =>
        await hosts.beginTrial(trialOf(about)),
    async stopTrial(about) {
      const id = await about.store.hosts.beginTrial(trialOf(about));
      return async ({ hosts }) => await hosts.stopTrial({ host: about.host, id }, 'ended', 60);
    },
  },
  submissions: {
    request:
      ({ repository, host, toplevel }) =>
      async ({ submissions }) =>
        await submissions.request({ repositoryId: repository.id, host, toplevel, ...said }),
    async cancel({ store, repository, host, toplevel }) {
      await store.submissions.request({ repositoryId: repository.id, host, toplevel, ...said });
      return async ({ submissions }) => await submissions.cancel(host, 'ended', 60);
    },
  },
  handovers: {
    request:
      ({ repository, host, toplevel }) =>
      async ({ handovers }) =>
        await handovers.request({
          repositoryId: repository.id,
          contentHash: unique('hash'),
          commit: undefined,
          systems: new Map([[host, toplevel]]),
          by: 'ci',
          person: 'ci',
          at: 5,
        }),
  },
  testing: {
    begin:
      (about) =>
      async ({ testing }) =>
        await testing.begin({ repositoryId: about.repository.id, host: about.host, head: SHA, seenAt: 1, state: 'SEEN' }, trialOf(about)),
  },
  tokens: {
    createApiToken:
      () =>
      async ({ tokens }) =>
        await tokens.createApiToken(tokenOf(unique('token'))),
    async describeApiToken({ store }) {
      const [own, other] = [unique('token'), unique('token')];
      for (const name of [own, other]) await store.tokens.createApiToken(tokenOf(name));
      return async ({ tokens }) => await tokens.describeApiToken({ name: other, by: own, at: 5, person: unique('person') });
    },
    async revokeApiToken({ store }) {
      const [own, other] = [unique('token'), unique('token')];
      for (const name of [own, other]) await store.tokens.createApiToken(tokenOf(name));
      return async ({ tokens }) => await tokens.revokeApiToken({ name: other, by: own, now: 5 });
    },
    createEnrolmentToken:
      ({ host }) =>
      async ({ tokens }) =>
        await tokens.createEnrolmentToken(host, unique('secret'), 9_000_000),
    async voidEnrolmentTokens({ store, host }) {
      await store.tokens.createEnrolmentToken(host, unique('secret'), 9_000_000);
      return async ({ tokens }) => await tokens.voidEnrolmentTokens(host);
    },
  },
};

async function newSubject(world: World): Promise<Subject> {
  const { store } = world;
  const repository = await newRepository(store);
  const host = newHost();
  await store.hosts.enrol({ host, repositoryId: repository.id, machineId: 'm', publicKey: 'key', at: 1 });
  const revision = await publishNext(store, repository, commit('1'), [host]);
  const toplevel = path(`${host}-${revision.sequence}`);
  await store.revisions.saveEvaluations(revision.id, [{ host, outcome: 'CHANGED', toplevel, system: 'x86_64-linux' }]);
  const release = await newestRelease(store, repository, host);
  const { rollout } = await store.hosts.fleet(repository.id);
  if (release === undefined || rollout === undefined) throw new Error('it was published');
  return { world, store, repository, host, revision, toplevel, rolloutId: rollout.id, release };
}

/** All that the database has, where the test may look beside the store; else what the store tells. */
async function contents({ world, store, repository }: Subject, without: readonly string[] = []): Promise<string> {
  const logged = without.length > 0 ? [] : await store.audit.list({ limit: 1_000 });
  const { query } = world;
  if (query !== undefined) {
    const rows = TABLE_NAMES.filter((name) => !without.includes(name)).map(
      async (name) => await query(`select to_jsonb(t) as row from "${name}" t order by 1`),
    );
    return JSON.stringify([logged, await Promise.all(rows)]);
  }
  const told = await Promise.all([
    store.hosts.fleet(repository.id),
    store.repositories.get(repository.id),
    store.revisions.list(repository.id, 100),
    store.tokens.listApiTokens(),
    store.submissions.waiting(repository.id),
    store.handovers.waiting(repository.id),
    store.testing.list(repository.id),
  ]);
  return JSON.stringify([logged, told], (_, value: unknown) => (value instanceof Map || value instanceof Set ? [...value] : value));
}

const DECISIONS = Object.entries(CASES).flatMap(([group, methods]) =>
  Object.entries(methods as Readonly<Record<string, (about: Subject) => Promise<Act> | Act>>).map(([method, prepare]) => ({
    name: `${group}.${method}`,
    prepare,
  })),
);

/** Where it is cut off. */
const CRASHES: Readonly<Record<string, (store: Store, act: Act, entry: AuditEntry) => Promise<unknown>>> = {
  'before it is stored': async (store) =>
    await store.decide(async () => {
      await Promise.resolve();
      throw new Error('cut off');
    }),
  'before its entry': async (store, act) =>
    await store.decide(async (decisions) => {
      await act(decisions);
      throw new Error('cut off');
    }),
  // The log cannot take it: no time is so late.
  'in its entry': async (store, act, entry) =>
    await store.decide(async (decisions) => ({ result: await act(decisions), entries: [{ ...entry, at: 1e300 }] })),
  'after the first of two entries': async (store, act, entry) =>
    await store.decide(async (decisions) => ({ result: await act(decisions), entries: [entry, { ...entry, at: 1e300 }] })),
};

describe.each(WORLDS)('what is decided on $name', ({ open }) => {
  let world: World;
  beforeAll(async () => {
    world = await open();
  });
  afterAll(async () => await world[Symbol.asyncDispose]());

  test.each(DECISIONS)('$name is stored with its entry, or not at all', async ({ name, prepare }) => {
    const about = await newSubject(world);
    const { store } = world;
    const act = await prepare(about);
    const entry = { at: 5, actor: unique('ada'), action: name, subject: about.host, detail: 'why' };
    const before = await contents(about);
    const apart = await contents(about, ['audit_log']);
    for (const [where, crash] of Object.entries(CRASHES)) {
      await expect(crash(store, act, entry), where).rejects.toThrow();
      expect(await contents(about), where).toBe(before);
    }
    // Without an entry it was no decision.
    await store.decide(async (decisions) => ({ result: await act(decisions), entries: [] }));
    expect(await contents(about)).toBe(before);
    await store.decide(async (decisions) => ({ result: await act(decisions), entries: [entry] }));
    const [logged] = await store.audit.list({ limit: 1 });
    expect(logged).toMatchObject(entry);
    // The decision is there, too, and not its entry alone. What enrols cannot be seen without looking beside the store.
    if (world.query !== undefined) expect(await contents(about, ['audit_log'])).not.toBe(apart);
  });

  test('is in the log in the order in which it counts, also of two who decide at once', async () => {
    const about = await newSubject(world);
    const { repository, store } = about;
    const decide = async (by: string) =>
      await store.decide(async ({ rollouts }) => ({
        result: await rollouts.freeze(repository.id, { ...freeze, by }),
        entries: [{ at: 5, actor: by, action: 'pause-rollout', subject: repository.id, detail: '' }],
      }));
    await Promise.all(Array.from({ length: 10 }, async (_, n) => await decide(`person ${n}`)));
    const { rollout } = await store.hosts.fleet(repository.id);
    const [last] = await store.audit.list({ limit: 1, subject: repository.id });
    expect(rollout?.orders.freeze?.by).toBe(last?.actor);
  });
});
