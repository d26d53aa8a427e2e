import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { emptyJournal, type AgentState } from '@floe/model';
import { DEFAULT_AGENT_POLICY } from '@floe/protocol';
import { exec, silentLogger, systemClock, type Clock } from '@floe/runtime';
import fc from 'fast-check';
import { expect, test, vi } from 'vitest';
import { Agent, type AgentDeps } from '../agent.ts';
import { ReportQueue } from '../state/report-queue.ts';
import { FakeMachine } from '../test/fake-machine.ts';
import { agentSettings, HOST, MACHINE_ID, newAuthorities, newSigner, sealDirective, storePath, SYSTEM } from '../test/fixtures.ts';
import { TestServer } from '../test/test-server.ts';
import { until } from '../test/until.ts';
import { NO_CONDITIONS } from '../when/conditions.ts';

// A machine that sleeps, as its agent sees it: nothing runs, the clocks of the day and since the boot go on, the one of durations stands
// still, and the server has long since given up the connection.

vi.setConfig({ testTimeout: 120_000 });

const keys = newAuthorities();
const OLD = storePath('old');
const NEW = storePath('new');
const HOUR_MS = 3600_000;

/** Where it falls asleep. */
const POINTS = ['download', 'test', 'hello', 'boot'] as const;

test('wherever a machine sleeps in a switch and for how long, that counts for no limit, and it goes on when it is awake', async () => {
  await fc.assert(
    fc.asyncProperty(fc.subarray([...POINTS], { minLength: 1 }), fc.integer({ min: 1, max: 14 * 24 }), async (points, hours) => {
      const dir = await mkdtemp(join(tmpdir(), 'floe-sleeps-'));
      const server = await TestServer.start();
      const left = new Set<string>(points);
      let sleptMs = 0;
      let deafPeers = 0;
      const fallAsleep = (point: string): void => {
        if (!left.delete(point)) return;
        sleptMs += hours * HOUR_MS;
        deafPeers = server.peers.length;
      };
      const machine = new FakeMachine();
      machine.observed = { current: OLD, booted: OLD, profile: { generation: 1, toplevel: OLD } };
      machine.before = async (what) => await Promise.resolve(fallAsleep(what.split(' ')[0] ?? ''));
      machine.healthChecks = JSON.stringify([{ name: 'web', command: ['/bin/true'] }]);
      const clock: Clock = {
        now: () => systemClock.now() + sleptMs,
        monotonic: () => systemClock.monotonic(),
        sinceBoot: () => systemClock.sinceBoot() + sleptMs,
        sleep: async (ms, signal) => await systemClock.sleep(Math.min(ms, 20), signal),
      };
      server.onHello = (peer) => {
        // While it is verified: on the new connection that this asks for.
        if (server.peers.length > 1) fallAsleep('hello');
        peer.send({ type: 'welcome', serverTime: clock.now(), reportSeq: 0 });
      };
      const reports = await ReportQueue.open(join(dir, 'reports.jsonl'), null, silentLogger);
      const stop = new AbortController();
      const settings: AgentDeps['settings'] = agentSettings(server.url, keys, { contactTimeoutMs: 10_000 });
      const agent = new Agent({
        settings,
        identity: { host: HOST, machineId: MACHINE_ID, bootId: 'boot', system: SYSTEM, signer: newSigner('ada') },
        machine,
        journal: emptyJournal(clock.now()),
        reports,
        exec,
        clock,
        logger: silentLogger,
        random: () => 0.5,
        saveJournal: async () => await Promise.resolve(),
        conditions: NO_CONDITIONS,
        readPolicy: async () => await Promise.resolve(DEFAULT_AGENT_POLICY),
        ensureEnrolled: async () => await Promise.resolve(),
        enrolAnew: async () => await Promise.resolve(false),
      });
      const ended = agent.run(stop.signal);
      try {
        await until(() => server.peer !== undefined);
        server.offer((nonce) =>
          sealDirective(keys, { release: { expiresAt: clock.now() + 365 * 24 * HOUR_MS }, directive: { expiresAt: clock.now() + HOUR_MS, nonce } }),
        );
        await until(() => server.reports.some(({ state }) => state === 'SUCCEEDED'));
        const went: readonly AgentState[] = server.reports.map(({ state }) => state);
        expect(went.filter((state) => ['ROLLING_BACK', 'ROLLED_BACK', 'BLOCKED', 'REJECTED'].includes(state))).toEqual([]);
        expect([machine.observed.current, machine.observed.profile?.toplevel, agent.journal.quarantined]).toEqual([NEW, NEW, []]);
        expect([...left]).toEqual([]);
        // The connection from before the sleep is not trusted, however alive it looks.
        await until(() => agent.connection.isConnected && server.peers.length > deafPeers);
      } finally {
        stop.abort();
        await ended;
        await reports[Symbol.asyncDispose]();
        await server[Symbol.asyncDispose]();
        await rm(dir, { recursive: true });
      }
    }),
    { numRuns: 25, endOnFailure: true },
  );
});
