import { type AgentState, type CommitSha, type HostName, type StorePath } from '@floe/model';
import { Directive, HostView, peek, ReleaseStatement, seal, WhyView, type ServerMessage } from '@floe/protocol';
import { trialEndWords } from '@floe/views';
import { eventually } from '@floe/testkit';
import * as v from 'valibot';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { publishCommit, receiveCommit, system } from './test/commits.ts';
import { MovedClock } from './test/moved-clock.ts';
import { startTestServer, TestAgent, type TestHost, type TestServer } from './test/test-server.ts';

const HOUR_MS = 3600_000;

const clock = new MovedClock();
let server: TestServer;
beforeAll(async () => {
  server = await startTestServer({
    clock,
    runPipeline: async (signal) => await new Promise((resolve) => signal.addEventListener('abort', () => resolve())),
  });
});
afterAll(async () => await server[Symbol.asyncDispose]());

/** A commit that was built for the host, as the pipeline would sign it. */
async function built(host: string, toplevel: StorePath): Promise<{ readonly sha: CommitSha; readonly sequence: number }> {
  const { store } = server.context;
  const revision = await receiveCommit(server);
  for (const event of ['accepted', 'verified'] as const) await store.revisions.advance(revision.id, event, Date.now());
  await store.hosts.ensure(server.repository.id, [host as HostName]);
  await store.revisions.saveEvaluations(revision.id, [
    { host: host as HostName, outcome: 'CHANGED', toplevel, drvPath: `${toplevel}.drv`, system: 'x86_64-linux' },
  ]);
  await store.revisions.advance(revision.id, 'evaluated', Date.now());
  const { sequence, sha } = revision;
  const statement: ReleaseStatement = {
    version: 1,
    repository: server.repository.url,
    ref: server.repository.ref,
    commit: sha,
    sequence,
    host: host as HostName,
    toplevel,
    narHash: 'sha256:x',
    closureSizeBytes: 10,
    system: 'x86_64-linux',
    issuedAt: Date.now(),
    expiresAt: Date.now() + 365 * 24 * HOUR_MS,
  };
  const envelope = JSON.stringify(seal(server.releaseSigner, 'floe/release', statement));
  await store.releases.publish(revision.id, [{ host: host as HostName, sequence, toplevel, commit: sha, issuedAt: 1, envelope }], Date.now());
  return revision;
}

type Told = { readonly epoch: number; readonly release: ReleaseStatement };

function toldBy(messages: readonly ServerMessage[]): Told[] {
  return messages.flatMap((message) => {
    if (message.type !== 'directive') return [];
    const directive = peek(message.envelope, Directive);
    if (directive.kind !== 'opened') throw new Error(directive.message);
    const release = peek(directive.statement.release, ReleaseStatement);
    return release.kind === 'opened' ? [{ epoch: directive.statement.epoch, release: release.statement }] : [];
  });
}

/** A host that runs what its tests say, and reports it. */
class Host {
  readonly name: string;
  readonly identity: TestHost;
  agent: TestAgent;
  /** Of the newest directive that it followed. */
  epoch = 0;
  #seq = 0;
  #runs: StorePath;
  readonly #boots: StorePath;

  private constructor(name: string, identity: TestHost, agent: TestAgent, runs: StorePath) {
    [this.name, this.identity, this.agent, this.#runs, this.#boots] = [name, identity, agent, runs, runs];
  }

  /** Enrolled, connected, and on the newest commit's system. */
  static async on(name: string, toplevel: StorePath, capabilities = ['trial', 'once']): Promise<Host> {
    const identity = await server.enrol(name);
    await built(name, toplevel);
    const host = new Host(name, identity, await TestAgent.welcome(server.url, identity, { capabilities }), toplevel);
    const { epoch } = await host.told(({ release }) => release.toplevel === toplevel);
    await host.report(epoch, 'SUCCEEDED', toplevel);
    host.epoch = epoch;
    return host;
  }

  get observed() {
    return { current: this.#runs, booted: this.#boots, profile: { generation: 1, toplevel: this.#boots } };
  }

  async told(isIt: (told: Told) => boolean): Promise<Told> {
    return await eventually(`${this.name} is told`, () => toldBy(this.agent.messages).findLast(isIt), {
      explain: () => JSON.stringify({ told: toldBy(this.agent.messages), log: server.lines.slice(-5) }),
    });
  }

  async toldTrial(): Promise<Told> {
    return await this.told(({ release }) => release.purpose === 'test');
  }

  async report(epoch: number, state: AgentState, toplevel?: StorePath, detail?: { readonly code: string; readonly message: string }): Promise<void> {
    if (state === 'TRYING' && toplevel !== undefined) this.#runs = toplevel;
    if (state === 'IDLE') this.#runs = this.#boots;
    this.#seq += 1;
    const seq = this.#seq;
    this.agent.send({
      type: 'report',
      seq,
      epoch,
      state,
      toplevel: toplevel ?? null,
      observed: this.observed,
      ...(detail === undefined ? {} : { detail }),
      at: 1,
    });
    await this.agent.next('ack', (ack) => ack.seq === seq);
  }

  async reconnect(epoch: number, state: AgentState, toplevel: StorePath): Promise<void> {
    await this.agent[Symbol.asyncDispose]();
    const hello = { capabilities: ['trial', 'once'], epoch, state, toplevel, observed: this.observed, reportSeq: this.#seq };
    this.agent = await TestAgent.welcome(server.url, this.identity, hello);
  }
}

async function ask(method: string, host: string, body: object): Promise<{ readonly status: number; readonly text: string }> {
  return await server.ask(method, `hosts/${host}/trial`, body);
}

async function shown(host: string): Promise<HostView> {
  return v.parse(HostView, await (await server.request(`/api/hosts/${host}`)).json());
}

async function why(host: string): Promise<WhyView> {
  return v.parse(WhyView, await (await server.request(`/api/hosts/${host}/why`)).json());
}

async function eligible(host: string): Promise<boolean | undefined> {
  const { ringHosts } = await import('@floe/store');
  const { rollout, hosts } = await server.context.store.hosts.fleet(server.repository.id);
  return rollout === undefined ? undefined : ringHosts(rollout, hosts, clock.now()).find((each) => each.host === host)?.isEligible;
}

test('a host tries an older commit, counts in no gate meanwhile, and hears of the fleet again at the end', async () => {
  const [old, now] = [system('a1'), system('a2')];
  const earlier = await built('ada', old);
  const ada = await Host.on('ada', now);
  expect(await ask('POST', 'ada', { reason: 'was it there before?', commit: earlier.sha, forMs: HOUR_MS })).toMatchObject({ status: 200 });
  const trial = await ada.toldTrial();
  expect(trial.release).toMatchObject({ toplevel: old, sequence: earlier.sequence, purpose: 'test' });
  expect((trial.release.endsAt ?? 0) - trial.release.issuedAt).toBe(HOUR_MS);
  // For this directive alone: who hears it cannot use it again.
  expect(trial.release.onlyFor).toEqual({ machineId: ada.identity.machineId, bootId: expect.any(String) as string, epoch: trial.epoch });
  // Signed like every release, and gone with the trial.
  expect(trial.release.expiresAt).toBe(trial.release.endsAt);
  expect(await eligible('ada')).toBe(false);
  expect(await shown('ada')).toMatchObject({ standing: 'trial', trial: { commit: earlier.sha, by: 'admin', reason: 'was it there before?' } });
  // Its place is a limit's, like that of every change.
  ada.agent.send({ type: 'ready', epoch: trial.epoch });
  await ada.agent.next('go', ({ epoch }) => epoch === trial.epoch);
  await ada.report(trial.epoch, 'TRYING', old);
  expect((await why('ada')).map(({ rule }) => rule)).toContain('trial');
  // A new connection is no new trial.
  await ada.reconnect(trial.epoch, 'TRYING', old);
  expect((await ada.toldTrial()).epoch).toBe(trial.epoch);
  await ada.report(trial.epoch, 'IDLE', old, { code: 'TRIAL_OVER', message: 'the trial ended at the time that it was given' });
  const after = await ada.told(({ epoch }) => epoch > trial.epoch);
  expect(after.release).toMatchObject({ toplevel: now });
  expect(after.release.purpose).toBeUndefined();
  await ada.report(after.epoch, 'SUCCEEDED', now);
  await eventually('ada is in sync', async () => (await shown('ada')).standing === 'in-sync' || undefined);
  expect((await server.context.store.hosts.get('ada' as HostName))?.went).toBeUndefined();
});

test('a trial of a host that is away ends by itself on the server, and is not begun late', async () => {
  const bob = await Host.on('bob', system('b1'));
  const next = await built('bob', system('b2'));
  await bob.agent[Symbol.asyncDispose]();
  expect(await ask('POST', 'bob', { reason: 'try', commit: next.sha, forMs: 60_000 })).toMatchObject({ status: 200 });
  clock.offsetMs += 120_000;
  await bob.reconnect(bob.epoch, 'SUCCEEDED', system('b1'));
  const told = await bob.told(() => true);
  expect(told.release.purpose).toBeUndefined();
  expect(await shown('bob')).toMatchObject({ trial: null });
});

test('an agent from before trials were signed for one directive each gets one as it knows them', async () => {
  const [tried, now] = [system('o1'), system('o2')];
  const earlier = await built('old', tried);
  const old = await Host.on('old', now, ['trial']);
  expect(await ask('POST', 'old', { reason: 'r', commit: earlier.sha })).toMatchObject({ status: 200 });
  expect((await old.toldTrial()).release).not.toHaveProperty('onlyFor');
  expect(await ask('DELETE', 'old', { reason: 'enough' })).toMatchObject({ status: 200 });
});

test('somebody ends a trial early', async () => {
  const [now, tried] = [system('c1'), system('c2')];
  const cleo = await Host.on('cleo', now);
  const next = await built('cleo', tried);
  await ask('POST', 'cleo', { reason: 'try', commit: next.sha.slice(0, 40) });
  const trial = await cleo.toldTrial();
  await cleo.report(trial.epoch, 'TRYING', tried);
  expect(await ask('DELETE', 'cleo', { reason: 'seen enough' })).toMatchObject({ status: 200 });
  await cleo.told(({ epoch, release }) => epoch > trial.epoch && release.purpose === undefined);
  expect(await ask('DELETE', 'cleo', { reason: 'again' })).toMatchObject({ status: 409, text: expect.stringContaining('NOT_ON_TRIAL') as string });
  const log = await server.context.store.audit.list({ limit: 50 });
  expect(log.filter(({ action, subject }) => action === 'try' && subject === 'cleo').map(({ detail }) => detail)).toEqual([
    expect.stringContaining('seen enough'),
    expect.stringContaining('tries'),
  ]);
});

test.each([
  ['begins with what the fleet has', 'OFFERED', 'new'],
  ['says that it is over', 'IDLE', 'old'],
] as const)('a host whose trial somebody ends while it changes keeps its place until it %s (O17)', async (_, state, epochOf) => {
  const name = `place-${state.toLowerCase()}`;
  const [now, tried] = [system(`p${state.length}`), system(`q${state.length}`)];
  const pia = await Host.on(name, now);
  const next = await built(name, tried);
  await ask('POST', name, { reason: 'try', commit: next.sha });
  const trial = await pia.toldTrial();
  pia.agent.send({ type: 'ready', epoch: trial.epoch });
  await pia.agent.next('go', ({ epoch }) => epoch === trial.epoch);
  await pia.report(trial.epoch, 'ACTIVATING', tried);
  expect(await ask('DELETE', name, { reason: 'seen enough' })).toMatchObject({ status: 200 });
  const after = await pia.told(({ epoch, release }) => epoch > trial.epoch && release.purpose === undefined);
  const place = async () => (await server.context.store.hosts.get(name as HostName))?.went?.toplevel;
  await pia.report(trial.epoch, 'VERIFYING', tried);
  // What it refuses meanwhile ends nothing.
  await pia.report(after.epoch + 1, 'REJECTED', now, { code: 'RELEASE_EXPIRED', message: 'too old' });
  expect(await place()).toBe(tried);
  await pia.report(epochOf === 'new' ? after.epoch : trial.epoch, state, epochOf === 'new' ? after.release.toplevel : tried);
  expect(await place()).toBeUndefined();
});

test.each([
  ['IDLE', 'TRIAL_FAILED'],
  ['REJECTED', 'TRIALS_NOT_ENABLED'],
] as const)('a trial that ends in %s counts neither for the fleet nor against the same system', async (state, code) => {
  const name = `dan-${state.toLowerCase()}`;
  const [now, tried] = [system(`d${state.length}`), system(`e${state.length}`)];
  const dan = await Host.on(name, now);
  const next = await built(name, tried);
  await ask('POST', name, { reason: 'try', commit: next.sha });
  const trial = await dan.toldTrial();
  await dan.report(trial.epoch, state, tried, { code, message: 'because' });
  await dan.told(({ epoch, release }) => epoch > trial.epoch && release.purpose === undefined);
  const row = await server.context.store.hosts.get(name as HostName);
  expect(row).toMatchObject({ state: 'IDLE' });
  const { hosts } = await server.context.store.hosts.fleet(server.repository.id, [name as HostName]);
  expect(hosts[0]?.quarantines).toEqual([]);
  expect(['failed', 'rolled-back']).not.toContain((await shown(name)).standing);
});

test('what the machine answers to a trial is shown on the host and in the log, also a refusal that names no system', async () => {
  const [now, tried] = [system('j1'), system('j2')];
  const jo = await Host.on('jo', now);
  const next = await built('jo', tried);
  const answer = await ask('POST', 'jo', { reason: 'try', commit: next.sha });
  const id = (JSON.parse(answer.text) as { trial: string }).trial;
  const trial = await jo.toldTrial();
  expect(await shown('jo')).toMatchObject({ trial: { id, toplevel: tried }, lastTrial: null });
  const said = 'the release is of the branch x, and this machine follows main';
  await jo.report(trial.epoch, 'REJECTED', undefined, { code: 'RELEASE_WRONG_REF', message: said });
  await eventually('the end is shown', async () => ((await shown('jo')).trial === null ? true : undefined));
  expect((await shown('jo')).lastTrial).toMatchObject({ id, commit: next.sha, by: 'admin', result: said, hasFailed: true });
  const entry = await eventually('it is in the log', async () =>
    (await server.context.store.audit.list({ limit: 50 })).find(({ actor, subject }) => actor === 'floe' && subject === 'jo'),
  );
  expect(entry.detail).toBe(trialEndWords({ commit: next.sha, by: 'admin', result: said, hasFailed: true }));
});

test('what cannot be tried is refused with its reason', async () => {
  const eve = system('f1');
  const host = await Host.on('eve', eve);
  const own = (await server.context.store.revisions.newest(server.repository.id))?.sha ?? '';
  const elsewhere = await publishCommit(server, { fred: system('f2') });
  const refusal = async (name: string, body: object) => {
    const { status, text } = await ask('POST', name, body);
    return [status, (JSON.parse(text) as { error: { code: string } }).error.code];
  };
  expect(await refusal('nobody', { reason: 'x', commit: own })).toEqual([404, 'HOST_UNKNOWN']);
  expect(await refusal('fred', { reason: 'x', commit: elsewhere.sha })).toEqual([409, 'HOST_NOT_ENROLLED']);
  expect(await refusal('eve', { reason: 'x', commit: 'fffffff' })).toEqual([404, 'REVISION_UNKNOWN']);
  expect(await refusal('eve', { reason: 'x', commit: elsewhere.sha, forMs: 25 * HOUR_MS })).toEqual([400, 'REQUEST_INVALID']);
  expect(await refusal('eve', { reason: ' ', commit: own })).toEqual([400, 'REQUEST_INVALID']);
  expect(await refusal('eve', { reason: 'x', commit: own })).toEqual([409, 'NOTHING_TO_TRY']);
  await server.context.store.hosts.quarantine('eve' as HostName, eve, 'rolled back', 1);
  expect(await refusal('eve', { reason: 'x', commit: own })).toEqual([409, 'QUARANTINED']);
  await host.agent[Symbol.asyncDispose]();
  const old = await Host.on('gina', system('f3'), []);
  const next = await built('gina', system('f4'));
  expect(await refusal('gina', { reason: 'x', commit: next.sha })).toEqual([409, 'AGENT_TOO_OLD']);
  await old.agent[Symbol.asyncDispose]();
});
