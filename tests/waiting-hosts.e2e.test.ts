import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Directive, ReleaseStatement, ReportView, type StorePath } from '@floe/protocol';
import { createHostIdentity, eventually, exampleFleetFiles, TestFleet, testNixSettings, type HostIdentity } from '@floe/testkit';
import * as v from 'valibot';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { FakeAgent } from './fake-agent.ts';

// Hosts of which the agents say that they wait, that their users keep another system, or that something failed.

const ada = createHostIdentity('ada', 'a'.repeat(32));
const bob = createHostIdentity('bob', 'b'.repeat(32));
const old = '/nix/store/00000000000000000000000000000000-old' as StorePath;

let fleet: TestFleet;
let sha: string;
const seqs = new Map<HostIdentity, number>();

async function enrol(identity: HostIdentity): Promise<void> {
  const { host, machineId, signer } = identity;
  const { token } = await fleet.enrolmentToken(host);
  const body = JSON.stringify({ token, host, machineId, publicKey: signer.publicKey, system: 'x86_64-linux' });
  await fetch(`${fleet.serverUrl}/api/enrol`, { method: 'POST', headers: { 'content-type': 'application/json' }, body });
  seqs.set(identity, 0);
}

async function connect(identity: HostIdentity, changes: Parameters<FakeAgent['hello']>[1] = {}): Promise<FakeAgent> {
  const agent = await FakeAgent.connect(fleet.serverUrl);
  await agent.hello(identity, { reportSeq: seqs.get(identity) ?? 0, ...changes });
  await agent.next('welcome');
  return agent;
}

/** The newest directive that the agent got, once it has `epoch` or a later one. */
async function told(agent: FakeAgent, epoch = 1): Promise<Directive & { readonly toplevel: StorePath }> {
  return await eventually(`a directive of epoch ${epoch} or later`, () => {
    const message = agent.messages.findLast((each) => each.type === 'directive');
    if (message?.type !== 'directive') return undefined;
    const open = (payload: string): unknown => JSON.parse(Buffer.from(payload, 'base64').toString('utf8'));
    const directive = v.parse(Directive, open(message.envelope.payload));
    const { toplevel } = v.parse(v.object({ toplevel: v.string() }), open(directive.release.payload));
    return directive.epoch >= epoch ? { ...directive, toplevel: toplevel as StorePath } : undefined;
  });
}

/** Reports, and waits until that is stored. */
async function say(agent: FakeAgent, identity: HostIdentity, directive: { epoch: number; toplevel: StorePath }, said: object): Promise<void> {
  const seq = (seqs.get(identity) ?? 0) + 1;
  seqs.set(identity, seq);
  const { epoch, toplevel } = directive;
  agent.send({ type: 'report', seq, epoch, toplevel, observed: on(old), at: 1, ...said });
  await eventually('it is acknowledged', () => (agent.messages.some((message) => message.type === 'ack' && message.seq === seq) ? true : undefined));
}

function on(toplevel: StorePath) {
  return { current: toplevel, booted: toplevel, profile: { generation: 1, toplevel } };
}

async function rolloutStatus(description: RegExp): Promise<string> {
  return await eventually(
    `the commit says ${description}`,
    () => {
      const found = fleet.forge.statusOf(sha, 'floe/rollout');
      return found !== undefined && description.test(found.description) ? found.state : undefined;
    },
    { explain: () => JSON.stringify(fleet.forge.statusOf(sha, 'floe/rollout')) },
  );
}

async function decide(path: string): Promise<[number, string]> {
  const answer = await fleet.request(path, { method: 'DELETE', body: JSON.stringify({ reason: 'because of a test' }) });
  return [answer.status, await answer.text()];
}

beforeAll(async () => {
  fleet = await TestFleet.create({
    hasPostgres: true,
    files: await exampleFleetFiles(),
    nixConfig: testNixSettings,
    serverEnv: { FLOE_REPOSITORY_TESTING_BRANCHES: '5' },
  });
  await fleet.startServer();
  sha = await fleet.git('-C', fleet.workTree, 'rev-parse', 'HEAD');
  await enrol(ada);
  await enrol(bob);
});
afterAll(async () => {
  await fleet[Symbol.asyncDispose]();
});

describe('a host that waits', () => {
  it('lets the rollout complete, is told as waiting, and is counted again when it goes on', async () => {
    await using adas = await connect(ada);
    await using bobs = await connect(bob);
    const [forAda, forBob] = [await told(adas), await told(bobs)];
    const detail = { code: 'WAITS_FOR_WINDOW', message: 'waits for its window, tonight at 22:00' };
    await say(adas, ada, forAda, { state: 'DEFERRED', detail });
    await say(bobs, bob, forBob, { state: 'SUCCEEDED', observed: on(forBob.toplevel) });
    expect(await rolloutStatus(/^1 of 3 hosts runs it, 1 waiting, 1 not enrolled$/)).toBe('success');
    expect(await fleet.hostView('ada')).toMatchObject({ standing: 'waiting', state: 'DEFERRED', problem: null, detail });
    expect((await fleet.revision(sha))?.rollout).toMatchObject({ state: 'COMPLETE', counts: { waiting: 1, 'under-way': 0 } });

    await say(adas, ada, forAda, { state: 'BOOT_STAGED', detail: { code: 'AWAITS_RESTART', message: 'with the next restart' } });
    expect(await fleet.hostView('ada')).toMatchObject({ standing: 'waiting', state: 'BOOT_STAGED' });
    // Started with it, it runs what it should; whether it works is not known yet.
    await say(adas, ada, forAda, { state: 'BOOT_VERIFYING', observed: on(forAda.toplevel) });
    expect(await rolloutStatus(/1 under way$/)).toBe('success');
    expect(await fleet.hostView('ada')).toMatchObject({ standing: 'under-way' });
    await say(adas, ada, forAda, { state: 'SUCCEEDED', observed: on(forAda.toplevel) });
    expect(await rolloutStatus(/^2 of 3 hosts run it, 1 not enrolled$/)).toBe('success');
    expect(await decide('/api/hosts/ada/quarantine')).toEqual([409, expect.stringContaining('ada is in sync') as string]);
  });
});

describe('a host that its user keeps on another system', () => {
  it('is told so, and goes on by the word of an administrator, once', async () => {
    const agent = await connect(ada, { observed: on(old), epoch: 1 });
    const directive = await told(agent);
    const detail = { code: 'LOCAL_OVERRIDE', message: 'its user went back to the system before' };
    await say(agent, ada, directive, { state: 'IDLE', detail });
    expect(await rolloutStatus(/1 kept by user/)).toBe('success');
    expect(await fleet.hostView('ada')).toMatchObject({ standing: 'local-override', problem: null, detail });
    expect(await decide('/api/hosts/ada/quarantine')).toEqual([409, expect.stringContaining('floe resume ada') as string]);
    await agent[Symbol.asyncDispose]();
    // It is a fact on its disk: asleep or not.
    await eventually('it is gone', async () => ((await fleet.hostView('ada')).isConnected ? undefined : true));
    expect((await fleet.hostView('ada')).standing).toBe('local-override');

    expect(await decide('/api/hosts/ada/override')).toEqual([204, '']);
    expect(await decide('/api/hosts/ada/override')).toEqual([409, expect.stringContaining('ALREADY_TOLD') as string]);
    expect((await fleet.hostView('ada')).standing).toBe('away');
    const before = { observed: on(old), state: 'IDLE', toplevel: directive.toplevel, epoch: directive.epoch } as const;
    // The connection breaks before the agent has it: told again, just so.
    await using deaf = await connect(ada, before);
    const first = await told(deaf, directive.epoch + 1);
    expect(first).toMatchObject({ isRetry: true, toplevel: directive.toplevel });
    expect((await fleet.hostView('ada')).standing).toBe('under-way');
    await using hearing = await connect(ada, before);
    const second = await told(hearing, first.epoch);
    expect(second.isRetry).toBe(true);
    await say(hearing, ada, second, { state: 'OFFERED' });

    // What its user chooses after that is theirs again.
    await say(hearing, ada, second, { state: 'IDLE', detail });
    expect((await fleet.hostView('ada')).standing).toBe('local-override');
    await using later = await connect(ada, { ...before, epoch: second.epoch });
    expect((await told(later)).isRetry).toBe(false);
    expect(fleet.server.log()).toMatch(/a decision".*"action":"resume"/);
  });
});

describe('a host that put a system back', () => {
  it('keeps the log of that with its report, for those who ask for it', async () => {
    await using agent = await connect(bob, { epoch: 1, observed: on(old) });
    const directive = await told(agent);
    await say(agent, bob, directive, { state: 'ROLLED_BACK', detail: { code: 'X', message: 'no printer' }, log: 'lp0 on fire\n' });
    const reports = v.parse(v.array(ReportView), await (await fleet.request('/api/hosts/bob/reports')).json());
    expect(reports[0]).toMatchObject({ state: 'ROLLED_BACK', hasLog: true });
    const path = `/api/hosts/bob/reports/${reports[0]?.series}/${reports[0]?.seq}/log`;
    expect(await (await fleet.request(path)).json()).toEqual({ log: 'lp0 on fire\n' });
    expect((await fleet.request(`/api/hosts/bob/reports/9/9/log`)).status).toBe(404);
    expect((await fetch(`${fleet.serverUrl}${path}`)).status).toBe(401);
    for (const list of ['/api/hosts', '/api/fleet', '/api/hosts/bob', '/api/hosts/bob/reports']) {
      expect(await (await fleet.request(list)).text()).not.toContain('lp0 on fire');
    }

    expect((await fleet.hostView('bob')).standing).toBe('rolled-back');
    expect(await decide('/api/hosts/bob/quarantine')).toEqual([204, '']);
    expect(await told(agent, directive.epoch + 1)).toMatchObject({ isRetry: true });
    expect((await fleet.hostView('bob')).standing).toBe('under-way');
    await fleet.request('/api/hosts/bob/enrolment', { method: 'DELETE', body: JSON.stringify({ reason: 'sold' }) });
    expect(await decide('/api/hosts/bob/quarantine')).toEqual([409, expect.stringContaining('floe enrol bob') as string]);
    expect(await decide('/api/hosts/cyd/quarantine')).toEqual([409, expect.stringContaining('HOST_NOT_ENROLLED') as string]);
    expect(await decide('/api/hosts/zoe/override')).toEqual([404, expect.stringContaining('HOST_UNKNOWN') as string]);
  });
});

describe('a branch testing/<host>', () => {
  /** Commits on top of the tracked branch, and pushes that to the host's branch alone. */
  async function pushFor(host: string, files: Readonly<Record<string, string>>): Promise<string> {
    await fleet.git('-C', fleet.workTree, 'checkout', '-q', '--detach', 'main');
    for (const [path, text] of Object.entries(files)) await writeFile(join(fleet.workTree, path), text);
    await fleet.git('-C', fleet.workTree, 'add', '-A');
    await fleet.git('-C', fleet.workTree, 'commit', '-q', '-m', `For ${host} alone`);
    await fleet.git('-C', fleet.workTree, 'push', '-q', '--force', 'origin', `HEAD:refs/heads/testing/${host}`);
    return await fleet.git('-C', fleet.workTree, 'rev-parse', 'HEAD');
  }

  async function trialStatus(head: string, description: RegExp): Promise<string> {
    return await eventually(
      `the commit says ${description}`,
      () => {
        const found = fleet.forge.statusOf(head, 'floe/trial');
        return found !== undefined && description.test(found.description) ? found.state : undefined;
      },
      { explain: () => `${JSON.stringify(fleet.forge.statusOf(head, 'floe/trial'))}\n${fleet.server.log()}` },
    );
  }

  function releaseOf(directive: Directive): ReleaseStatement {
    return v.parse(ReleaseStatement, JSON.parse(Buffer.from(directive.release.payload, 'base64').toString('utf8')));
  }

  it('has that host alone try its head, whatever policy is in it, and ends with the branch', async () => {
    const capabilities = ['permit', 'stage', 'trial', 'urgent', 'once'];
    await using agent = await connect(ada, { epoch: 10, observed: on(old), capabilities });
    const before = await told(agent);
    const host = await readFile(join(fleet.workTree, 'hosts/ada.nix'), 'utf8');
    const head = await pushFor('ada', { 'hosts/ada.nix': host.replace('"laptop', '"tried'), 'floe.nix': '{ rings = 7; }' });
    expect(await trialStatus(head, /^ada is asked to try it until .* UTC; the rollout policy in it is not used$/)).toBe('pending');
    const trial = await told(agent, before.epoch + 1);
    expect(releaseOf(trial)).toMatchObject({ purpose: 'test', commit: head, ref: 'refs/heads/testing/ada', host: 'ada' });
    await say(agent, ada, trial, { state: 'TRYING', observed: on(trial.toplevel) });
    expect(await fleet.hostView('ada')).toMatchObject({ standing: 'trial', trial: { commit: head } });
    // It is no revision, and has no other status.
    expect(await fleet.revision(head)).toBeUndefined();
    expect(new Set(fleet.forge.statuses.filter((status) => status.sha === head).map(({ context }) => context))).toEqual(new Set(['floe/trial']));

    await fleet.git('-C', fleet.workTree, 'push', '-q', 'origin', ':refs/heads/testing/ada');
    expect(await trialStatus(head, /^the trial on ada is over: its branch was deleted$/)).toBe('success');
    const after = await told(agent, trial.epoch + 1);
    expect(releaseOf(after).purpose).toBeUndefined();
  });

  it('says on its commit why nothing is tried: another history, a broken configuration, or what the machine itself answers', async () => {
    await fleet.addMachine('cyd');
    await eventually('cyd has its release', async () => ((await fleet.hostView('cyd')).standing === 'in-sync' ? true : undefined), {
      timeoutMs: 60_000,
      explain: () => fleet.server.log(),
    });
    const broken = await pushFor('cyd', { 'hosts/cyd.nix': '{ ' });
    expect(await trialStatus(broken, /^cyd: .*syntax error/s)).toBe('failure');
    const tree = await fleet.git('-C', fleet.workTree, 'rev-parse', 'main^{tree}');
    const unrelated = await fleet.git('-C', fleet.workTree, 'commit-tree', tree, '-m', 'Another history');
    await fleet.git('-C', fleet.workTree, 'push', '-q', '--force', 'origin', `${unrelated}:refs/heads/testing/cyd`);
    expect(await trialStatus(unrelated, new RegExp(`^it does not contain ${sha.slice(0, 10)} of main`))).toBe('failure');
    // A real agent: it finds the release in order, and its machine does not allow trials.
    const host = await fleet.git('-C', fleet.workTree, 'show', 'main:hosts/cyd.nix');
    const head = await pushFor('cyd', { 'hosts/cyd.nix': host.replace('"print', '"tried') });
    expect(await trialStatus(head, /^the trial on cyd failed: this machine tries no systems/)).toBe('failure');
  });
});
