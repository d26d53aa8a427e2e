import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { AGENT_STATES, isTerminalAgentState, type AgentJournal, type HostName } from '@floe/model';
import { DEFAULT_AGENT_POLICY } from '@floe/protocol';
import { exec, silentLogger, systemClock, type Clock } from '@floe/runtime';
import fc from 'fast-check';
import { expect, test, vi } from 'vitest';
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
  sealHint,
  storePath,
  SYSTEM,
  type SealHintOptions,
} from '../test/fixtures.ts';
import { TestServer } from '../test/test-server.ts';
import { until } from '../test/until.ts';
import { NO_CONDITIONS } from '../when/conditions.ts';

vi.setConfig({ testTimeout: 60_000 });

const keys = newAuthorities();
const OLD = storePath('old');
/** Long waits are short here. */
const clock: Clock = { ...systemClock, sleep: async (ms, signal) => await systemClock.sleep(Math.min(ms, 10), signal) };
const system = (sequence: number) => storePath(`system-${sequence}`);

/** A directive of each sequence in turn; `isBad`: its health checks fail. */
type Course = readonly { readonly isBad: boolean; readonly isRestarted: boolean }[];

interface Hint {
  /** Sent when the agent reports this state of the directive `of`. */
  readonly at: (typeof AGENT_STATES)[number];
  readonly of: number;
  readonly sequence: number;
  readonly wrong: 'nothing' | 'nonce' | 'host' | 'expired' | 'key' | 'not signed';
}

function sealed({ sequence, wrong }: Hint, nonce: string) {
  const hint: SealHintOptions['hint'] = {
    nonce: wrong === 'nonce' ? 'of-another-connection' : nonce,
    host: wrong === 'host' ? ('bob' as HostName) : HOST,
    expiresAt: wrong === 'expired' ? 1 : Date.now() + 3600_000,
  };
  const envelope = sealHint(keys, {
    hint,
    release: { sequence, toplevel: system(sequence) },
    ...(wrong === 'key' ? { signers: { server: keys.release } } : {}),
  });
  return wrong === 'not signed' ? { ...envelope, signature: Buffer.alloc(64).toString('base64') } : envelope;
}

/** All that is durable of an agent that follows the course, and what it did to the machine. */
async function follow(course: Course, hints: readonly Hint[]) {
  const dir = await mkdtemp(join(tmpdir(), 'floe-hints-'));
  await using server = await TestServer.start();
  const machine = new FakeMachine();
  machine.observed = { current: OLD, booted: OLD, profile: { generation: 1, toplevel: OLD } };
  const { onMessage } = server;
  server.onMessage = (peer, message) => {
    if (message.type === 'report')
      for (const hint of hints)
        if (hint.at === message.state && hint.of === message.epoch) peer.send({ type: 'stage', envelope: sealed(hint, peer.nonce) });
    onMessage(peer, message);
  };
  let journal: AgentJournal = journalWith();

  async function run(work: () => Promise<void>): Promise<void> {
    const reports = await ReportQueue.open(join(dir, 'reports.jsonl'), journal.report, silentLogger);
    const stop = new AbortController();
    const agent = new Agent({
      settings: agentSettings(server.url, keys),
      identity: { host: HOST, machineId: MACHINE_ID, bootId: 'boot', system: SYSTEM, signer: newSigner('ada') },
      machine,
      journal,
      reports,
      exec,
      clock,
      logger: silentLogger,
      random: () => 0.5,
      saveJournal: async (next) => {
        journal = next;
        await Promise.resolve();
      },
      conditions: NO_CONDITIONS,
      readPolicy: async () => await Promise.resolve(DEFAULT_AGENT_POLICY),
      ensureEnrolled: async () => await Promise.resolve(),
      enrolAnew: async () => await Promise.resolve(false),
    });
    const ended = agent.run(stop.signal);
    await Promise.race([work(), ended]);
    stop.abort();
    await ended;
    await reports[Symbol.asyncDispose]();
  }

  async function take(index: number): Promise<void> {
    const { isBad } = course[index] ?? { isBad: false };
    const epoch = index + 1;
    machine.healthChecks = isBad ? JSON.stringify([{ name: 'web', command: ['/bin/false'] }]) : undefined;
    await until(() => server.peer !== undefined);
    const release = { sequence: epoch, toplevel: system(epoch) };
    server.offer((nonce) => sealDirective(keys, { directive: { epoch, expiresAt: Date.now() + 3600_000, nonce }, release }));
    await until(() => server.reports.some((report) => report.epoch === epoch && isTerminalAgentState(report.state)));
  }

  let from = 0;
  for (const [index, { isRestarted }] of course.entries()) {
    if (!isRestarted && index < course.length - 1) continue;
    const [first, last] = [from, index];
    await run(async () => {
      for (let each = first; each <= last; each += 1) await take(each);
    });
    from = index + 1;
  }
  await rm(dir, { recursive: true });
  const { directive, state, sequences, epoch, quarantined, previous, override, pending, verdict, activation, nextReportSeq } = journal;
  return {
    reports: server.reports.map((each) => ({ ...each, at: 0, timings: {} })),
    journal: { release: directive?.release, state, sequences, epoch, quarantined, previous, override, pending, verdict, activation, nextReportSeq },
    log: machine.log.filter((what) => !what.startsWith('stage ')),
    staged: machine.log.filter((what) => what.startsWith('stage ')),
    roots: [...machine.roots.keys()].filter((root) => root !== 'ahead'),
  };
}

test('wherever hints come, good and bad ones, the journal, the reports and the changes of the machine are the same', async () => {
  const courses = fc.array(fc.record({ isBad: fc.boolean(), isRestarted: fc.boolean() }), { minLength: 1, maxLength: 3 });
  const hints = fc.array(
    fc.record({
      at: fc.constantFrom(...AGENT_STATES),
      of: fc.integer({ min: 1, max: 3 }),
      sequence: fc.integer({ min: 0, max: 5 }),
      wrong: fc.oneof({ weight: 3, arbitrary: fc.constant('nothing' as const) }, fc.constantFrom('nonce', 'host', 'expired', 'key', 'not signed')),
    }),
    { maxLength: 12 },
  );
  await fc.assert(
    fc.asyncProperty(courses, hints, async (course, some) => {
      const [without, { staged, ...withHints }] = await Promise.all([follow(course, []), follow(course, some)]);
      const { staged: none, ...expected } = without;
      expect(none).toEqual([]);
      expect(withHints).toEqual(expected);
      // What is wrong with a hint is enough that nothing of it is downloaded.
      const good = new Set<string>(some.filter(({ wrong }) => wrong === 'nothing').map(({ sequence }) => `stage ${system(sequence)}`));
      for (const what of staged) expect(good).toContain(what);
    }),
    { numRuns: 12 },
  );
});

test('the directive finds what was downloaded ahead, and the root of it ends with the directive', async () => {
  const { staged, log } = await follow(
    [
      { isBad: false, isRestarted: false },
      { isBad: false, isRestarted: true },
    ],
    [{ at: 'SUCCEEDED', of: 1, sequence: 2, wrong: 'nothing' }],
  );
  expect(staged.length).toBeLessThanOrEqual(1);
  expect(log.filter((what) => what.startsWith('test '))).toEqual([`test ${system(1)}`, `test ${system(2)}`]);
});
