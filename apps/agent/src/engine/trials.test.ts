import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { AgentJournal, AgentState } from '@floe/model';
import { DEFAULT_AGENT_POLICY, type AgentPolicy } from '@floe/protocol';
import { exec, silentLogger, systemClock, type Clock } from '@floe/runtime';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { Agent } from '../agent.ts';
import { ReportQueue } from '../state/report-queue.ts';
import { FakeMachine } from '../test/fake-machine.ts';
import {
  agentSettings,
  HOST,
  journalWith,
  MACHINE_ID,
  newAuthorities,
  newSigner,
  sealDirective,
  storePath,
  SYSTEM,
  type SealOptions,
} from '../test/fixtures.ts';
import { TestServer } from '../test/test-server.ts';
import { until } from '../test/until.ts';
import { NO_CONDITIONS } from '../when/conditions.ts';

vi.setConfig({ testTimeout: 30_000 });

const keys = newAuthorities();
const signer = newSigner('ada');
const OLD = storePath('old');
const NEW = storePath('new');
const NEXT = storePath('next');
const HOUR_MS = 3600_000;
const TRIALS: AgentPolicy = { ...DEFAULT_AGENT_POLICY, trials: { enable: true } };

let dir: string;
let server: TestServer;
let machine: FakeMachine;
let journal: AgentJournal;
/** The machine's clocks: the one that may be set, and its uptime. */
let aheadMs: number;
let uptimeMs: number;
let bootId: string;
let policy: AgentPolicy;
/** How often the agent looked at the machine. */
let looks = 0;
let running: { agent: Agent; stop: AbortController; ended: Promise<void>; reports: ReportQueue } | undefined;

const clock: Clock = {
  ...systemClock,
  now: () => systemClock.now() + aheadMs,
  sinceBoot: () => uptimeMs,
  async sleep(ms, signal) {
    if (ms === 5_000) looks += 1;
    await systemClock.sleep(Math.min(ms, 10), signal);
  },
};

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'floe-trials-'));
  server = await TestServer.start();
  machine = new FakeMachine();
  machine.observed = { current: OLD, booted: OLD, profile: { generation: 1, toplevel: OLD } };
  machine.policyFile = JSON.stringify({ trials: { enable: true } });
  [journal, aheadMs, uptimeMs, bootId, policy] = [journalWith(), 0, 1_000, 'boot', TRIALS];
});
afterEach(async () => {
  await stopAgent();
  await server[Symbol.asyncDispose]();
  await rm(dir, { recursive: true });
});

async function startAgent(onSave: (saved: AgentJournal) => void = () => undefined): Promise<void> {
  const reports = await ReportQueue.open(join(dir, 'reports.jsonl'), journal.report, silentLogger);
  const stop = new AbortController();
  const agent = new Agent({
    settings: agentSettings(server.url, keys, { ref: 'refs/heads/main' }),
    identity: { host: HOST, machineId: MACHINE_ID, bootId, system: SYSTEM, signer },
    machine,
    journal,
    reports,
    exec,
    clock,
    logger: silentLogger,
    random: () => 0.5,
    saveJournal: async (next) => {
      // As on disk: nothing else of the agent survives.
      journal = structuredClone(next);
      onSave(journal);
      return await Promise.resolve();
    },
    conditions: NO_CONDITIONS,
    readPolicy: async () => await Promise.resolve(policy),
    ensureEnrolled: async () => await Promise.resolve(),
    enrolAnew: async () => await Promise.resolve(false),
  });
  running = { agent, stop, ended: agent.run(stop.signal), reports };
  running.ended.catch(() => undefined);
  await until(() => server.peer !== undefined);
}

async function stopAgent(): Promise<void> {
  if (running === undefined) return;
  const { stop, ended, reports } = running;
  running = undefined;
  stop.abort();
  await ended;
  await reports[Symbol.asyncDispose]();
}

/** A trial of two hours, of a branch that this machine does not follow. */
function offerTrial(options: SealOptions = {}): void {
  const now = Date.now();
  const release = {
    ref: 'refs/heads/testing/ada',
    sequence: 99,
    purpose: 'test',
    issuedAt: now,
    endsAt: now + 2 * HOUR_MS,
    ...options.release,
  } as const;
  server.offer((nonce) =>
    sealDirective(keys, { directive: { expiresAt: now + HOUR_MS, ...options.directive, nonce }, release, onlyFor: { bootId } }),
  );
}

const states = (): AgentState[] => server.reports.map(({ state }) => state);
/** Of a directive that it has: every agent begins in IDLE. */
const isAt = async (state: AgentState): Promise<void> => await until(() => journal.state === state && journal.directive !== null);
const codes = (): (string | undefined)[] => server.reports.map(({ detail }) => detail?.code);

/** Nothing but the running system was ever changed. */
function leftNoTrace(): void {
  expect(machine.observed).toMatchObject({ booted: OLD, profile: { generation: 1, toplevel: OLD } });
  expect(machine.log.filter((what) => what.startsWith('profile') || what.startsWith('boot'))).toEqual([]);
  expect(journal).toMatchObject({ sequences: [], quarantined: [] });
}

test('a trial runs without becoming the default, and the machine goes back at its end though the server is away', async () => {
  await startAgent();
  offerTrial();
  await isAt('TRYING');
  await until(() => states().includes('TRYING'));
  expect(states()).toEqual(['OFFERED', 'DOWNLOADING', 'STAGED', 'PRECHECK', 'ACTIVATING', 'VERIFYING', 'TRYING']);
  expect(machine.observed.current).toBe(NEW);
  leftNoTrace();
  server.isTalking = false;
  server.peer?.socket.terminate();
  uptimeMs += 2 * HOUR_MS + 5_000;
  await isAt('IDLE');
  expect(machine.observed.current).toBe(OLD);
  expect(journal.detail?.code).toBe('TRIAL_OVER');
  leftNoTrace();
});

test('the end of a trial does not move with the clock that can be set', async () => {
  await startAgent();
  offerTrial();
  await isAt('TRYING');
  for (const ms of [365 * 24 * HOUR_MS, -365 * 24 * HOUR_MS]) {
    aheadMs = ms;
    const seen = looks;
    await until(() => looks > seen + 2);
    expect(journal.state).toBe('TRYING');
  }
  uptimeMs += 2 * HOUR_MS + 5_000;
  await isAt('IDLE');
});

/** The agent is stopped after each step that it writes, and started again. */
test('wherever the agent is stopped, the trial ends at its time, and leaves no trace', async () => {
  const stoppedIn = new Set<AgentState>();
  for (let step = 1; ; step += 1) {
    let saves = 0;
    const stops = Promise.withResolvers<void>();
    [journal, uptimeMs] = [journalWith(), 1_000];
    machine.observed = { current: OLD, booted: OLD, profile: { generation: 1, toplevel: OLD } };
    await startAgent((saved) => {
      saves += 1;
      if (saves !== step) return;
      stoppedIn.add(saved.state);
      running?.stop.abort();
      stops.resolve();
    });
    offerTrial();
    await Promise.race([stops.promise, isAt('TRYING')]);
    const isLast = saves < step;
    await stopAgent();
    await startAgent();
    await until(() => ['TRYING', 'IDLE'].includes(journal.state) && journal.directive !== null);
    uptimeMs += 2 * HOUR_MS + 5_000;
    await until(() => journal.state === 'IDLE' && machine.observed.current === OLD);
    leftNoTrace();
    await stopAgent();
    server.peers.length = 0;
    if (isLast) break;
  }
  expect([...stoppedIn]).toEqual(expect.arrayContaining(['OFFERED', 'DOWNLOADING', 'STAGED', 'PRECHECK', 'ACTIVATING', 'VERIFYING', 'TRYING']));
});

test('a restart of the machine ends a trial: it started the old system, and nothing is switched', async () => {
  await startAgent();
  offerTrial();
  await isAt('TRYING');
  await stopAgent();
  [bootId, uptimeMs] = ['next boot', 10];
  machine.observed = { ...machine.observed, current: OLD };
  machine.log.length = 0;
  await startAgent();
  await isAt('IDLE');
  expect(machine.log.filter((what) => !what.startsWith('end trial'))).toEqual([]);
  leftNoTrace();
});

test('a trial that was not begun yet when the machine was restarted is over', async () => {
  machine.free = 0;
  await startAgent();
  offerTrial();
  await isAt('DOWNLOADING');
  await stopAgent();
  [bootId, machine.free] = ['next boot', 1e12];
  await startAgent();
  await isAt('IDLE');
  expect(machine.observed.current).toBe(OLD);
});

test("a user's rollback and the fleet's next directive end a trial", async () => {
  await startAgent();
  offerTrial();
  await isAt('TRYING');
  expect(await running?.agent.ask({ type: 'rollback-asked', target: NEXT })).toBe(true);
  await isAt('IDLE');
  expect(machine.observed.current).toBe(OLD);
  expect(journal.override).toBeNull();
  offerTrial({ directive: { epoch: 4 } });
  await isAt('TRYING');
  const release = { toplevel: NEXT, sequence: 8 };
  server.offer((nonce) => sealDirective(keys, { directive: { epoch: 5, expiresAt: Date.now() + HOUR_MS, nonce }, release }));
  await isAt('SUCCEEDED');
  expect(machine.observed).toMatchObject({ current: NEXT, profile: { toplevel: NEXT } });
  // Only the fleet's release counts for the branch.
  expect(journal.sequences).toMatchObject([{ ref: 'refs/heads/main', sequence: 8 }]);
});

test('a trial that fails is rolled back and reported, and the fleet may bring the same system', async () => {
  machine.healthChecks = JSON.stringify([{ name: 'web', command: ['/bin/false'] }]);
  await startAgent();
  offerTrial();
  await isAt('IDLE');
  expect(journal.detail).toMatchObject({ code: 'TRIAL_FAILED', message: expect.stringContaining('web') as string });
  await until(() => codes().includes('TRIAL_FAILED'));
  expect(codes()).toContain('HEALTH_CHECK_FAILED');
  leftNoTrace();
  machine.healthChecks = undefined;
  server.offer((nonce) => sealDirective(keys, { directive: { epoch: 4, expiresAt: Date.now() + HOUR_MS, nonce } }));
  await isAt('SUCCEEDED');
});

test.each([
  ['the machine does not allow trials', 'TRIALS_NOT_ENABLED', (): void => void (policy = DEFAULT_AGENT_POLICY), {}],
  ['the tried system does not allow them', 'TRIALS_NOT_ENABLED', (): void => void (machine.policyFile = undefined), {}],
  ['a restart would not bring the old system back', 'TRIALS_NOT_HERE', (): void => void (machine.canTry = false), {}],
  ['it lasts longer than a day', 'TRIAL_TOO_LONG', (): void => undefined, { release: { endsAt: Date.now() + 25 * HOUR_MS } }],
  ['it has no end', 'RELEASE_MALFORMED', (): void => undefined, { release: { endsAt: undefined } }],
  ['it is over', 'TRIAL_OVER', (): void => undefined, { release: { issuedAt: 1, endsAt: 2 } }],
  ['it is of another branch and no trial', 'RELEASE_WRONG_REF', (): void => undefined, { release: { purpose: undefined, endsAt: undefined } }],
  ['it is to be staged only', 'TRIAL_MODE', (): void => undefined, { directive: { mode: 'stage' } }],
  ['a stranger signed it', 'RELEASE_SIGNATURE_WRONG', (): void => undefined, { signers: { release: newSigner('release-1') } }],
] as const)('nothing is tried when %s', async (_what, code, arrange, options) => {
  arrange();
  await startAgent();
  const now = Date.now();
  const release = {
    ref: 'refs/heads/testing/ada',
    purpose: 'test',
    issuedAt: now,
    endsAt: now + HOUR_MS,
    ...('release' in options ? options.release : {}),
  };
  const directive = { expiresAt: now + HOUR_MS, ...('directive' in options ? options.directive : {}) };
  server.offer((nonce) =>
    sealDirective(keys, {
      directive: { ...directive, nonce },
      release: release as SealOptions['release'] & object,
      ...('signers' in options ? { signers: options.signers } : {}),
    }),
  );
  await until(() => states().includes('REJECTED'));
  expect(codes()).toContain(code);
  expect(machine.observed.current).toBe(OLD);
  expect(machine.log.filter((what) => what.startsWith('test'))).toEqual([]);
});
