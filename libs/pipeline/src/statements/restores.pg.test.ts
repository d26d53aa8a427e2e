import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { diffFleet, MAX_COUNTER, type CommitSha, type HostName, type StorePath } from '@floe/model';
import { generateKeyPem, signerFromPem, silentLogger, systemClock } from '@floe/runtime';
import type { Repository, Revision, Store } from '@floe/store';
import type { PostgresServer } from '@floe/testkit';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { rebuildFromStatements } from './rebuild.ts';
import { asCleared } from '../test/cleared.ts';
import { releaseHosts } from '../release.ts';
import { openStatementLog, type StatementLog } from './statement-log.ts';
import { presenceOf, type Agent } from '../test/agent.ts';
import { openOnPostgres, startMigratedPostgres } from '../test/migrated-postgres.ts';

const HOSTS = ['ada', 'bob', 'cleo'] as HostName[];
const signer = signerFromPem('release-1', generateKeyPem());

let server: PostgresServer;
let template: string;
let dir: string;
beforeAll(async () => {
  ({ server, template } = await startMigratedPostgres());
  dir = await mkdtemp(join(tmpdir(), 'floe-restores-'));
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
  await rm(dir, { recursive: true, force: true });
});

/** What a commit means for each host: the number of its system; undefined: it does not evaluate. */
type Commit = readonly (number | undefined)[];

/** A server's database, statement log and agents, without Nix and git. */
class World {
  store!: Store;
  #url = '';
  #branch = 'main';
  readonly #statements: StatementLog;
  readonly #commits: Commit[] = [];
  readonly #dumps: string[] = [];
  readonly #agents = new Map<HostName, Agent>(HOSTS.map((host) => [host, { sequence: 0, epoch: 0, toplevel: undefined }]));
  /** The commit of each sequence, over all restores. */
  readonly #given = new Map<number, string>();

  constructor(statementsDir: string) {
    this.#statements = openStatementLog(statementsDir, silentLogger);
  }

  async open(url: string): Promise<void> {
    this.#url = url;
    this.store = await openOnPostgres(url);
    const repository = await this.repository();
    await rebuildFromStatements(
      { store: this.store, clock: systemClock, statements: this.#statements, releaseKeys: [signer], serverKeys: [], logger: silentLogger },
      repository,
    );
    await this.store.hosts.ensure(repository.id, HOSTS);
  }

  async repository(): Promise<Repository> {
    return await this.store.repositories.ensure({ url: 'https://forge.example/fleet.git', branch: this.#branch, now: 1 });
  }

  /** The branch gets another name at the forge, and in the settings. */
  rename(): void {
    this.#branch = this.#branch === 'main' ? 'trunk' : 'main';
  }

  push(commit: Commit): void {
    this.#commits.push(commit);
  }

  async takeIn(): Promise<void> {
    const { id } = await this.repository();
    if (this.#commits.length === 0) return;
    const sha = shaOf(this.#commits.length);
    if ((await this.store.revisions.newest(id))?.sha === sha) return;
    await this.store.revisions.receive(id, { sha, subject: '', authorName: '', authorEmail: '', committedAt: 1, receivedAt: 1, fetchedAt: 1 });
  }

  /** One step of the pipeline. `diesAfter`: the server dies in its last step, with this many releases in the log. */
  async step(diesAfter?: number): Promise<boolean> {
    const repository = await this.repository();
    const revision = await this.store.revisions.nextUnfinished(repository.id);
    if (revision === undefined) return false;
    const { id } = revision;
    switch (revision.state) {
      case 'RECEIVED':
        await this.#statements.noteSequence(revision.sequence);
        expect([revision.sha, undefined]).toContain(this.#given.get(revision.sequence)); // R1
        this.#given.set(revision.sequence, revision.sha);
        await this.store.revisions.advance(id, 'accepted', 1);
        break;
      case 'VERIFYING':
        await this.store.revisions.advance(id, 'verified', 1);
        break;
      case 'EVALUATING':
        await this.#evaluate(revision);
        break;
      default:
        await this.#release(repository, revision, diesAfter);
    }
    return true;
  }

  async #evaluate(revision: Revision): Promise<void> {
    const systems = this.#commits[Number(revision.sha) - 1] ?? [];
    const evaluated = HOSTS.flatMap((host, index) => {
      const system = systems[index];
      return system === undefined ? [] : [{ host, drvPath: 'drv', toplevel: pathOf(host, system) }];
    });
    const failed = HOSTS.filter((_, index) => systems[index] === undefined);
    const released = new Map((await this.store.releases.latest(revision.repositoryId)).map(({ host, toplevel }) => [host, toplevel]));
    const diff = diffFleet(evaluated, failed, released);
    const changed = new Set([...diff.changed, ...diff.added]);
    await this.store.revisions.saveEvaluations(revision.id, [
      ...evaluated.map((each) => ({ ...each, outcome: changed.has(each.host) ? ('CHANGED' as const) : ('UNCHANGED' as const) })),
      ...failed.map((host) => ({ host, outcome: 'EVAL_ERROR' as const, error: 'broken' })),
    ]);
    await this.store.revisions.advance(revision.id, evaluated.length === 0 ? 'evaluation-failed' : 'evaluated', 1);
  }

  async #release(repository: Repository, revision: Revision, diesAfter: number | undefined): Promise<void> {
    const hosts = (await this.store.revisions.evaluations(revision.id)).flatMap(({ host, outcome, toplevel }) =>
      outcome === 'CHANGED' && toplevel !== undefined ? [{ host, toplevel, system: 'x86_64-linux', narHash: 'sha256:0', closureSizeBytes: 1 }] : [],
    );
    const dying = new Error('died');
    let written = 0;
    const statements: StatementLog = {
      ...this.#statements,
      writeRelease: async (...release) => {
        if ((written += 1) > (diesAfter ?? Infinity)) throw dying;
        await this.#statements.writeRelease(...release);
      },
    };
    try {
      await releaseHosts({ store: this.store, statements, releaseSigner: signer, clock: systemClock }, repository, asCleared(revision), hosts);
    } catch (error) {
      if (error !== dying) throw error;
      await this.#reopen(this.#url);
    }
  }

  /** The host's agent connects, receives its directive and accepts it. Throws when the agent would refuse. */
  async hello(host: HostName): Promise<void> {
    const agent = this.#agentOf(host);
    const { id } = await this.repository();
    await this.store.hosts.connect(host, presenceOf(agent));
    // The server's engine begins a rollout.
    const { rollout } = await this.store.hosts.fleet(id, []);
    if (rollout?.state === 'WAITING_APPROVAL')
      await this.store.rollouts.save({ id: rollout.id, version: rollout.version, course: { ...rollout.course, state: 'ROLLING' } }, 1, []);
    const { hosts } = await this.store.hosts.fleet(id, [host]);
    const wanted = hosts[0]?.desired;
    if (wanted === undefined) throw new Error('the host is not known');
    if (wanted.kind !== 'release') return;
    await this.store.hosts.desire([wanted.release], 1);
    const epoch = (await this.store.hosts.get(host))?.epoch ?? 0;
    expect(wanted.release.sequence, `${host} accepted ${agent.sequence} before`).toBeGreaterThanOrEqual(agent.sequence);
    expect(epoch).toBeGreaterThanOrEqual(agent.epoch);
    Object.assign(agent, { sequence: wanted.release.sequence, epoch, toplevel: wanted.release.toplevel });
  }

  #agentOf(host: HostName): Agent {
    const agent = this.#agents.get(host);
    if (agent === undefined) throw new Error(`there is no ${host}`);
    return agent;
  }

  async dump(): Promise<void> {
    await this.store[Symbol.asyncDispose]();
    this.#dumps.push(await server.createDatabase(this.#url));
    await this.open(this.#url);
  }

  async restore(which: number): Promise<void> {
    const dump = this.#dumps[which % Math.max(1, this.#dumps.length)];
    if (dump === undefined) return;
    await this.#reopen(await server.createDatabase(dump));
  }

  async #reopen(url: string): Promise<void> {
    await this.store[Symbol.asyncDispose]();
    await this.open(url);
  }

  /** Runs all steps that there are; then each host runs what the newest commit has for it, if anything. */
  async settle(): Promise<void> {
    await this.takeIn();
    while (await this.step());
    for (const host of HOSTS) await this.hello(host);
    const systems = this.#commits.at(-1) ?? [];
    HOSTS.forEach((host, index) => {
      const system = systems[index];
      if (system !== undefined) expect(this.#agentOf(host).toplevel).toBe(pathOf(host, system));
    });
  }
}

function shaOf(index: number): CommitSha {
  return String(index).padStart(40, '0') as CommitSha;
}

function pathOf(host: HostName, system: number): StorePath {
  return `/nix/store/${'0'.repeat(32)}-${host}-${system}` as StorePath;
}

type Action =
  | { readonly kind: 'push'; readonly commit: Commit }
  | { readonly kind: 'takeIn' | 'step' | 'dump' | 'rename' }
  | { readonly kind: 'die'; readonly after: number }
  | { readonly kind: 'hello'; readonly host: number }
  | { readonly kind: 'restore'; readonly which: number };

async function act(world: World, action: Action): Promise<void> {
  if (action.kind === 'push') world.push(action.commit);
  else if (action.kind === 'hello') await world.hello(HOSTS[action.host] ?? ('ada' as HostName));
  else if (action.kind === 'restore') await world.restore(action.which);
  else if (action.kind === 'die') await world.step(action.after);
  else if (action.kind === 'step') await world.step();
  else await world[action.kind]();
}

const system = fc.option(fc.integer({ min: 1, max: 3 }), { nil: undefined, freq: 3 });
const action: fc.Arbitrary<Action> = fc.oneof(
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('push' as const), commit: fc.tuple(system, system, system) }) },
  { weight: 3, arbitrary: fc.constant({ kind: 'takeIn' as const }) },
  { weight: 10, arbitrary: fc.constant({ kind: 'step' as const }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('hello' as const), host: fc.nat(2) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('die' as const), after: fc.nat(2) }) },
  { weight: 1, arbitrary: fc.constantFrom({ kind: 'dump' as const }, { kind: 'rename' as const }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('restore' as const), which: fc.nat(2) }) },
);

let worlds = 0;
async function withWorld(use: (world: World) => Promise<void>): Promise<void> {
  const world = new World(join(dir, `statements${(worlds += 1)}`));
  await world.open(await server.createDatabase(template));
  try {
    await use(world);
  } finally {
    await world.store[Symbol.asyncDispose]();
  }
}

/** More runs for a nightly test. */
const numRuns = Number(process.env['FLOE_TEST_RUNS'] ?? 6);

test(
  'with restores at any point no sequence is used twice, no host gets an older one, and all end on the newest commit (R1)',
  async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(action, { minLength: 15, maxLength: 45 }), async (actions) => {
        await withWorld(async (world) => {
          for (const each of actions) await act(world, each);
          await world.settle();
        });
      }),
      { numRuns },
    );
  },
  60_000 + numRuns * 10_000,
);

test('a backup from the middle of a build, and a newer head that is broken for a host: it keeps what it accepted', async () => {
  await withWorld(async (world) => {
    world.push([1, 1, 1]);
    await world.settle();
    world.push([2, 1, 1]);
    await world.takeIn();
    for (let steps = 0; steps < 3; steps += 1) await world.step(); // BUILDING
    await world.dump();
    await world.settle();
    world.push([undefined, 2, 1]);
    await world.restore(0);
    await world.settle();
    world.push([3, 3, 3]);
    await world.settle();
  });
});

test('a lost statement log: the next revision continues above what hosts say that they accepted', async () => {
  await withWorld(async (world) => {
    world.push([1, 1, 1]);
    await world.settle();
    const { id } = await world.repository();
    const told: Agent = { sequence: 57, epoch: 9, toplevel: undefined };
    await world.store.hosts.connect('ada' as HostName, presenceOf(told));
    await world.store.hosts.connect('bob' as HostName, presenceOf({ ...told, sequence: MAX_COUNTER }));
    world.push([2, 2, 2]);
    await world.takeIn();
    expect((await world.store.revisions.newest(id))?.sequence, 'a host that says a false one does not exhaust them').toBe(58);
  });
});
