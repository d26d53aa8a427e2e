import type { HostName, RolloutPolicy } from '@floe/model';
import type { RolloutPlanView } from '@floe/protocol';
import { eventually } from '@floe/testkit';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { evaluateCommit, publishCommit, receiveCommit, system, type Content } from '../test/commits.ts';
import { policyOfRings } from '../test/rollouts.ts';
import { startTestServer, type TestServer } from '../test/test-server.ts';

// What is said of a rollout before it begins is what it is made of when it begins.

const HOSTS = ['ada', 'bob', 'eve', 'fox'] as const;
let server: TestServer;

beforeAll(async () => {
  server = await startTestServer({
    runPipeline: async (signal) => await new Promise((resolve) => signal.addEventListener('abort', () => resolve())),
  });
  // Complete, since nobody is enrolled yet: later policies are compared with this one.
  await publishCommit(
    server,
    Object.fromEntries(HOSTS.map((host) => [host, system(`0${host}`.replaceAll(/[eotu]/g, '0'))])),
    policyOf(['ada'], ['bob']),
  );
  await eventually('the first rollout is complete', async () => {
    const { rollout } = await server.context.store.hosts.fleet(server.repository.id);
    return rollout?.state === 'COMPLETE' ? true : undefined;
  });
  for (const host of HOSTS) await server.enrol(host);
  // Where a rollout stands when it is looked at is not what is compared.
  await server.context.store.rollouts.freeze(server.repository.id, { by: 'eve', reason: 'looked at', at: Date.now(), until: undefined });
});
afterAll(async () => await server[Symbol.asyncDispose]());

function policyOf(...members: readonly (readonly string[])[]): RolloutPolicy {
  return policyOfRings(['canary', 'office', 'all'], (index) => ({ members: { hosts: members[index] ?? [], labels: [], share: undefined } }));
}

const planOf = async (commit: string): Promise<RolloutPlanView> =>
  (await (await server.request(`/api/rollout/plan?commit=${commit}`)).json()) as never;
let made = 0;
function anySystem(): Content {
  made += 1;
  return system(`1${made}`);
}

const KINDS = ['system', 'system', 'system', 'EVAL_ERROR', 'BUILD_ERROR', 'NOT_BUILT_HERE', 'REMOVED', 'NOT_OURS'] as const;
const anyCommit = fc.record({
  contents: fc.tuple(...HOSTS.map(() => fc.constantFrom(...KINDS))),
  canary: fc.subarray([...HOSTS]),
  office: fc.subarray([...HOSTS]),
  soakMs: fc.constantFrom(0, 60_000),
  approvals: fc.constantFrom(undefined, { count: 1, role: 'approver' as const, notAuthor: false }),
  late: fc.subarray([...HOSTS]),
});

test('rings, hosts, gates and approvals are those with which it begins, whatever the commit has for its hosts', async () => {
  await fc.assert(
    fc.asyncProperty(anyCommit, async ({ contents, canary, office, soakMs, approvals, late }) => {
      const rings = policyOf(canary, office).rings.map((ring, index) => ({ ...ring, soakMs, approvals: index === 1 ? approvals : undefined }));
      const hosts = Object.fromEntries(HOSTS.map((host, index) => [host, contents[index] === 'system' ? anySystem() : (contents[index] as Content)]));
      const evaluated = { ...hosts, ...Object.fromEntries(late.map((host) => [host, 'NOT_EVALUATED'])) } as Record<string, Content>;
      const commit = await evaluateCommit(server, evaluated, { ...policyOf(canary, office), rings });
      const { sha } = commit.revision;
      const early = await planOf(sha);
      expect(early.unpublished).toMatchObject({ state: 'BUILDING', isListed: true, evaluating: late.length });
      expect(early.rings.flatMap((ring) => ring.hosts).filter((host) => late.includes(host as never))).toEqual([]);
      for (const host of late) await commit.evaluate(host, hosts[host] as Content);
      const before = await planOf(sha);
      const systems = HOSTS.filter((_, index) => contents[index] === 'system');
      // One that changes nobody waits until the rollout before it is over.
      const isFirst = (await server.context.store.hosts.fleet(server.repository.id)).rollout?.state === 'COMPLETE';
      const waits = systems.length > 0 || isFirst ? null : { for: 'same' };
      expect(before).toMatchObject({ state: 'NEXT', waits, unpublished: { evaluating: 0 } });
      expect(before.rings.flatMap((ring) => ring.hosts).toSorted()).toEqual(systems);
      if (systems.length === 0) return;
      await commit.publish();
      const after = await eventually('its rollout is under way', async () => {
        const plan = await planOf(sha);
        const { rollout } = await server.context.store.hosts.fleet(server.repository.id);
        return plan.state === 'PAUSED' && rollout?.weaker !== undefined ? plan : undefined;
      });
      expect(before.rings).toEqual(after.rings);
    }),
    { numRuns: 12 },
  );
}, 120_000);

test('a commit that was only taken in says that nothing is known of its hosts, and one that waits for another says for which', async () => {
  const older = await receiveCommit(server);
  expect(await planOf(older.sha)).toMatchObject({
    state: 'NEXT',
    rings: [],
    unpublished: { state: 'RECEIVED', text: 'received, about to be evaluated', isListed: false },
  });
  const { revisions, repositories } = server.context.store;
  const held = { commit: older.sha, reason: 'only 1 of 4 hosts are left', cause: { kind: 'shrink', gone: ['ada' as HostName] } } as const;
  for (const event of ['accepted', 'verified'] as const) await revisions.advance(older.id, event, Date.now());
  await revisions.noteError(older.id, `held: ${held.reason}`);
  await repositories.hold(server.repository.id, held, Date.now());
  expect(await planOf(older.sha)).toMatchObject({ rings: [], unpublished: { text: `held: ${held.reason}`, isListed: false } });
  await repositories.hold(server.repository.id, undefined, Date.now());
  await revisions.advance(older.id, 'evaluation-failed', Date.now(), 'broken');
  expect((await server.request(`/api/rollout/plan?commit=${older.sha}`)).status).toBe(409);
});
