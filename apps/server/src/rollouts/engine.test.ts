import { beginRollout, DEFAULT_POLICY, NO_ORDERS, NOTHING_OBSERVED, type HostName, type RolloutPolicy, type StorePath } from '@floe/model';
import type { CurrentRollout, Evaluation, FleetHost, RolloutDecided } from '@floe/store';
import { expect, test } from 'vitest';
import { engineOver, rolloutAt } from '../test/rollouts.ts';

const [ring] = DEFAULT_POLICY.rings;
if (ring === undefined) throw new Error('the default policy has a ring');
const POLICY: RolloutPolicy = { ...DEFAULT_POLICY, rings: ['canary', 'all'].map((name) => ({ ...ring, name })) };
const [canary, late] = ['canary-1', 'late-1'] as readonly string[] as readonly [HostName, HostName];
const evaluated = (host: HostName, name: string): Evaluation => ({ host, outcome: 'CHANGED', labels: [], ring: name });

/** A rollout that completes by the next decision, while a host is evaluated that moved. Its decision, stored. */
async function complete(
  loosens: CurrentRollout['orders']['approvals'][number]['loosens'],
  hosts: readonly FleetHost[] = [],
): Promise<RolloutDecided> {
  const saved: RolloutDecided[] = [];
  const course = { ...beginRollout(1), ring: 1 };
  const approval = { by: 'ada', role: 'administrator', reason: 'seen', at: 1, ring: 1, loosens } as const;
  // So it was when the fleet was read.
  const rollout = rolloutAt(course, POLICY, { orders: { ...NO_ORDERS, approvals: [approval] }, rings: new Map() });
  const engine = engineOver({
    now: 10,
    save: (decided) => saved.push(decided) > 0,
    evaluations: (id) => [evaluated(canary, 'canary'), evaluated(late, id === 'old' ? 'all' : 'canary')],
    lastComplete: { revisionId: 'old', policy: POLICY, known: [] },
  });
  await engine.tick({ rollout, hosts });
  const [decided, ...more] = saved;
  if (decided === undefined || more.length > 0) throw new Error('it decides once');
  return decided;
}

test('what a host loosens that is evaluated just before the end is approved first, or it is known to later commits where nobody looked', async () => {
  const held = await complete([]);
  expect([held.course.state, held.left]).toEqual(['WAITING_APPROVAL', undefined]);
  expect(held.weaker?.map(({ text }) => text)).toContain('1 host from ring all to ring canary: late-1');
  const approved = await complete(held.weaker?.map(({ id }) => id));
  expect([approved.course.state, approved.left?.hosts.map(({ host }) => host)]).toEqual(['COMPLETE', [canary, late]]);
});

test('a host that comes when its ring has passed joins the first ring that has not', async () => {
  const toplevel = `/nix/store/${'a'.repeat(32)}-new` as StorePath;
  const row = { host: canary, repositoryId: 'fleet', publicKey: 'key', epoch: 1, observed: NOTHING_OBSERVED, isConnected: true, reportSeq: 1 };
  const situation = { isRingPromoted: false, rollout: { id: 'r', host: canary, sequence: 3, toplevel }, quarantined: new Set() };
  const came = { row, situation, desired: { kind: 'nothing' }, quarantines: [], acknowledged: new Set() } as unknown as FleetHost;
  // Its own ring is the first one, and the rollout is at the second.
  expect((await complete([], [came])).rings).toEqual(new Map([[canary, 1]]));
});
