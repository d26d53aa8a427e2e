import { DEFAULT_POLICY, NO_ORDERS, beginRollout, type RolloutFacts } from '@floe/model';
import { silentLogger, systemClock } from '@floe/runtime';
import type { AskedAnswer, CurrentRollout } from '@floe/store';
import { eventually, startHttpReceiver } from '@floe/testkit';
import { expect, test } from 'vitest';
import type { ConfiguredProbe } from './probes-config.ts';
import { Probes } from './probes.ts';

const rings = DEFAULT_POLICY.rings.map((ring) => ({ ...ring, probes: ['slow', 'errors', 'nowhere'].map((name) => ({ name, everyMs: 60_000 })) }));
const course = { ...beginRollout(1), state: 'ROLLING' as const };
const rollout = { id: 'r', revisionId: 'v', course } as CurrentRollout;
const facts = { policy: { ...DEFAULT_POLICY, rings }, hosts: [], orders: NO_ORDERS, probes: [] } as unknown as RolloutFacts;
const prometheus = (name: string, url: string): ConfiguredProbe => ({
  name,
  address: { kind: 'prometheus', url, query: 'up', max: 1, min: undefined, login: undefined },
});

function storeOf(claimed: readonly string[]) {
  const answered: (AskedAnswer & { readonly name: string })[] = [];
  const claims: string[] = [];
  return {
    answered,
    claims,
    rollouts: {
      claimProbe: async ({ name }: { readonly name: string }) => {
        claims.push(name);
        return await Promise.resolve(claimed.includes(name) ? undefined : 1);
      },
      answerProbe: async ({ name }: { readonly name: string }, _claim: number, answer: AskedAnswer) => {
        answered.push({ name, ...answer });
        return await Promise.resolve(true);
      },
    },
    revisions: { get: async () => await Promise.resolve(undefined) },
  };
}

test('a probe that is slow, or asked by another server, holds up no other, and one that the server does not have gives no answer', async () => {
  await using receiver = await startHttpReceiver();
  receiver.answer = (response, { path }) => {
    if (!path.startsWith('/slow')) response.end('{"status":"success","data":{"resultType":"scalar","result":[1,"0"]}}');
  };
  const store = storeOf([]);
  const configured = [prometheus('slow', `${receiver.url}/slow`), prometheus('errors', receiver.url)];
  const probes = new Probes({ probes: configured, store, clock: systemClock, random: () => 0, logger: silentLogger });
  const stopping = new AbortController();
  const running = probes.run(stopping.signal);
  expect(probes.look(rollout, facts, 10)).toBeUndefined();
  await eventually('two have answered', () => store.answered.length === 2 || undefined);
  expect(store.answered).toEqual(
    expect.arrayContaining([
      expect.objectContaining({ name: 'errors', verdict: 'good', value: '0' }),
      expect.objectContaining({ name: 'nowhere', verdict: 'unknown', detail: expect.stringContaining('slow, errors') as string }),
    ]),
  );
  // The slow one is asked already.
  probes.look(rollout, facts, 11);
  await eventually('the others are asked again', () => store.answered.length === 4 || undefined);
  expect(store.claims.filter((name) => name === 'slow')).toHaveLength(1);
  // It is cut off, and stores nothing: whoever runs next asks again.
  stopping.abort();
  await running;
  expect(store.answered.map(({ name }) => name)).not.toContain('slow');
});

test('what another server asks is not asked', async () => {
  const store = storeOf(['slow', 'errors', 'nowhere']);
  const probes = new Probes({ probes: [], store, clock: systemClock, random: () => 0, logger: silentLogger });
  const stopping = new AbortController();
  const running = probes.run(stopping.signal);
  probes.look(rollout, facts, 10);
  await eventually('it tried all', () => store.claims.length === 3 || undefined);
  stopping.abort();
  await running;
  expect(store.answered).toEqual([]);
});

test('it says when the next one is due, if time alone brings it', () => {
  const probes = new Probes({ probes: [], store: storeOf([]), clock: systemClock, random: () => 0, logger: silentLogger });
  const good = {
    ring: 0,
    number: 1,
    verdict: 'good',
    value: undefined,
    max: undefined,
    min: undefined,
    detail: '',
    tries: 0,
    isAcknowledged: false,
  } as const;
  const answers = ['slow', 'errors', 'nowhere'].map((name, index) => ({ ...good, name, askedAt: 10 + index }));
  expect(probes.look(rollout, { ...facts, probes: answers }, 20)).toBe(60_000 - 10);
  expect(probes.look({ ...rollout, course: { ...course, state: 'PAUSED' } }, facts, 20)).toBeUndefined();
});
