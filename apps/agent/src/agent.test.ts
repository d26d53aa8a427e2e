import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { AgentJournal, AgentState, CommitSha } from '@floe/model';
import { verifySignature, createLogger, exec, FloeError, silentLogger, systemClock, type Clock } from '@floe/runtime';
import { DEFAULT_AGENT_POLICY, DIRECTIVE_TREE, helloBytes, HostReport, open as openEnvelope } from '@floe/protocol';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { Agent, type AgentDeps } from './agent.ts';
import { RunningRelease } from './engine/running-release.ts';
import { NO_CONDITIONS } from './when/conditions.ts';
import { openJournal, readJournal, saveJournal } from './state/journal-file.ts';
import { ReportQueue } from './state/report-queue.ts';
import { FakeMachine } from './test/fake-machine.ts';
import {
  agentSettings,
  directiveWith,
  HOST,
  journalWith,
  MACHINE_ID,
  newAuthorities,
  newSigner,
  reportWith,
  sealDirective,
  sealInTree,
  storePath,
  SYSTEM,
  type SealOptions,
} from './test/fixtures.ts';
import { TestServer } from './test/test-server.ts';
import { until } from './test/until.ts';

vi.setConfig({ testTimeout: 30_000 });

const keys = newAuthorities();
const signer = newSigner('ada');
const OLD = storePath('old');
const NEW = storePath('new');
const NEWER = storePath('newer');

let dir: string;
let server: TestServer;
let machine: FakeMachine;
let running: { stop: AbortController; ended: Promise<void>; reports: ReportQueue } | undefined;
let lines: string[];

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'floe-agent-'));
  server = await TestServer.start();
  machine = new FakeMachine();
  machine.observed = { current: OLD, booted: OLD, profile: { generation: 1, toplevel: OLD } };
  lines = [];
});
afterEach(async () => {
  await stopAgent();
  await server[Symbol.asyncDispose]();
  await rm(dir, { recursive: true });
});

/** Long waits are short here; the agent's logic does not look at how long they were. */
const clock: Clock = { ...systemClock, sleep: async (ms, signal) => await systemClock.sleep(Math.min(ms, 20), signal) };

const settings = (): AgentDeps['settings'] => agentSettings(server.url, keys, { contactTimeoutMs: 400 });

async function startAgent(changes: Partial<AgentDeps> = {}): Promise<void> {
  const journal = await openJournal(join(dir, 'journal.json'), { clock, logger: silentLogger });
  const reports = await ReportQueue.open(join(dir, 'reports.jsonl'), journal.report, silentLogger);
  const stop = new AbortController();
  const agent = new Agent({
    settings: settings(),
    identity: { host: HOST, machineId: MACHINE_ID, bootId: 'boot', system: SYSTEM, signer },
    machine,
    journal,
    reports,
    exec,
    clock,
    logger: createLogger({ level: 'debug', write: (line) => lines.push(line) }),
    random: () => 0.5,
    saveJournal: async (next) => await saveJournal(join(dir, 'journal.json'), next),
    conditions: NO_CONDITIONS,
    readPolicy: async () => await Promise.resolve(DEFAULT_AGENT_POLICY),
    ensureEnrolled: async () => await Promise.resolve(),
    enrolAnew: async () => await Promise.resolve(false),
    ...changes,
  });
  running = { stop, ended: agent.run(stop.signal), reports };
  running.ended.catch(() => undefined);
}

async function stopAgent(): Promise<void> {
  if (running === undefined) return;
  const { stop, ended, reports } = running;
  running = undefined;
  stop.abort();
  await ended;
  await reports[Symbol.asyncDispose]();
}

async function connected(): Promise<void> {
  await until(() => server.peer !== undefined);
}

function offer(options: SealOptions = {}): void {
  server.offer((nonce) => sealDirective(keys, { ...options, directive: { expiresAt: Date.now() + 3600_000, ...options.directive, nonce } }));
}

async function savedJournal(): Promise<AgentJournal> {
  const reading = await readJournal(join(dir, 'journal.json'));
  return reading.kind === 'read' ? reading.journal : journalWith();
}

const states = (): AgentState[] => server.reports.map(({ state }) => state);
const reached = async (state: AgentState): Promise<void> => await until(() => states().includes(state));

test('A23: what the machine runs and what its directives came to is signed, for a server that asks for it', async () => {
  server.onHello = (peer) => peer.send({ type: 'welcome', serverTime: Date.now(), reportSeq: 0, signedReports: true });
  await startAgent();
  const signed = (): HostReport[] =>
    server.peers.flatMap((peer) =>
      peer.of('signed-report').map(({ envelope }) => {
        const opened = openEnvelope(envelope, 'floe/report', HostReport, [signer], verifySignature);
        if (opened.kind === 'refused') throw new Error(opened.message);
        expect(opened.statement).toMatchObject({ host: HOST, machineId: MACHINE_ID, bootId: 'boot', nonce: peer.nonce });
        return opened.statement;
      }),
    );
  await until(() => signed().length === 1);
  expect(signed()[0]).toMatchObject({ seq: 0, state: 'IDLE', release: null, observed: { current: OLD } });
  offer({ release: { toplevel: NEW, sequence: 4 } });
  await reached('SUCCEEDED');
  const report = server.reports.find(({ state }) => state === 'SUCCEEDED');
  await until(() => signed().some(({ state }) => state === 'SUCCEEDED'));
  expect(signed().at(-1)).toMatchObject({
    seq: report?.seq,
    epoch: report?.epoch,
    toplevel: NEW,
    release: { sequence: 4, toplevel: NEW },
    floor: 4,
    isTrial: false,
    isOverridden: false,
    observed: { current: NEW },
  });
  // Once more for each connection, as the nonce is another one.
  server.peer?.socket.close(1012);
  await until(() => server.peers.length > 1 && signed().some(({ nonce }) => nonce === server.peer?.nonce));
  expect(signed().at(-1)).toMatchObject({ seq: server.reports.at(-1)?.seq, release: { sequence: 4 }, observed: { current: NEW } });
});

test('a server that does not ask for signed reports, as an older one, gets none', async () => {
  await startAgent();
  await connected();
  offer({ release: { toplevel: NEW } });
  await reached('SUCCEEDED');
  expect(server.peers.flatMap((peer) => peer.of('signed-report'))).toEqual([]);
});

test('the hello proves the key over the nonce and says what the machine has', async () => {
  await startAgent();
  await connected();
  const [hello] = server.peer?.of('hello') ?? [];
  expect(hello).toMatchObject({ host: HOST, machineId: MACHINE_ID, observed: machine.observed, state: 'IDLE', epoch: 0, reportSeq: 0 });
  const bytes = helloBytes({ nonce: server.peer?.nonce ?? '', host: HOST, machineId: MACHINE_ID, bootId: 'boot' });
  expect(verifySignature(signer.publicKey, bytes, hello?.signature ?? '')).toBe(true);
});

test('a directive is downloaded, switched to, proved, made the default: in this order, each step reported', async () => {
  await startAgent();
  await connected();
  offer();
  await reached('SUCCEEDED');
  expect(states()).toEqual(['OFFERED', 'DOWNLOADING', 'STAGED', 'PRECHECK', 'ACTIVATING', 'VERIFYING', 'COMMITTING', 'SUCCEEDED']);
  expect(machine.log).toEqual([`download ${NEW}`, `test ${NEW}`, `profile ${NEW}`, `boot ${NEW}`]);
  expect(server.reports.at(-1)).toMatchObject({ epoch: 3, toplevel: NEW, observed: { current: NEW, profile: { toplevel: NEW } } });
  expect(server.reports.map(({ seq }) => seq)).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
  expect(server.peers.flatMap((peer) => peer.of('progress'))).toMatchObject([{ epoch: 3, doneBytes: 5, expectedBytes: 10 }]);
  expect(machine.roots.size).toBe(0);
});

test('which commit runs is written after a switch, and after the way back', async () => {
  const runningFile = join(dir, 'running.json');
  const files = { knownFile: join(dir, 'releases.json'), runningFile, metricsFile: undefined };
  const says = async (toplevel: string): Promise<unknown> => {
    let read: Record<string, unknown> = {};
    await vi.waitUntil(
      async () => {
        read = JSON.parse((await readFile(runningFile, 'utf8').catch(() => '')) || '{}') as typeof read;
        return read['toplevel'] === toplevel;
      },
      { timeout: 20_000, interval: 5 },
    );
    return read['commit'];
  };
  // Steps alone lead to it: the look from time to time is an hour away.
  const rare: Clock = { ...clock, sleep: async (_ms, signal) => await systemClock.sleep(3600_000, signal) };
  await startAgent({ running: new RunningRelease({ host: HOST, machine, ...files, clock: rare, logger: silentLogger }) });
  await connected();
  offer({ release: { commit: 'a'.repeat(40) as CommitSha } });
  await reached('SUCCEEDED');
  expect(await says(NEW)).toBe('a'.repeat(40));
  machine.healthChecks = JSON.stringify([{ name: 'web', command: ['/bin/false'] }]);
  offer({ directive: { epoch: 4 }, release: { toplevel: NEWER, sequence: 8, commit: 'b'.repeat(40) as CommitSha } });
  await reached('ROLLED_BACK');
  expect(await says(NEW)).toBe('a'.repeat(40));
});

test('nothing is switched before the server says go', async () => {
  server.onMessage = () => undefined;
  await startAgent();
  await connected();
  offer();
  await until(() => (server.peer?.of('ready').length ?? 0) >= 3);
  expect(machine.log).toEqual([`download ${NEW}`]);
  server.peer?.send({ type: 'go', epoch: 2, leaseMs: 1 });
  server.peer?.send({ type: 'go', epoch: 3, leaseMs: 1 });
  await reached('SUCCEEDED');
});

test('a failed health check puts the old system back, and the same system is refused from then on', async () => {
  machine.healthChecks = JSON.stringify([{ name: 'web', command: ['/bin/false'] }]);
  await startAgent();
  await connected();
  offer();
  await reached('ROLLED_BACK');
  expect(machine.log).toEqual([`download ${NEW}`, `test ${NEW}`, `test ${OLD}`]);
  expect(server.reports.at(-1)).toMatchObject({ detail: { code: 'HEALTH_CHECK_FAILED' }, observed: { current: OLD, profile: { toplevel: OLD } } });

  offer({ directive: { epoch: 4 } });
  await reached('REJECTED');
  expect(server.reports.at(-1)).toMatchObject({ epoch: 4, toplevel: NEW, detail: { code: 'QUARANTINED' } });
  machine.healthChecks = undefined;
  offer({ directive: { epoch: 5, isRetry: true } });
  await reached('SUCCEEDED');
});

test('units that fail since the switch count, those that failed before do not', async () => {
  machine.units = ['known.service'];
  machine.before = async (what) => {
    if (what === `test ${NEW}`) machine.units = ['known.service', 'new.service'];
    return await Promise.resolve();
  };
  await startAgent();
  await connected();
  offer();
  await reached('ROLLED_BACK');
  expect(server.reports.at(-1)?.detail).toEqual({ code: 'UNITS_FAILED', message: 'failed since the switch: new.service' });
});

test('a switch that fails goes back, and says in its own words why', async () => {
  machine.outcomeOf = (path) =>
    path === NEW ? { kind: 'failed', detail: { code: 'SWITCH_FAILED', message: 'activation script snippet etc failed' } } : undefined;
  await startAgent();
  await connected();
  offer();
  await reached('ROLLED_BACK');
  expect(server.reports.at(-1)?.detail?.message).toContain('snippet etc failed');
});

test('a switch after which the server is out of reach goes back; blamed is it only if the old system has contact', async () => {
  let isCut = true;
  machine.before = async (what) => {
    // The new system breaks the network until the old one is back.
    if (what === `test ${NEW}` && isCut) server.isTalking = false;
    if (what === `test ${OLD}`) server.isTalking = true;
    return await Promise.resolve();
  };
  await startAgent();
  await connected();
  offer();
  await reached('ROLLED_BACK');
  expect(server.reports.at(-1)?.detail?.code).toBe('NO_CONTACT');
  expect((await savedJournal()).quarantined).toEqual([NEW]);

  // Now the server itself is away for a while, for both systems.
  let tries = 0;
  isCut = false;
  machine.before = async (what) => {
    tries += what === `test ${NEWER}` ? 1 : 0;
    if (what === `test ${NEWER}` && tries === 1) server.isTalking = false;
    return await Promise.resolve();
  };
  offer({ directive: { epoch: 4 }, release: { toplevel: NEWER, sequence: 8 } });
  // Back on the old system, and that has no contact either.
  await vi.waitUntil(async () => (await savedJournal()).state === 'STAGED' && tries === 1, { timeout: 40_000, interval: 5 });
  server.isTalking = true;
  await until(() => server.reports.some(({ epoch, state }) => epoch === 4 && state === 'SUCCEEDED'));
  expect(tries).toBe(2);
  expect((await savedJournal()).quarantined).toEqual([NEW]);
});

const HOME = '02:00:00:aa:00:01';
/** The tables of a kernel whose machine is beside this router. */
async function besideRouter(router: string): Promise<void> {
  await mkdir(join(dir, 'net'), { recursive: true });
  await writeFile(join(dir, 'net/route'), 'Iface\nwlan0 00000000 0101A8C0 0003 0 0 600 00000000 0 0 0\n');
  await writeFile(join(dir, 'net/arp'), `IP address\n192.168.1.1 0x1 0x2 ${router} * wlan0\n`);
}

test.each([
  ['at home', HOME],
  ['in a hotel', '02:00:00:bb:00:01'],
])('A19: started into a new system where a portal answers, %s, it goes by what was known before the restart', async (_where, router) => {
  const portal = createServer((_request, response) => response.writeHead(302, { location: 'http://login.hotel.example/' }).end());
  await new Promise<void>((resolve) => portal.listen(0, '127.0.0.1', resolve));
  try {
    let [aheadMs, looks, isNewBoot] = [0, 0, false];
    const own: Clock = {
      ...clock,
      now: () => systemClock.now() + aheadMs,
      sleep: async (ms, signal) => {
        looks += ms === 5_000 ? 1 : 0;
        await clock.sleep(ms, signal);
      },
    };
    const limits = { contactTimeoutMs: 400, bootLimitMs: 400, serverLimitMs: 50 };
    const changes = {
      clock: own,
      proc: dir,
      settings: agentSettings(server.url, keys, { ...limits, substituters: [`http://127.0.0.1:${(portal.address() as AddressInfo).port}`] }),
    };
    machine.valid.add(OLD);
    machine.unfinished = { kind: 'interrupted' };
    machine.boot = {
      stage: async () => await Promise.resolve({ kind: 'switched', note: null, how: 'one-shot' }),
      unstage: async () => await Promise.resolve(),
      boots: async () => await Promise.resolve({ isNewBoot, fellBack: false }),
      reboot: async () => await Promise.resolve(),
      rebootBack: async () => await Promise.resolve(false),
      hasGuard: async () => await Promise.resolve(true),
    };
    const looked = async (): Promise<void> => {
      const since = looks;
      await until(() => looks > since + 5);
    };
    await besideRouter(HOME);
    await startAgent(changes);
    await connected();
    offer({ directive: { mode: 'boot' } });
    await until(async () => (await savedJournal()).state === 'BOOT_STAGED');
    expect((await savedJournal()).before?.network).toEqual({ proxy: null, routers: [HOME] });
    await stopAgent();

    await besideRouter(router);
    [server.isTalking, isNewBoot] = [false, true];
    machine.observed = { current: NEW, booted: NEW, profile: { generation: 1, toplevel: OLD } };
    await startAgent(changes);
    await until(async () => (await savedJournal()).state === 'SUCCEEDED' || machine.log.includes(`test ${OLD}`));
    if (router !== HOME) {
      const kept = { state: 'SUCCEEDED', detail: { code: 'SERVER_AWAY', message: expect.stringContaining('login.hotel.example') as string } };
      expect(await savedJournal()).toMatchObject(kept);
      await looked();
      await stopAgent();
      // Another start, and a clock that is set, on the first day.
      isNewBoot = false;
      aheadMs -= 3600_000;
      await startAgent(changes);
      await looked();
      expect(await savedJournal()).toMatchObject(kept);
      aheadMs += 25 * 3600_000;
    }
    await until(() => machine.log.includes(`test ${OLD}`));
    // The previous one meets the same portal: it is not known whose fault it is.
    await until(async () => !['ROLLING_BACK', 'SUCCEEDED'].includes((await savedJournal()).state));
    expect(await savedJournal()).toMatchObject({ quarantined: [], directive: { release: { toplevel: NEW } } });
    expect(machine.observed.current).toBe(OLD);
  } finally {
    portal.closeAllConnections();
    await new Promise((resolve) => portal.close(resolve));
  }
});

test('a directive that may not be acted on is rejected with its reason, and changes nothing', async () => {
  await startAgent();
  await connected();
  offer({ signers: { release: newSigner('release-1') } });
  await reached('REJECTED');
  expect(server.reports).toMatchObject([{ state: 'REJECTED', detail: { code: 'RELEASE_SIGNATURE_WRONG' } }]);
  expect(machine.log).toEqual([]);
  offer();
  await reached('SUCCEEDED');
});

test('downloads are retried until they work, and say why they do not', async () => {
  let tries = 0;
  machine.before = async () => {
    tries += 1;
    if (tries <= 3) throw new FloeError('STORE_PATH_NOT_AVAILABLE', 'the cache does not have it', { retryable: true });
    return await Promise.resolve();
  };
  await startAgent();
  await connected();
  offer();
  await reached('SUCCEEDED');
  expect(server.reports.filter(({ detail }) => detail?.code === 'STORE_PATH_NOT_AVAILABLE')).toHaveLength(1);
});

test('with a full disk nothing is downloaded; with room it continues automatically', async () => {
  machine.free = 0;
  await startAgent();
  await connected();
  offer();
  await until(() => server.reports.some(({ detail }) => detail?.code === 'DISK_FULL'));
  expect(machine.log).toEqual([]);
  machine.free = 1e12;
  await reached('SUCCEEDED');
});

test('a newer directive stops the download of the one before', async () => {
  machine.before = async (what, signal) => {
    if (what === `download ${NEW}`) await new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(new Error('aborted'))));
  };
  await startAgent();
  await connected();
  offer();
  await reached('DOWNLOADING');
  offer({ directive: { epoch: 4 }, release: { toplevel: NEWER, sequence: 8 } });
  await reached('SUCCEEDED');
  expect(machine.observed.current).toBe(NEWER);
  expect(machine.log).not.toContain(`test ${NEW}`);
});

test('the directive that is known already is neither started over nor refused', async () => {
  await startAgent();
  await connected();
  offer();
  await reached('SUCCEEDED');
  const before = server.peer;
  before?.socket.terminate();
  await until(() => server.peer !== before);
  offer();
  offer({ directive: { epoch: 4 }, release: { toplevel: NEW } });
  await until(() => server.reports.some(({ epoch }) => epoch === 4));
  expect(server.reports.filter(({ epoch }) => epoch === 4).map(({ state }) => state)[0]).toBe('OFFERED');
  expect(server.reports.filter(({ epoch }) => epoch === 3)).toHaveLength(8);
});

test('what was reported while the server was away arrives later, once and in order', async () => {
  server.onMessage = (peer, message) => {
    if (message.type === 'ready') peer.send({ type: 'go', epoch: message.epoch, leaseMs: 1 });
    if (message.type === 'report' && message.state === 'ACTIVATING' && server.peers.indexOf(peer) === 0) peer.socket.terminate();
  };
  await startAgent();
  await connected();
  offer();
  await reached('SUCCEEDED');
  expect(states()).toEqual(['OFFERED', 'DOWNLOADING', 'STAGED', 'PRECHECK', 'ACTIVATING', 'VERIFYING', 'COMMITTING', 'SUCCEEDED']);
  const last = server.reports.at(-1)?.seq ?? 0;
  server.peer?.send({ type: 'ack', seq: last });
  await until(() => running?.reports.waiting.length === 0);
});

test('a server that lost the reports of a year gets what waits, one that knows more than the journal is followed', async () => {
  await saveJournal(join(dir, 'journal.json'), journalWith({ nextReportSeq: 4, report: reportWith(3) }));
  server.onHello = (peer) => peer.send({ type: 'welcome', serverTime: Date.now(), reportSeq: 50 });
  await startAgent();
  await until(() => server.reports.length === 1);
  expect(server.reports[0]?.seq).toBe(51);
  await until(() => running?.reports.waiting.length === 0);
  expect((await savedJournal()).nextReportSeq).toBe(52);
});

// The next try is far away; the machine is looked at every 5 s.
const lookingOn: Clock = { ...clock, sleep: async (ms, signal) => await systemClock.sleep(ms > 5_000 ? 3600_000 : 20, signal) };

test('what waits for another switch goes on as soon as that has ended', async () => {
  machine.heldBy = 'by-hand.service (process 7)';
  await startAgent({ clock: lookingOn, random: () => 0.999 });
  await connected();
  offer();
  await reached('BLOCKED');
  await until(() => machine.looks > 3);
  machine.heldBy = null;
  await reached('SUCCEEDED');
});

test('… also when that had ended before it was looked for again', async () => {
  const holders = ['by-hand.service (process 7)'];
  machine.switchHeldBy = async () => await Promise.resolve(holders.pop() ?? null);
  await startAgent({ clock: lookingOn, random: () => 0.999 });
  await connected();
  offer();
  await reached('BLOCKED');
  await reached('SUCCEEDED');
});

test('what somebody switches to while a system is downloaded is not switched over', async () => {
  machine.before = async (what) => {
    if (what.startsWith('download')) machine.observed = { ...machine.observed, current: NEWER };
    await Promise.resolve();
  };
  await startAgent();
  await connected();
  offer();
  await until(async () => (await savedJournal()).override !== null);
  expect(machine.log).toEqual([`download ${NEW}`]);
  expect((await savedJournal()).override?.toplevel).toBe(NEWER);
});

test('what someone switched by hand is reported, and not fought', async () => {
  await startAgent();
  await connected();
  machine.observed = { ...machine.observed, current: NEWER };
  await until(() => server.reports.some(({ observed }) => observed.current === NEWER));
  expect(machine.log).toEqual([]);
});

// ---- being stopped -------------------------------------------------------------------------------------------------

/** Stops the agent when `what` begins, and leaves the machine as it is then, as a kill would. */
async function killAt(what: string): Promise<void> {
  const killed = Promise.withResolvers<void>();
  machine.before = async (each, signal) => {
    if (each !== what) return;
    killed.resolve();
    await new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(new Error('killed'))));
  };
  // As if it could not wait: the stop ends even a switch.
  machine.switchesOutliveAgent = true;
  await startAgent();
  await connected();
  offer();
  await killed.promise;
  await stopAgent();
  machine.before = async () => await Promise.resolve();
  machine.switchesOutliveAgent = false;
}

test.each([
  ['the download', `download ${NEW}`, 'DOWNLOADING'],
  ['the switch', `test ${NEW}`, 'ACTIVATING'],
  ['making it the default', `boot ${NEW}`, 'COMMITTING'],
])('stopped in %s, the agent comes back and gets the machine there', async (_what, at, state) => {
  await killAt(at);
  expect((await savedJournal()).state).toBe(state);
  await startAgent();
  await reached('SUCCEEDED');
  expect(machine.observed).toMatchObject({ current: NEW, profile: { toplevel: NEW } });
  expect(new Set(server.reports.map(({ seq }) => seq)).size).toBe(server.reports.length);
  expect(server.reports.map(({ seq }) => seq)).toEqual(server.reports.map((_report, index) => index + 1));
});

test('stopped in the switch, the agent first goes back to the recorded system', async () => {
  await killAt(`test ${NEW}`);
  await startAgent();
  await reached('SUCCEEDED');
  expect(machine.log).toEqual([`download ${NEW}`, `test ${NEW}`, `test ${OLD}`, `download ${NEW}`, `test ${NEW}`, `profile ${NEW}`, `boot ${NEW}`]);
});

test('a switch that outlived the agent is verified, not undone', async () => {
  await killAt(`test ${NEW}`);
  machine.observed = { ...machine.observed, current: NEW };
  machine.unfinished = { kind: 'ended', outcome: { kind: 'switched', note: null } };
  await startAgent();
  await reached('SUCCEEDED');
  expect(machine.log.filter((each) => each === `test ${OLD}`)).toEqual([]);
});

test('a switch that outlived the agent and failed is undone', async () => {
  await killAt(`test ${NEW}`);
  machine.unfinished = { kind: 'ended', outcome: { kind: 'failed', detail: { code: 'SWITCH_FAILED', message: 'no' } } };
  await startAgent();
  await reached('ROLLED_BACK');
  expect(machine.observed.current).toBe(OLD);
});

test('asked to stop, the agent brings a change under way to its verdict', async () => {
  const begun = Promise.withResolvers<void>();
  const goOn = Promise.withResolvers<void>();
  machine.before = async (each) => {
    if (each !== `test ${NEW}`) return;
    begun.resolve();
    await goOn.promise;
  };
  // Real waits: the grace is for this.
  await startAgent({ clock: systemClock });
  await connected();
  offer();
  await begun.promise;
  const stopped = stopAgent();
  goOn.resolve();
  await stopped;
  expect((await savedJournal()).state).toBe('SUCCEEDED');
  // What the server did not hear any more, it hears next time.
  await startAgent();
  await reached('SUCCEEDED');
});

test('a download that waits for its next try goes on at once when the server is there again', async () => {
  let isAway = true;
  machine.before = async (each) => {
    if (each.startsWith('download') && isAway) throw new FloeError('STORE_PATH_NOT_AVAILABLE', 'no network', { retryable: true });
    await Promise.resolve();
  };
  // The wait before the next try does not end by itself here; that before the next connection is short.
  const patient: Clock = { ...clock, sleep: async (ms, signal) => await systemClock.sleep(ms > 2_000 ? 3600_000 : 20, signal) };
  await startAgent({ clock: patient, random: () => 0.999 });
  await connected();
  offer();
  for (let tries = 1; tries <= 3; tries += 1) {
    await until(() => lines.filter((line) => line.includes('a job failed')).length === tries);
    if (tries === 3) isAway = false;
    server.peer?.socket.terminate();
  }
  await reached('SUCCEEDED');
});

test('a new system whose agent the server refuses is rolled back, not taken for one whose server is away', async () => {
  // As after a change of services.floe.agent.host, of the protocol, of the key's place: 4401, 4406.
  let isNew = false;
  machine.before = async (what) => {
    if (what === `test ${NEW}`) isNew = true;
    if (what === `test ${OLD}`) isNew = false;
    await Promise.resolve();
  };
  server.onHello = (peer) => {
    if (!isNew) peer.send({ type: 'welcome', serverTime: Date.now(), reportSeq: 0 });
    else {
      peer.send({ type: 'refusal', code: 'HOST_NOT_ENROLLED', message: 'no agent is enrolled for ada2' });
      peer.socket.close(4401, 'HOST_NOT_ENROLLED');
    }
  };
  await startAgent({ settings: { ...settings(), substituters: [server.url] } });
  await connected();
  offer();
  await until(async () => ['SUCCEEDED', 'ROLLED_BACK'].includes((await savedJournal()).state));
  const { state, detail } = await savedJournal();
  expect({ state, detail }).toMatchObject({ state: 'ROLLED_BACK' });
});

test('a new system that trusts other keys than those of the server, and so would never take a directive again, is rolled back', async () => {
  machine.unfinished = { kind: 'ended', outcome: { kind: 'switched', note: null } };
  machine.observed = { current: NEW, booted: OLD, profile: { generation: 1, toplevel: OLD } };
  machine.valid.add(NEW);
  const before = { toplevel: OLD, profile: OLD, failedUnits: null, serverUrl: null, cache: null };
  await saveJournal(join(dir, 'journal.json'), journalWith({ state: 'ACTIVATING', epoch: 3, directive: directiveWith(NEW), before, activation: 1 }));
  server.onHello = (peer) => {
    peer.send({ type: 'welcome', serverTime: Date.now(), reportSeq: 0 });
    peer.send({ type: 'directive', envelope: sealDirective(keys, { directive: { expiresAt: Date.now() + 3600_000, nonce: peer.nonce } }) });
  };
  await startAgent({ settings: { ...settings(), serverKeys: [newAuthorities().server] } });
  await until(() => states().some((state) => ['SUCCEEDED', 'ROLLED_BACK', 'ROLLBACK_FAILED'].includes(state)));
  const codes = server.reports.map(({ state, detail }) => `${state} ${detail?.code ?? ''}`);
  expect(codes).not.toContainEqual(expect.stringMatching(/^SUCCEEDED/));
});

test('a system that is not what the boot loader starts is not said to be, when it is asked for again', async () => {
  machine.outcomeOf = (_path, action) =>
    action === 'boot' ? { kind: 'failed', detail: { code: 'SWITCH_FAILED', message: '/boot is full' } } : undefined;
  await startAgent({ clock: { ...clock, sleep: async (ms, signal) => await systemClock.sleep(ms > 5_000 ? ms : Math.min(ms, 20), signal) } });
  await connected();
  offer();
  await until(async () => (await savedJournal()).state === 'BLOCKED');
  offer({ directive: { epoch: 4, isRetry: true } });
  await until(async () => (await savedJournal()).epoch === 4 && ['SUCCEEDED', 'BLOCKED'].includes((await savedJournal()).state));
  const { state, detail } = await savedJournal();
  expect({ state, detail }).toMatchObject({ state: 'BLOCKED', detail: { code: 'BOOT_NOT_SET' } });
});

test('while the journal cannot be written nothing is done', async () => {
  let isFull = true;
  await startAgent({
    saveJournal: async (next) => {
      if (isFull) throw Object.assign(new Error('ENOSPC: no space left on device'), { code: 'ENOSPC' });
      await saveJournal(join(dir, 'journal.json'), next);
    },
  });
  await connected();
  offer();
  await until(() => lines.filter((line) => line.includes('the journal cannot be written')).length >= 2);
  expect(machine.log).toEqual([]);
  expect(server.reports).toEqual([]);
  isFull = false;
  await reached('SUCCEEDED');
});

test('secrets that a failed switch printed do not get into the journal, to the server or to people', async () => {
  const detail = { code: 'SWITCH_FAILED', message: 'the switch failed: password=hunter2 https://u:geheim@host/' };
  machine.outcomeOf = (path) => (path === NEW ? { kind: 'failed', detail } : undefined);
  await startAgent();
  await connected();
  offer();
  await reached('ROLLED_BACK');
  const told = JSON.stringify([server.reports, await savedJournal(), lines.filter((line) => line.includes('"state"'))]);
  expect(told).toContain('password=***');
  expect(told).not.toMatch(/hunter2|geheim/);
});

test('a download that the policy holds waits as a system that is here does, and goes on when it may', async () => {
  const wait = { what: 'download' as const, codes: ['METERED'], startsAt: null, latestAt: null, programs: [] };
  let isMetered = true;
  const sinces: (number | undefined)[] = [];
  await startAgent({
    conditions: {
      ...NO_CONDITIONS,
      holdDownload: async ({ deferral }) => {
        sinces.push(deferral?.since);
        return await Promise.resolve(isMetered ? { detail: { code: 'METERED', message: 'on a metered connection', wait }, until: null } : null);
      },
    },
  });
  await connected();
  offer();
  await reached('DEFERRED');
  // For the users of the machine; the server has the message.
  expect((await savedJournal()).detail?.wait).toEqual(wait);
  // Its deadline is counted from the first look, not from the latest.
  await until(() => sinces.length > 3);
  const [first, ...later] = sinces;
  expect([first, new Set(later).size]).toEqual([undefined, 1]);
  expect(machine.log).toEqual([]);
  isMetered = false;
  await reached('SUCCEEDED');
});

test('an update that an administrator asks for passes over a window after its notice, and the next one waits for the window again', async () => {
  const noticed: (number | null | undefined)[] = [];
  const assess: AgentDeps['conditions']['assess'] = async (_journal, { urgent }) => {
    noticed.push(urgent?.noticedAt);
    const isClear = urgent?.noticedAt != null;
    return await Promise.resolve({ impact: 'units', wait: isClear ? null : { detail: { code: 'WAITS', message: 'waits' }, until: null } });
  };
  await startAgent({ conditions: { ...NO_CONDITIONS, assess } });
  await connected();
  offer({ directive: { urgent: { level: 'soon', by: 'ada', reason: 'a hole in sshd', until: Date.now() + 3600_000 } } });
  await reached('SUCCEEDED');
  expect([noticed[0], noticed.at(-1)]).toEqual([null, expect.any(Number)]);
  offer({ directive: { epoch: 4 }, release: { sequence: 8, toplevel: storePath('newer') } });
  await until(() => server.reports.filter(({ state }) => state === 'DEFERRED').length > 1);
  expect(noticed.at(-1)).toBeUndefined();
});

test('a system that waits is looked at again at once on a new connection: the machine may have slept over its time', async () => {
  let isOpen = false;
  const assess: AgentDeps['conditions']['assess'] = async () =>
    await Promise.resolve({ impact: 'units', wait: isOpen ? null : { detail: { code: 'WINDOW_CLOSED', message: 'waits' }, until: null } });
  const patient: Clock = { ...clock, sleep: async (ms, signal) => await systemClock.sleep(ms > 2_000 ? 3600_000 : 20, signal) };
  await startAgent({ clock: patient, conditions: { ...NO_CONDITIONS, assess } });
  await connected();
  offer();
  await reached('DEFERRED');
  isOpen = true;
  server.peer?.socket.terminate();
  await reached('SUCCEEDED');
});

test.each([1, -1])(
  'whose time came while the machine slept is looked at again when it wakes up without a server, however its clock was set (%i)',
  async (way) => {
    const DAY_MS = 24 * 3600_000;
    let sleptMs = 0;
    const assess: AgentDeps['conditions']['assess'] = async () =>
      await Promise.resolve({ impact: 'units', wait: sleptMs > 0 ? null : { detail: { code: 'WINDOW_CLOSED', message: 'waits' }, until: null } });
    const sleepy: Clock = {
      now: () => systemClock.now() + way * sleptMs,
      monotonic: () => systemClock.monotonic(),
      sinceBoot: () => systemClock.sinceBoot() + sleptMs,
      sleep: async (ms, signal) => await systemClock.sleep(ms > 5_000 ? DAY_MS : 20, signal),
    };
    await startAgent({ clock: sleepy, conditions: { ...NO_CONDITIONS, assess } });
    await connected();
    offer();
    await reached('DEFERRED');
    await server[Symbol.asyncDispose]();
    sleptMs = DAY_MS;
    await until(async () => (await savedJournal()).state !== 'DEFERRED');
  },
);

test.each([
  ['floe/directive', sealDirective],
  ['floe/directive-tree', sealInTree],
] as const)('the envelope that made the machine change is kept in the journal: %s', async (type, sealed) => {
  await startAgent();
  await connected();
  expect(server.peer?.of('hello')[0]?.capabilities).toContain(DIRECTIVE_TREE);
  server.offer((nonce) => sealed(keys, { directive: { expiresAt: Date.now() + 3600_000, nonce } }));
  await reached('SUCCEEDED');
  const text = await readFile(join(dir, 'journal.json'), 'utf8');
  expect(JSON.parse((JSON.parse(text) as AgentJournal).directive?.envelope ?? '')).toMatchObject({ type });
});

test('a server whose clock was set back is asked for the time again, and then followed', async () => {
  const DAY_MS = 24 * 3600_000;
  let serverTime = Date.now();
  server.onHello = (peer) => peer.send({ type: 'welcome', serverTime, reportSeq: 0 });
  await startAgent();
  await connected();
  serverTime -= 3 * DAY_MS;
  offer({ directive: { expiresAt: serverTime + DAY_MS } });
  await until(() => server.reports.some(({ state }) => state === 'SUCCEEDED'));
  const [refused] = server.reports;
  expect(refused).toMatchObject({ state: 'REJECTED', toplevel: NEW, detail: { code: 'DIRECTIVE_EXPIRED' } });
  expect(server.peers.length).toBeGreaterThan(1);
});

test('a server whose directives are always expired is asked for the time once in a while, not all the time', async () => {
  await startAgent();
  await connected();
  // The time since boot goes in steps of 10 ms, and the server's with it.
  offer({ directive: { expiresAt: Date.now() - 60_000 } });
  const isReportedOn = (connection: number): boolean => (server.peers[connection]?.reports.length ?? 0) > 0;
  await until(() => isReportedOn(1));
  server.peers[1]?.socket.terminate();
  await until(() => isReportedOn(2));
  expect(lines.filter((line) => line.includes('set back; reconnecting'))).toHaveLength(1);
});

test('what was dated while a clock was a year ahead is dated again with the next welcome', async () => {
  const since = Date.now() + 365 * 24 * 3600_000;
  const deferral = { since, restartSince: null, laterCount: 1, laterUntil: since + 3600_000, isOverruled: false };
  await saveJournal(join(dir, 'journal.json'), journalWith({ deferral, override: { toplevel: OLD, since, by: 'rollback' } }));
  await startAgent();
  await connected();
  await until(async () => ((await savedJournal()).override?.since ?? since) < since);
  const { deferral: left } = await savedJournal();
  expect(left?.since).toBeLessThan(Date.now() + 1);
  expect(left?.laterUntil).toBeLessThan(Date.now() + 3600_001);
});
