import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isEndedRevision, MAX_COUNTER, type HostName, type StorePath } from '@floe/model';
import { silentLogger, systemClock } from '@floe/runtime';
import type { Revision } from '@floe/store';
import { eventually, type PostgresServer } from '@floe/testkit';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { rebuildFromStatements } from './statements/rebuild.ts';
import { openStatementLog } from './statements/statement-log.ts';
import { presenceOf } from './test/agent.ts';
import { startMigratedPostgres } from './test/migrated-postgres.ts';
import { openWorldStore, signer, World } from './test/world.ts';
import type { WorldHost } from './test/world-host.ts';

// A builder of its own process signs nothing far ahead of what it signed. Hosts say which sequence they accepted, and nothing signs that.

const HOSTS = ['ada', 'bob'] as HostName[];

let server: PostgresServer;
let template: string;
let dir: string;
beforeAll(async () => {
  ({ server, template } = await startMigratedPostgres());
  dir = await mkdtemp(join(tmpdir(), 'floe-far-ahead-'));
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
  await rm(dir, { recursive: true, force: true });
});

let fleets = 0;

/** Two builders, each with its own statement log, of which one works; their database may be lost or restored. */
class Fleet implements AsyncDisposable {
  readonly #dir = join(dir, `fleet${(fleets += 1)}`);
  readonly #commits: Readonly<Record<string, WorldHost>>[] = [{ ada: { evaluates: 1 }, bob: { evaluates: 1 } }];
  readonly #dumps: string[] = [];
  #url = '';
  #builder = 0;
  #world: World | undefined;

  get world(): World {
    if (this.#world === undefined) throw new Error('no builder runs');
    return this.#world;
  }

  get #folder(): string {
    return join(this.#dir, `builder${this.#builder}`);
  }

  async start(url: string): Promise<void> {
    this.#url = url;
    const world = new World(await openWorldStore(url));
    world.isApart = true;
    world.takesSubmissions = true;
    world.commits.push(...this.#commits);
    const { store } = world;
    const repository = await store.repositories.ensure({ url: 'https://forge.example/fleet.git', branch: 'main', now: 1 });
    await store.hosts.ensure(repository.id, HOSTS);
    const statements = openStatementLog(join(this.#folder, 'statements'), silentLogger);
    await rebuildFromStatements({ store, clock: systemClock, statements, releaseKeys: [signer], serverKeys: [], logger: silentLogger }, repository);
    await world.start(this.#folder);
    this.#world = world;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#world?.stop();
    this.#world = undefined;
  }

  async restart(url = this.#url): Promise<void> {
    await this[Symbol.asyncDispose]();
    await this.start(url);
  }

  async dump(): Promise<void> {
    await this[Symbol.asyncDispose]();
    this.#dumps.push(await server.createDatabase(this.#url));
    await this.start(this.#url);
  }

  async restore(which: number): Promise<void> {
    const dump = this.#dumps[which % Math.max(1, this.#dumps.length)];
    await this.restart(await server.createDatabase(dump ?? template));
  }

  async lose(): Promise<void> {
    await this.restart(await server.createDatabase(template));
  }

  async other(): Promise<void> {
    this.#builder = 1 - this.#builder;
    await this.restart();
  }

  async commit(isGood: boolean): Promise<void> {
    const evaluates = isGood ? this.#commits.length + 1 : 'broken';
    const hosts = { ada: { evaluates }, bob: { evaluates } } as const;
    this.#commits.push(hosts);
    await this.world.push(hosts);
  }

  /** Its own key, and a sequence that is so far above all that were ever given. */
  async hello(host: HostName, above: number): Promise<void> {
    const { store, repository } = this.world;
    const { sequence } = await store.repositories.get(repository.id);
    const claimed = Math.min(MAX_COUNTER, sequence + above);
    await store.hosts.connect(host, presenceOf({ sequence: claimed, epoch: 1, toplevel: undefined }));
  }

  async over(): Promise<Revision> {
    const { store, repository } = this.world;
    const head = String(this.#commits.length).padStart(40, '0');
    return await eventually('the newest commit is over', async () => {
      const newest = await store.revisions.newestOfBranch(repository.id);
      return newest?.sha === head && isEndedRevision(newest.state) && newest.state !== 'SUPERSEDED' ? newest : undefined;
    });
  }

  /** What became of the newest commit is what its hosts evaluate to. */
  async settle(): Promise<void> {
    const { state, error } = await this.over();
    expect({ state, error }).toEqual(
      this.#commits.at(-1)?.['ada']?.evaluates === 'broken'
        ? { state: 'EVAL_FAILED', error: expect.any(String) as string }
        : { state: 'PUBLISHED', error: undefined },
    );
  }

  get #noted(): string {
    return join(this.#folder, 'statements/sequence');
  }

  /** The highest number that this builder keeps, whatever becomes of the database. */
  async noted(): Promise<number> {
    return Number(await readFile(this.#noted, 'utf8'));
  }

  async note(sequence: number): Promise<void> {
    await writeFile(this.#noted, String(sequence));
  }
}

type Action =
  | { readonly kind: 'hello'; readonly host: HostName; readonly above: number }
  | { readonly kind: 'commit'; readonly isGood: boolean }
  | { readonly kind: 'restore'; readonly which: number }
  | { readonly kind: 'restart' | 'dump' | 'lose' | 'other' };

async function act(fleet: Fleet, action: Action): Promise<void> {
  if (action.kind === 'hello') await fleet.hello(action.host, action.above);
  else if (action.kind === 'commit') await fleet.commit(action.isGood);
  else if (action.kind === 'restore') await fleet.restore(action.which);
  else await fleet[action.kind]();
  if (action.kind !== 'hello') await fleet.settle();
}

const above = fc.constantFrom(1, 57, 5_000, 9_999, 10_000, 10_001, 50_000, 60_000, 99_999, 100_000, 100_001, 900_000, 1_000_000, MAX_COUNTER);
const action: fc.Arbitrary<Action> = fc.oneof(
  { weight: 8, arbitrary: fc.record({ kind: fc.constant('hello' as const), host: fc.constantFrom(...HOSTS), above }) },
  { weight: 5, arbitrary: fc.record({ kind: fc.constant('commit' as const), isGood: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('restore' as const), which: fc.nat(2) }) },
  { weight: 3, arbitrary: fc.constantFrom('restart', 'dump', 'lose', 'other').map((kind) => ({ kind }) as const) },
);

async function withFleet(use: (fleet: Fleet) => Promise<void>): Promise<void> {
  await using fleet = new Fleet();
  await fleet.start(await server.createDatabase(template));
  await fleet.settle();
  await use(fleet);
}

/** More runs for a nightly test. */
const numRuns = Number(process.env['FLOE_TEST_RUNS'] ?? 6);

test('a host that claims a sequence far above all others stops nothing, however often', async () => {
  await withFleet(async (fleet) => {
    for (let n = 0; n < 3; n += 1) {
      await fleet.hello('ada' as HostName, 900_000);
      await fleet.commit(true);
      await fleet.settle();
    }
    expect(await fleet.noted()).toBeLessThan(100);
  });
});

test('a builder that takes over goes on above what another one signed with its key', async () => {
  await withFleet(async (fleet) => {
    // Its own log ends here.
    await fleet.other();
    await fleet.commit(true);
    await fleet.settle();
    await fleet.other();
    for (let n = 0; n < 11; n += 1) {
      await fleet.hello('ada' as HostName, 10_000 - 1);
      await fleet.commit(true);
      await fleet.settle();
    }
    expect(await fleet.noted()).toBeGreaterThan(100_000);
    await fleet.other();
    await fleet.commit(true);
    await fleet.settle();
  });
});

test('where somebody changed the database a backup of it helps: nothing that was refused is kept elsewhere', async () => {
  await withFleet(async (fleet) => {
    await fleet.dump();
    const { store, repository } = fleet.world;
    await store.repositories.raiseSequence(repository.id, 900_000);
    const enrolment = { host: 'ada' as HostName, repositoryId: repository.id, machineId: 'machine', publicKey: 'key', at: 1 };
    await store.hosts.enrol(enrolment);
    const systems = { host: 'ada' as HostName, toplevel: `/nix/store/${'0'.repeat(32)}-ada-9` as StorePath, by: 'ada', reason: 'why', at: 1 };
    await store.submissions.request({ ...systems, repositoryId: repository.id, expiresAt: undefined });
    await fleet.commit(true);
    const refused = await fleet.over();
    expect(refused).toMatchObject({ state: 'REJECTED', error: expect.stringContaining('restore it from a backup') as string });
    const submitted = await eventually('what was submitted is over, too', async () => {
      const [ada] = (await store.hosts.fleet(repository.id, ['ada' as HostName])).hosts;
      return ada?.submission?.state === 'WAITING' ? undefined : ada?.submission;
    });
    expect(submitted).toMatchObject({ state: 'FAILED', result: expect.stringContaining('is far above 1,') as string });
    expect(await fleet.noted()).toBe(1);
    await fleet.restore(0);
    await fleet.settle();
    expect(await fleet.noted()).toBe(2);
  });
});

test('a number that an older version kept after it was refused is left out', async () => {
  await withFleet(async (fleet) => {
    await fleet.note(900_000);
    await fleet.restart();
    await fleet.commit(true);
    await fleet.settle();
  });
});

test(
  'whatever hosts claim, and whatever is lost and restored, no commit is refused for its sequence',
  { timeout: 60_000 + numRuns * 30_000 },
  async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(action, { minLength: 6, maxLength: 20 }), async (actions) => {
        await withFleet(async (fleet) => {
          for (const each of actions) await act(fleet, each);
          await fleet.commit(true);
          await fleet.settle();
        });
      }),
      { numRuns },
    );
  },
);
