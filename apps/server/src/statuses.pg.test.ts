import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  DEFAULT_POLICY,
  defaultGates,
  HELD_PREFIX,
  isEndedRevision,
  RING_CONTEXT,
  type CommitSha,
  type HostName,
  type RolloutPolicy,
  type StatusContext,
  type StatusState,
} from '@floe/model';
import { RevisionView } from '@floe/protocol';
import type { RevisionInList } from '@floe/store';
import { eventually, LocalForge } from '@floe/testkit';
import { describeRing, describeRollout } from '@floe/views';
import fc from 'fast-check';
import * as v from 'valibot';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { publishCommit, receiveCommit, system, type Content } from './test/commits.ts';
import { startTestServer, TestAgent, type TestHost, type TestServer } from './test/test-server.ts';

const stack = new AsyncDisposableStack();
let dataDir: string;
let forge: LocalForge;
let server: TestServer;
const hosts = new Map<string, TestHost>();

beforeAll(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'floe-statuses-'));
  stack.defer(async () => await rm(dataDir, { recursive: true, force: true }));
  forge = stack.use(new LocalForge({ projectRoot: dataDir, repository: 'ice/fleet', webhookSecret: 'w', token: 'test-secret' }));
  await forge.listen();
  await writeFile(join(dataDir, 'token'), 'test-secret');
  server = await start();
  for (const name of ['ada', 'bob']) hosts.set(name, await server.enrol(name));
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
  await stack.disposeAsync();
});

async function start(): Promise<TestServer> {
  const env = { FLOE_GITHUB_REPOSITORY: 'ice/fleet', FLOE_GITHUB_API_URL: forge.origin, FLOE_GITHUB_TOKEN_FILE: join(dataDir, 'token') };
  return await startTestServer({ dataDir, env });
}

async function restart(): Promise<void> {
  await server[Symbol.asyncDispose]();
  server = await start();
}

/** The newest revision of each commit; that one speaks for it. */
async function newestOfEach(): Promise<RevisionInList[]> {
  const all = (await server.context.store.revisions.list(server.repository.id, 100)).map(({ revision }) => revision);
  return all.filter(({ sha }, index) => all.findIndex((each) => each.sha === sha) === index);
}

async function evaluateState(revision: RevisionInList, held: CommitSha | undefined): Promise<StatusState> {
  if (revision.sha === held) return 'error';
  if (!isEndedRevision(revision.state) && revision.state !== 'BUILDING') return 'pending';
  if (revision.state === 'REJECTED' || revision.state === 'EVAL_FAILED') return 'failure';
  const evaluations = await server.context.store.revisions.evaluations(revision.id);
  if (revision.state === 'SUPERSEDED' && evaluations.length === 0) return 'error';
  return evaluations.some(({ outcome }) => outcome === 'EVAL_ERROR') ? 'failure' : 'success';
}

/** What is told of the commit, and untrue; undefined when there is nothing. */
async function untruth(
  revision: RevisionInList,
  rank: number,
  held: CommitSha | undefined,
  current: string | undefined,
): Promise<string | undefined> {
  const told = (context: StatusContext): StatusState | undefined => forge.statusOf(revision.sha, context)?.state as StatusState | undefined;
  const evaluate = await evaluateState(revision, held);
  // Of many that come at once the older are passed over: nothing is told of them, or the result of the same commit before stays.
  const isVerdict =
    told('floe/evaluate') !== 'pending' && forge.statusOf(revision.sha, 'floe/evaluate')?.description?.startsWith(HELD_PREFIX) !== true;
  const isPassedOver = rank >= 5 && isEndedRevision(revision.state) && isVerdict;
  if (told('floe/evaluate') !== evaluate && !isPassedOver) return `floe/evaluate is ${told('floe/evaluate')} instead of ${evaluate}`;
  if (isEndedRevision(revision.state) && told('floe/build') === 'pending') return 'floe/build is pending, and nothing is built';
  const ended = revision.state !== 'PUBLISHED' || revision.id !== current;
  const left = forge.statuses.filter(({ sha, context }) => sha === revision.sha && context.startsWith(RING_CONTEXT)).map(({ context }) => context);
  const pending = left.filter((context) => told(context as StatusContext) === 'pending');
  if (ended && isEndedRevision(revision.state) && pending.length > 0) return `${pending.join(', ')} is pending, and hosts follow another one`;
  const isFollowed = revision.state === 'PUBLISHED' && revision.id === current;
  if (!isFollowed && isEndedRevision(revision.state) && told('floe/rollout') === 'pending')
    return 'floe/rollout is pending, and hosts follow another one';
  if (!isFollowed) return undefined;
  const view = v.parse(RevisionView, await (await server.request(`/api/revisions/${revision.sha}`)).json());
  const { counts, state } = view.rollout ?? {};
  if (counts == null) return 'there is no rollout to be seen';
  const { rollout } = view;
  for (const ring of rollout === null || rollout.rings.length < 2 ? [] : rollout.rings) {
    const is = told(`${RING_CONTEXT}${ring.name}`);
    const should = rollout === null ? undefined : describeRing(ring, rollout).state;
    if (is !== should) return `ring ${ring.name} is ${is} instead of ${should}`;
  }
  if (state !== undefined && state !== 'ROLLING' && state !== 'COMPLETE' && state !== 'SOAKING') return undefined;
  const leaving = told('floe/rollout') === 'pending' ? counts.away : 0;
  const ofHosts = describeRollout(counts, {}, { isComplete: state === 'COMPLETE', leaving }).state;
  // Of several rings the last one has to have soaked.
  const isOnItsWay = state !== 'COMPLETE' && (rollout?.rings.length ?? 0) > 1;
  const wanted = isOnItsWay && ofHosts === 'success' ? 'pending' : ofHosts;
  return told('floe/rollout') === wanted ? undefined : `floe/rollout is ${told('floe/rollout')} instead of ${wanted}`;
}

async function allTrue(): Promise<void> {
  let found: readonly string[] = [];
  await eventually(
    'every commit is told truly',
    async () => {
      const { store } = server.context;
      const { held } = await store.repositories.get(server.repository.id);
      const current = (await store.hosts.fleet(server.repository.id)).rollout?.revisionId;
      const revisions = await newestOfEach();
      const all = await Promise.all(
        revisions.map(async (revision) => {
          const rank = (revisions[0]?.sequence ?? 0) - revision.sequence;
          const problem = await untruth(revision, rank, held?.commit, current);
          return problem === undefined ? [] : [`${revision.sha.slice(-3)} #${revision.sequence} ${revision.state}: ${problem}`];
        }),
      );
      found = all.flat();
      return found.length === 0 || undefined;
    },
    { timeoutMs: 8_000, explain: () => found.join('\n') },
  );
}

async function receiveAgain(sha: CommitSha): Promise<void> {
  const about = { subject: 'Again', authorName: 'Ada', authorEmail: 'ada@example.org', committedAt: 1 };
  await server.context.store.revisions.receive(server.repository.id, { sha, ...about, receivedAt: Date.now(), fetchedAt: Date.now() });
}

async function hold(commit: CommitSha | undefined): Promise<void> {
  const held = commit === undefined ? {} : { held: { commit, reason: 'the branch was rewritten' } };
  await server.context.store.repositories.recordFetch(server.repository.id, { now: Date.now(), ...held });
  await server.context.store.repositories.wake(server.repository.id);
}

async function advance(revision: RevisionInList, ...events: Parameters<TestServer['context']['store']['revisions']['advance']>[1][]): Promise<void> {
  for (const event of events) await server.context.store.revisions.advance(revision.id, event, Date.now(), `${event}, for a reason`);
}

/** With two rings; `soakMs` keeps it in the first. */
function twoRings(soakMs: number): RolloutPolicy {
  const rest = { soakMs, maxInFlight: undefined, windows: [], approvals: undefined, probes: [], pauseAfter: false };
  const ring = (index: number, names: readonly string[]) => ({
    ...defaultGates(index, 2),
    ...rest,
    name: index === 0 ? 'canary' : 'all',
    members: { hosts: names, labels: [], share: undefined },
  });
  return { ...DEFAULT_POLICY, rings: [ring(0, ['ada']), ring(1, [])] };
}

/** The host says what became of what it should run. */
async function report(name: string, state: 'SUCCEEDED' | 'ROLLED_BACK'): Promise<void> {
  const host = hosts.get(name) as TestHost;
  const before = await server.context.store.hosts.get(name as HostName);
  const toplevel = before?.desired?.toplevel;
  if (before === undefined || toplevel === undefined || before.revokedAt !== undefined) return;
  await using agent = await TestAgent.welcome(server.url, host, { reportSeq: before.reportSeq });
  const observed = state === 'SUCCEEDED' ? { current: toplevel, booted: toplevel, profile: { generation: 1, toplevel } } : before.observed;
  const seq = before.reportSeq + 1;
  agent.send({ type: 'report', seq, epoch: before.epoch, state, toplevel, observed, at: 1 });
  await agent.next('ack', (ack) => ack.seq === seq);
}

describe('no commit is told something false, or stays pending forever', () => {
  test('when five newer ones came and none of them was published', async () => {
    const followed = await publishCommit(server, { ada: system('first') });
    await allTrue();
    for (let count = 0; count < 6; count += 1) await advance(await receiveCommit(server), 'accepted', 'verified', 'evaluation-failed');
    await allTrue();
    await using agent = await TestAgent.welcome(server.url, hosts.get('ada') as TestHost);
    const observed = { current: system('first'), booted: system('first'), profile: { generation: 1, toplevel: system('first') } };
    agent.send({ type: 'report', seq: 1, epoch: 1, state: 'SUCCEEDED', toplevel: system('first'), observed, at: 1 });
    await eventually('its rollout is told as complete', () => forge.statusOf(followed.sha, 'floe/rollout')?.state === 'success' || undefined, {
      timeoutMs: 8_000,
      explain: () => JSON.stringify(forge.statusOf(followed.sha, 'floe/rollout')),
    });
    await allTrue();
  });

  test('when it was published, evaluated again and failed, or was overtaken then', async () => {
    const failing = await publishCommit(server, { ada: system('second'), bob: 'BUILD_ERROR' });
    await allTrue();
    await server.context.store.revisions.reopen(failing.id, Date.now());
    await allTrue();
    await server.context.store.revisions.saveEvaluations(failing.id, [{ host: 'bob' as HostName, outcome: 'UNCHANGED', toplevel: system('first') }]);
    await advance(failing, 'evaluation-failed');
    await allTrue();
    const overtaken = await publishCommit(server, { ada: system('third') });
    await allTrue();
    await server.context.store.revisions.reopen(overtaken.id, Date.now());
    await allTrue();
    await publishCommit(server, { ada: system('first') });
    await allTrue();
  });

  test('when it reaches one ring after another, pauses there, and is superseded', async () => {
    const ring = (sha: string, name: string) => {
      const status = forge.statusOf(sha, `${RING_CONTEXT}${name}`);
      return `${status?.state}: ${status?.description}`;
    };
    const first = await publishCommit(server, { ada: system('ringed'), bob: system('ringed') }, twoRings(0));
    await eventually('its rings are told', () => ring(first.sha, 'all') === 'pending: waits for ring canary' || undefined, {
      explain: () => ring(first.sha, 'all'),
    });
    await allTrue();
    expect(ring(first.sha, 'canary')).toMatch(/^pending: /);
    expect(forge.statuses.map(({ description }) => description)).not.toContain('no host of it changes');
    await report('ada', 'SUCCEEDED');
    await allTrue();
    await eventually('the canary ring is green', () => ring(first.sha, 'canary') === 'success: 1 of 1 verified' || undefined, {
      explain: () => ring(first.sha, 'canary'),
    });
    const second = await publishCommit(server, { ada: system('broken'), bob: system('broken') }, twoRings(0));
    await allTrue();
    expect(ring(first.sha, 'canary')).toBe('success: 1 of 1 verified');
    expect(ring(first.sha, 'all')).toMatch(/^error: superseded by ccc.*of 1 verified/);
    await eventually(
      'ada is told',
      async () => (await server.context.store.hosts.get('ada' as HostName))?.desired?.toplevel === system('broken') || undefined,
    );
    await report('ada', 'ROLLED_BACK');
    await eventually('it is paused', () => ring(second.sha, 'canary').startsWith('failure: paused: 1 host failed: ada') || undefined, {
      explain: () => ring(second.sha, 'canary'),
    });
    await allTrue();
    const third = await publishCommit(server, { ada: system('ringed'), bob: system('ringed') }, twoRings(0));
    await allTrue();
    expect(ring(second.sha, 'canary')).toMatch(/^failure: paused: 1 host failed: ada/);
    expect(ring(second.sha, 'all')).toMatch(/^error: superseded by /);
    expect(forge.statuses.filter(({ sha }) => sha === third.sha).length).toBeLessThan(20);
  });

  test('when it was held, and the branch was rolled back', async () => {
    const older = await publishCommit(server, { ada: system('first') });
    await publishCommit(server, { ada: system('second') });
    await allTrue();
    await hold(older.sha);
    await allTrue();
    await hold(undefined);
    await allTrue();
  });

  test('when it was held, and many newer ones came before anybody looked again', async () => {
    const older = await publishCommit(server, { ada: system('first') });
    await publishCommit(server, { ada: system('second') });
    await hold(older.sha);
    await allTrue();
    await hold(undefined);
    for (let count = 0; count < 7; count += 1) await receiveAgain(String(count).repeat(40) as CommitSha);
    await allTrue();
  });

  const step = fc.oneof(
    { weight: 3, arbitrary: fc.record({ do: fc.constant('push' as const), count: fc.constantFrom(1, 1, 2, 7) }) },
    {
      weight: 3,
      arbitrary: fc.record({
        do: fc.constant('publish' as const),
        policy: fc.constantFrom(undefined, twoRings(0), twoRings(3_600_000)),
        ada: fc.constantFrom('first', 'second', 'EVAL_ERROR', 'BUILD_ERROR', 'REMOVED'),
        bob: fc.constantFrom('first', 'second', 'EVAL_ERROR', 'BUILD_ERROR'),
      }),
    },
    {
      weight: 3,
      arbitrary: fc.record({
        do: fc.constant('move' as const),
        event: fc.constantFrom('accepted', 'verified', 'refused', 'evaluation-failed', 'evaluated', 'build-failed'),
      }),
    },
    {
      weight: 2,
      arbitrary: fc.record({ do: fc.constantFrom('reopen' as const, 'again' as const, 'hold' as const, 'unhold' as const), which: fc.nat(6) }),
    },
    {
      weight: 3,
      arbitrary: fc.record({
        do: fc.constant('report' as const),
        host: fc.constantFrom('ada', 'bob'),
        state: fc.constantFrom('SUCCEEDED' as const, 'ROLLED_BACK' as const),
      }),
    },
    { weight: 1, arbitrary: fc.record({ do: fc.constantFrom('revoke' as const, 'restart' as const), host: fc.constantFrom('ada', 'bob') }) },
  );

  const numRuns = fc.readConfigureGlobal().numRuns ?? 5;
  test('whatever comes after what', { timeout: 60_000 + 20_000 * numRuns }, async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.record({ step, isLookedAt: fc.boolean() }), { minLength: 1, maxLength: 8 }), async (steps) => {
        const { id } = server.repository;
        for (const { step: each, isLookedAt } of steps) {
          const { store } = server.context;
          const newest = await store.revisions.newest(id);
          switch (each.do) {
            case 'push':
              for (let count = 0; count < each.count; count += 1) await receiveCommit(server);
              break;
            case 'publish': {
              const content = (word: string): Content => (/^[A-Z]/.test(word) ? (word as Content) : system(word));
              await publishCommit(server, { ada: content(each.ada), bob: content(each.bob) }, each.policy);
              break;
            }
            case 'move':
              if (newest !== undefined) await advance(newest, each.event);
              break;
            case 'reopen':
              if (newest !== undefined) await store.revisions.reopen(newest.id, Date.now());
              break;
            case 'again':
            case 'hold': {
              const some = (await store.revisions.list(id, 7))[each.which]?.revision;
              if (some !== undefined) await (each.do === 'hold' ? hold(some.sha) : receiveAgain(some.sha));
              break;
            }
            case 'report':
              await report(each.host, each.state);
              break;
            case 'unhold':
              await hold(undefined);
              break;
            case 'revoke':
              await server.request(`/api/hosts/${each.host}/revoke`, { method: 'POST', body: JSON.stringify({ reason: 'stolen' }) });
              break;
            case 'restart':
              await restart();
          }
          if (isLookedAt) await allTrue();
        }
        await hold(undefined);
        await allTrue();
      }),
      { numRuns },
    );
  });
});
