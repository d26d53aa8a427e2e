import type { AgentState, HostName, StorePath } from '@floe/model';
import { FleetView, RevisionView, type HostView } from '@floe/protocol';
import { attentionOf } from '@floe/views';
import * as v from 'valibot';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { eventually } from '@floe/testkit';
import { publishCommit, receiveCommit, system } from './test/commits.ts';
import { startTestServer, TestAgent, type TestServer } from './test/test-server.ts';

const [first, second] = [system('first'), system('second')];
let server: TestServer;

// One server for all: each test has a host of its own.
beforeAll(async () => {
  server = await startTestServer();
});
afterAll(async () => await server[Symbol.asyncDispose]());

/** Who needs a person; the test's server has no repository that it could reach. */
function called(view: FleetView) {
  return attentionOf({ ...view, repository: { ...view.repository, problem: null } });
}

async function fleet(): Promise<FleetView> {
  return v.parse(FleetView, await (await server.request('/api/fleet')).json());
}

/** The fleet, once the host stands so. */
async function standing(host: string, wanted: HostView['standing']): Promise<FleetView> {
  return await eventually(`${host} is ${wanted}`, async () => {
    const view = await fleet();
    return view.hosts.find((each) => each.host === host)?.standing === wanted ? view : undefined;
  });
}

let seq = 0;
async function say(agent: TestAgent, state: AgentState, toplevel: StorePath, runs: StorePath): Promise<void> {
  seq += 1;
  const sent = seq;
  const observed = { current: runs, booted: runs, profile: { generation: 1, toplevel: runs } };
  agent.send({ type: 'report', seq: sent, epoch: 1, state, toplevel, observed, detail: { code: 'X', message: 'no printer' }, at: 1 });
  await agent.next('ack', (message) => message.seq >= sent);
}

describe('where a host stands is what resolve() answers now', () => {
  test('a system that it rolled back, and that is wanted again after a revert, calls a person', async () => {
    await using agent = await TestAgent.welcome(server.url, await server.enrol('ada'));
    await publishCommit(server, { ada: first });
    await say(agent, 'SUCCEEDED', first, first);
    await publishCommit(server, { ada: second });
    await say(agent, 'ROLLED_BACK', second, first);
    await standing('ada', 'rolled-back');
    await publishCommit(server, { ada: first });
    await say(agent, 'SUCCEEDED', first, first);
    expect(called(await standing('ada', 'in-sync'))).toEqual([]);

    await publishCommit(server, { ada: second });
    const again = await standing('ada', 'rolled-back');
    expect(again.revision?.rollout?.description).toBe('0 of 1 host runs it, 1 rolled back: ada');
    expect(called(again)).toMatchObject([
      { subject: 'ada', message: expect.stringMatching(/no printer/) as string, todo: 'push a fix, or run: floe retry ada --reason "…"' },
    ]);
  });

  test('a blocked host, and one that somebody changed, are no longer under way on the commit either', async () => {
    await using agent = await TestAgent.welcome(server.url, await server.enrol('bob'));
    await publishCommit(server, { bob: first });
    await say(agent, 'BLOCKED', first, second);
    const blocked = await standing('bob', 'failed');
    expect(blocked.revision?.rollout).toMatchObject({ description: '0 of 1 host runs it, 1 failed: bob', counts: { failed: 1, 'under-way': 0 } });
    await say(agent, 'SUCCEEDED', first, first);
    await standing('bob', 'in-sync');
    await say(agent, 'SUCCEEDED', first, second);
    const drifted = await standing('bob', 'drifted');
    expect(drifted.revision?.rollout?.counts).toMatchObject({ drifted: 1, 'under-way': 0 });
  });

  test('with a commit that fails as a whole no host is shown as all well, until a good one is published', async () => {
    await using agent = await TestAgent.welcome(server.url, await server.enrol('cyd'));
    await publishCommit(server, { cyd: first });
    await say(agent, 'SUCCEEDED', first, first);
    await standing('cyd', 'in-sync');
    const { revisions } = server.context.store;
    const broken = await receiveCommit(server);
    for (const event of ['accepted', 'verified'] as const) await revisions.advance(broken.id, event, 1);
    await revisions.advance(broken.id, 'evaluation-failed', 1, 'flake.nix is no flake');
    const subjects = called(await standing('cyd', 'behind')).map(({ subject }) => subject);
    expect(subjects).toEqual(expect.arrayContaining(['revision', 'cyd']));
    // The mend is under way: what counts is the last that came to an end.
    await receiveCommit(server);
    await standing('cyd', 'behind');
    await publishCommit(server, { cyd: first });
    await standing('cyd', 'in-sync');
  });

  test('a host whose key two machines use, and that does not evaluate either, says both', async () => {
    await server.enrol('dan');
    await publishCommit(server, { dan: first });
    await publishCommit(server, { dan: 'EVAL_ERROR' });
    await server.context.store.hosts.markCloned('dan' as HostName, 1);
    const view = await standing('dan', 'cloned');
    expect(view.hosts.find(({ host }) => host === 'dan')?.problem).toMatch(/two machines.*\ndoes not evaluate: dan is broken/);
  });
});

test('a host is told with the commits that it runs and should run, and its reports with theirs', async () => {
  await using agent = await TestAgent.welcome(server.url, await server.enrol('fay'));
  const old = await publishCommit(server, { fay: first });
  await say(agent, 'SUCCEEDED', first, first);
  await standing('fay', 'in-sync');
  const newest = await publishCommit(server, { fay: second });
  await say(agent, 'DOWNLOADING', second, first);
  const host = async () => (await standing('fay', 'under-way')).hosts.find((each) => each.host === 'fay');
  const view = await eventually('the new one is desired', async () => ((await host())?.desired?.commit === newest.sha ? await host() : undefined));
  expect(view?.runs).toEqual({ commit: old.sha, sequence: old.sequence, subject: old.subject });
  expect(view?.desired?.subject).toBe(newest.subject);
  const reports: unknown = await (await server.request('/api/hosts/fay/reports')).json();
  expect(reports).toMatchObject([{ commit: { commit: newest.sha } }, { commit: { commit: old.sha, subject: old.subject } }]);
});

describe('what had come of a revision when a newer one took its place', () => {
  const list = async () => v.parse(v.array(RevisionView), await (await server.request('/api/revisions?limit=10')).json());

  test('stays: counts, names and reasons, whatever the hosts do since', async () => {
    await using agent = await TestAgent.welcome(server.url, await server.enrol('eve'));
    const good = await publishCommit(server, { eve: first });
    await say(agent, 'SUCCEEDED', first, first);
    await standing('eve', 'in-sync');
    const bad = await publishCommit(server, { eve: second, fay: 'BUILD_ERROR' });
    await say(agent, 'ROLLED_BACK', second, first);
    await standing('eve', 'rolled-back');
    const third = await publishCommit(server, { eve: system('third') });
    await say(agent, 'SUCCEEDED', system('third'), system('third'));
    await standing('eve', 'in-sync');

    const views = await list();
    const of = (sha: string) => views.find((each) => each.sha === sha);
    expect(of(good.sha)).toMatchObject({
      supersededBy: bad.sha,
      rollout: { counts: { total: 1, 'in-sync': 1 }, description: 'the only host runs it' },
    });
    const failed = of(bad.sha);
    expect(failed?.rollout).toMatchObject({
      counts: { total: 2, 'rolled-back': 1, behind: 1 },
      description: '0 of 2 hosts run it, 1 rolled back: eve, 1 behind: fay',
      hosts: [
        { host: 'eve', standing: 'rolled-back', reason: 'no printer' },
        { host: 'fay', standing: 'behind', reason: 'fay is broken' },
      ],
    });
    expect(failed?.rollout?.frozenAt).toBe(failed?.supersededAt);
    expect(of(third.sha)?.rollout?.frozenAt).toBeNull();
    const opened = v.parse(RevisionView, await (await server.request(`/api/revisions/${bad.sha}`)).json());
    expect(opened).toEqual(failed);
    const older = v.parse(v.array(RevisionView), await (await server.request(`/api/revisions?limit=1&before=${third.sequence}`)).json());
    expect(older.map(({ sha }) => sha)).toEqual([bad.sha]);
  });

  test('that nobody ever saw is no success, and not pending forever: it says what took its place', async () => {
    await server.enrol('gus');
    const unseen = await publishCommit(server, { gus: first });
    const next = await publishCommit(server, { gus: second });
    const view = (await list()).find(({ sha }) => sha === unseen.sha);
    expect(view?.rollout).toMatchObject({
      state: 'SUPERSEDED',
      counts: { away: 1 },
      description: `superseded by ${next.sha.slice(0, 7)}: 0 of 1 host runs it, 1 away`,
    });
  });
});
