import { randomBytes } from 'node:crypto';
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { acceptedSequence, type AgentDetail, type HostName } from '@floe/model';
import { DEFAULT_AGENT_POLICY, HostView } from '@floe/protocol';
import { dataPaths } from '@floe/pipeline';
import { exec, signerFromPem, silentLogger, systemClock, type Clock, type Signer } from '@floe/runtime';
import { eventually } from '@floe/testkit';
import fc from 'fast-check';
import * as v from 'valibot';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Agent } from '../apps/agent/src/agent.ts';
import { enrolAnew, ensureEnrolled, hasNewToken, type EnrolmentDeps } from '../apps/agent/src/server/enrolment.ts';
import { AgentIdentity } from '../apps/agent/src/server/identity.ts';
import { postJson } from '../apps/agent/src/server/post-json.ts';
import { openJournal, saveJournal } from '../apps/agent/src/state/journal-file.ts';
import { ReportQueue } from '../apps/agent/src/state/report-queue.ts';
import { makeStateFolder, statePaths } from '../apps/agent/src/state/state-folder.ts';
import { FakeMachine } from '../apps/agent/src/test/fake-machine.ts';
import { agentSettings, SYSTEM } from '../apps/agent/src/test/fixtures.ts';
import { openSshKey } from '../apps/agent/src/test/openssh-key.ts';
import { NO_CONDITIONS } from '../apps/agent/src/when/conditions.ts';
import { endRollout, publishCommit, system } from '../apps/server/src/test/commits.ts';
import { startTestServer, type TestServer } from '../apps/server/src/test/test-server.ts';

// The real server, with the enrolment, the identity, the connection and the journal of the real agent; machines are in memory.

let dir: string;
let server: TestServer;
let keys: { readonly release: Signer; readonly server: Signer };

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'floe-forgetful-'));
  server = await startTestServer({ dataDir: join(dir, 'server') });
  const paths = dataPaths(join(dir, 'server'));
  const [release, own] = await Promise.all([readFile(paths.releaseKey, 'utf8'), readFile(paths.serverKey, 'utf8')]);
  keys = { release: signerFromPem('release-1', release), server: signerFromPem('server-1', own) };
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
  await rm(dir, { recursive: true, force: true });
});

/** Long waits are short here. */
const clock: Clock = { ...systemClock, sleep: async (ms, signal) => await systemClock.sleep(Math.min(ms, 20), signal) };

/** A machine with a disk, whose parts can be lost, and an agent that runs or does not. */
class Computer {
  readonly host: HostName;
  readonly root: string;
  readonly usesKeyFile: boolean;
  readonly machine = new FakeMachine();
  #agent: Agent | undefined;
  #stop: (() => Promise<void>) | undefined;

  constructor(host: HostName, root: string, usesKeyFile: boolean) {
    this.host = host;
    this.root = root;
    this.usesKeyFile = usesKeyFile;
    const old = system('old');
    this.machine.observed = { current: old, booted: old, profile: { generation: 1, toplevel: old } };
  }

  get #keyFile(): string {
    return join(this.root, 'ssh_host_ed25519_key');
  }

  async newKey(): Promise<void> {
    await mkdir(this.root, { recursive: true });
    await writeFile(this.#keyFile, openSshKey(randomBytes(32)), { mode: 0o600 });
  }

  async newMachineId(): Promise<void> {
    await mkdir(join(this.root, 'etc'), { recursive: true });
    await writeFile(join(this.root, 'etc/machine-id'), `${randomBytes(16).toString('hex')}\n`);
  }

  async loseState(): Promise<void> {
    await rm(join(this.root, 'state'), { recursive: true, force: true });
  }

  async newToken(): Promise<void> {
    const { text } = await server.ask('POST', `hosts/${this.host}/enrolment-tokens`);
    await writeFile(join(this.root, 'token'), (JSON.parse(text) as { token: string }).token);
  }

  async loseToken(): Promise<void> {
    await rm(join(this.root, 'token'), { force: true });
  }

  async start(): Promise<void> {
    const paths = statePaths(join(this.root, 'state'));
    await makeStateFolder(paths.dir);
    const keyFile = this.usesKeyFile ? this.#keyFile : undefined;
    const bootId = randomBytes(8).toString('hex');
    const identity = new AgentIdentity({ host: this.host, root: this.root, paths, bootId, system: SYSTEM, keyFile, logger: silentLogger });
    const journal = await openJournal(paths.journal, { clock, logger: silentLogger });
    const reports = await ReportQueue.open(paths.reports, journal.report, silentLogger);
    let trouble: AgentDetail | undefined;
    const enrolment: EnrolmentDeps = {
      identity,
      serverUrl: server.url,
      tokenFile: join(this.root, 'token'),
      paths,
      post: postJson,
      clock,
      logger: silentLogger,
      random: () => 0.5,
      slowRetryMs: 100,
      triedTokens: new Set(),
      onTrouble: (told) => (trouble = told),
    };
    const agent = new Agent({
      settings: agentSettings(server.url, keys),
      identity,
      machine: this.machine,
      journal,
      saveJournal: async (next) => await saveJournal(paths.journal, next),
      reports,
      conditions: NO_CONDITIONS,
      readPolicy: async () => await Promise.resolve(DEFAULT_AGENT_POLICY),
      ensureEnrolled: async (signal) => await ensureEnrolled(enrolment, signal),
      enrolAnew: async (signal) => await enrolAnew(enrolment, signal),
      hasNewToken: async () => await hasNewToken(enrolment),
      enrolmentTrouble: () => trouble,
      exec,
      clock,
      logger: silentLogger,
      random: () => 0.5,
    });
    const stopping = new AbortController();
    const ended = agent.run(stopping.signal);
    this.#agent = agent;
    this.#stop = async () => {
      stopping.abort();
      await ended;
      await reports[Symbol.asyncDispose]();
    };
  }

  async stop(): Promise<void> {
    await this.#stop?.();
    this.#stop = undefined;
  }

  get agent(): Agent {
    if (this.#agent === undefined) throw new Error('no agent runs');
    return this.#agent;
  }

  /** The code of its refusal, or that it is connected, once one of them is so and stays. */
  async outcome(expected: string): Promise<void> {
    const now = (): string => (this.agent.connection.isConnected ? 'connected' : (this.agent.connection.refusal?.code ?? 'nothing yet'));
    await eventually(`${this.host} is ${expected}`, () => (now() === expected ? true : undefined), { explain: now });
  }

  get sequence(): number {
    return acceptedSequence(this.agent.journal, server.repository.url, server.repository.ref);
  }
}

async function row(host: HostName) {
  const found = await server.context.store.hosts.get(host);
  if (found === undefined) throw new Error(`there is no ${host}`);
  return found;
}

async function problemOf(host: HostName): Promise<string> {
  const { text } = await server.ask('GET', `hosts/${host}`);
  return v.parse(HostView, JSON.parse(text)).problem ?? '';
}

const start = fc.record({
  state: fc.constantFrom('kept', 'kept', 'lost'),
  token: fc.constantFrom('left', 'left', 'lost', 'new'),
  machineId: fc.constantFrom('same', 'same', 'new'),
  key: fc.constantFrom('same', 'same', 'same', 'new'),
  isPushed: fc.boolean(),
});

let walks = 0;

test('whatever a machine forgets, it is itself with its key, and else says what to do; what it accepted never falls', async () => {
  await fc.assert(
    fc.asyncProperty(fc.boolean(), fc.array(start, { minLength: 2, maxLength: 5 }), async (usesKeyFile, starts) => {
      const host = `ws${(walks += 1)}` as HostName;
      const computer = new Computer(host, join(dir, host), usesKeyFile);
      await computer.newKey();
      await computer.newMachineId();
      await computer.newToken();
      // What the server and the machine should make of it.
      let isTokenGood = true;
      let [enrolled, isCloned, isRecorded] = [false, false, false];
      let [knowsKey, knowsMachine] = [true, true];
      let pushes = 0;
      let floor = { epoch: 0, told: 0 };
      try {
        for (const step of [{ state: 'kept', token: 'left', machineId: 'same', key: 'same', isPushed: true } as const, ...starts]) {
          if (step.state === 'lost') {
            await computer.loseState();
            isRecorded = false;
            if (!usesKeyFile) knowsKey = false;
          }
          if (step.token === 'lost') [isTokenGood] = [false, await computer.loseToken()];
          if (step.token === 'new') [isTokenGood] = [true, await computer.newToken()];
          if (step.machineId === 'new') {
            await computer.newMachineId();
            if (!usesKeyFile) knowsMachine = false;
          }
          if (step.key === 'new') {
            await computer.newKey();
            if (usesKeyFile) knowsKey = false;
          }
          await computer.start();
          // Only a machine that has no key to be known by asks for an enrolment before it is refused.
          const asksFirst = !usesKeyFile && !isRecorded;
          if (!(asksFirst && isTokenGood) && enrolled && knowsKey && !knowsMachine) isCloned = true;
          const refusal = !enrolled ? 'HOST_NOT_ENROLLED' : !knowsKey ? 'HOST_KEY_UNKNOWN' : isCloned ? 'HOST_CLONED' : undefined;
          const enrols = isTokenGood && (asksFirst || refusal !== undefined);
          if (enrols) {
            [isTokenGood, enrolled, isCloned, isRecorded, knowsKey, knowsMachine] = [false, true, false, true, true, true];
          }
          const isIn = enrols || refusal === undefined;
          await computer.outcome(isIn ? 'connected' : refusal);
          if (!isIn && refusal === 'HOST_KEY_UNKNOWN') {
            const problem = await eventually('the server shows it', async () => {
              const told = await problemOf(host);
              return told.includes('knocks') ? told : undefined;
            });
            expect(problem).toContain(`an agent with another key knocks as ${host}`);
          }
          if (isIn) await eventually('no knock is shown', async () => ((await problemOf(host)).includes('knocks') ? undefined : true));
          if (step.isPushed && pushes < 2) {
            pushes += 1;
            await endRollout(server);
            await publishCommit(server, { [host]: system(`${host}x${pushes}`) }, undefined, {}, keys.release);
          }
          if (isIn && pushes > 0) {
            await eventually('it follows', () => (computer.machine.observed.current === system(`${host}x${pushes}`) ? true : undefined));
            const { toldSequence = 0 } = await row(host);
            // What it forgot it knows again, and the server knows it all along.
            await eventually('it accepted that', () => (computer.sequence >= toldSequence ? true : undefined));
          }
          const { epoch, toldSequence: told = 0 } = await row(host);
          expect([epoch >= floor.epoch, told >= floor.told], JSON.stringify({ epoch, told, floor })).toEqual([true, true]);
          floor = { epoch, told };
          await computer.stop();
        }
      } finally {
        await computer.stop();
      }
    }),
    // One that fails takes the whole patience of its waits: it is not made smaller.
    { numRuns: 5, endOnFailure: true },
  );
});

test('a system that was rolled back is not tried again by a machine that forgot it', async () => {
  const host = 'burnt' as HostName;
  const computer = new Computer(host, join(dir, host), true);
  const bad = system('burntxbad');
  computer.machine.outcomeOf = (path) => (path === bad ? { kind: 'failed', detail: { code: 'SWITCH_FAILED', message: 'no' } } : undefined);
  const tries = (): number => computer.machine.log.filter((line) => line === `test ${bad}`).length;
  const push = async (path: typeof bad): Promise<void> => {
    await endRollout(server);
    await publishCommit(server, { [host]: path }, undefined, {}, keys.release);
  };
  try {
    await computer.newKey();
    await computer.newToken();
    await computer.start();
    await computer.outcome('connected');
    await push(bad);
    await eventually('it is told', async () => ((await problemOf(host)).includes('rolled back: no') ? true : undefined));
    for (let time = 0; time < 2; time += 1) {
      await computer.stop();
      await computer.loseState();
      await computer.start();
      await computer.outcome('connected');
    }
    const good = system('burntxgood');
    await push(good);
    await eventually('it follows the next', () => (computer.machine.observed.current === good ? true : undefined));
    expect(tries()).toBe(1);
  } finally {
    await computer.stop();
  }
});

test('of two machines with the same key file both are shut out while both are there, whatever their machine ids are', async () => {
  const host = 'twin' as HostName;
  const [one, other] = [new Computer(host, join(dir, 'one'), true), new Computer(host, join(dir, 'other'), true)];
  try {
    await one.newKey();
    await one.newToken();
    await one.start();
    await one.outcome('connected');
    await one.stop();
    // Alone it is taken for the machine itself: nothing tells it from one that was reinstalled.
    await cp(one.root, other.root, { recursive: true });
    await other.newMachineId();
    await other.start();
    await other.outcome('connected');
    await one.start();
    await Promise.all([one.outcome('HOST_CLONED'), other.outcome('HOST_CLONED')]);
    expect((await row(host)).clonedAt).toBeDefined();
  } finally {
    await Promise.all([one.stop(), other.stop()]);
  }
});
