import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { CommitSha, HostName, StorePath } from '@floe/model';
import { seal, type EnrolmentStatement, type RenameStatement, type RevocationStatement } from '@floe/protocol';
import { generateKeyPem, signerFromPem, silentLogger, systemClock } from '@floe/runtime';
import { openStore, type Repository, type Store } from '@floe/store';
import { startPostgres, type PostgresServer } from '@floe/testkit';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { rebuildFromStatements } from './rebuild.ts';
import { asCleared } from '../test/cleared.ts';
import { releaseHosts } from '../release.ts';
import { logStable } from './stable-statements.ts';
import { openStatementLog, type StatementLog } from './statement-log.ts';

const MIGRATIONS_DIR = join(import.meta.dirname, '../../../../migrations');
const NAMES = ['ada', 'bob', 'cleo'] as HostName[];
const [release, serverKey, stranger] = ['release-1', 'server-1', 'server-1'].map((id) => signerFromPem(id, generateKeyPem()));

const [KEY_A, KEY_B, KEY_C] = [1, 2, 3].map(() => signerFromPem('host', generateKeyPem()).publicKey) as [string, string, string];

let server: PostgresServer;
let template: string;
let root: string;
beforeAll(async () => {
  server = await startPostgres();
  template = await server.createDatabase();
  await using _migrated = await open(template);
  root = await mkdtemp(join(tmpdir(), 'floe-renames-'));
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
  await rm(root, { recursive: true, force: true });
});

async function open(url: string): Promise<Store> {
  return await openStore({ kind: 'postgres', url, maxConnections: 1 }, { clock: systemClock, logger: silentLogger, migrationsDir: MIGRATIONS_DIR });
}

/** A server's database and log, and what people did with its fleet. */
class World {
  store!: Store;
  readonly statements: StatementLog;
  #url = '';
  #commits = 0;
  #time = 1_000;

  constructor(dir: string) {
    this.statements = openStatementLog(dir, silentLogger);
  }

  async repository(): Promise<Repository> {
    return await this.store.repositories.ensure({ url: 'https://forge.example/fleet.git', branch: 'main', now: 1 });
  }

  async start(from: string): Promise<void> {
    if (this.#url !== '') await this.store[Symbol.asyncDispose]();
    this.#url = await server.createDatabase(from);
    this.store = await open(this.#url);
    await this.rebuild();
  }

  async rebuild(): Promise<void> {
    const deps = {
      store: this.store,
      clock: systemClock,
      statements: this.statements,
      releaseKeys: [release!],
      serverKeys: [serverKey!],
      logger: silentLogger,
    };
    await rebuildFromStatements(deps, await this.repository());
  }

  /** A copy of the database as it is. */
  async backup(): Promise<string> {
    await this.store[Symbol.asyncDispose]();
    const copy = await server.createDatabase(this.#url);
    this.store = await open(this.#url);
    return copy;
  }

  async publish(hosts: readonly HostName[]): Promise<void> {
    const repository = await this.repository();
    this.#commits += 1;
    const sha = String(this.#commits).padStart(40, '0') as CommitSha;
    const about = { subject: '', authorName: '', authorEmail: '', committedAt: 1, receivedAt: 1, fetchedAt: 1 };
    const revision = await this.store.revisions.receive(repository.id, { sha, ...about });
    await this.statements.noteSequence(revision.sequence);
    for (const event of ['accepted', 'verified'] as const) await this.store.revisions.advance(revision.id, event, 1);
    await this.store.hosts.ensure(repository.id, hosts);
    const built = hosts.map((host) => ({
      host,
      toplevel: `/nix/store/${'0'.repeat(32)}-${host}-${this.#commits}` as StorePath,
      system: 'x86_64-linux',
      narHash: 'sha256:0',
      closureSizeBytes: 1,
    }));
    const rows = built.map(({ host, toplevel }) => ({ host, toplevel, outcome: 'CHANGED' as const, drvPath: 'drv' }));
    await this.store.revisions.saveEvaluations(revision.id, rows);
    await this.store.revisions.advance(revision.id, 'evaluated', 1);
    const deps = { store: this.store, statements: this.statements, releaseSigner: release!, clock: systemClock };
    await releaseHosts(deps, repository, asCleared(revision), built);
  }

  async complete(): Promise<void> {
    const { id } = await this.repository();
    const { rollout } = await this.store.hosts.fleet(id);
    if (rollout === undefined) return;
    const course = { ...rollout.course, state: 'COMPLETE' as const };
    await this.store.rollouts.save({ id: rollout.id, version: rollout.version, course }, this.#time, []);
    await logStable({ store: this.store, statements: this.statements, releaseSigner: release!, clock: systemClock }, id);
  }

  async enrol(host: HostName, publicKey: string): Promise<void> {
    const { id } = await this.repository();
    this.#time += 1;
    const statement: EnrolmentStatement = { version: 1, host, machineId: 'a'.repeat(32), publicKey, enrolledAt: this.#time };
    await this.statements.appendEnrolment(seal(serverKey!, 'floe/enrolment', statement), statement);
    await this.store.hosts.enrol({ host, repositoryId: id, machineId: statement.machineId, publicKey, at: this.#time });
  }

  async revoke(host: HostName): Promise<void> {
    const row = await this.store.hosts.get(host);
    if (row?.publicKey === undefined || row.revokedAt !== undefined) return;
    this.#time += 1;
    const statement: RevocationStatement = { version: 1, host, publicKey: row.publicKey, revokedAt: this.#time, reason: 'x' };
    await this.statements.appendRevocation(seal(serverKey!, 'floe/revocation', statement), statement);
    await this.store.hosts.revoke(host, this.#time);
  }

  /** `isCut`: the server stops when the statement is written. */
  async rename(formerHost: HostName, host: HostName, isCut = false): Promise<string> {
    const repository = await this.repository();
    const row = await this.store.hosts.get(formerHost);
    if (row?.publicKey === undefined || formerHost === host) return 'nothing';
    this.#time += 1;
    const { publicKey, machineId = '' } = row;
    const { sequence } = repository;
    const statement: RenameStatement = { version: 1, formerHost, host, machineId, publicKey, sequence, renamedAt: this.#time, reason: 'x' };
    const beforeMove = async (): Promise<void> => {
      await this.statements.appendRename(seal(serverKey!, 'floe/rename', statement), statement);
      if (isCut) throw new Error('the server stopped');
    };
    return await this.store.hosts.rename({ formerHost, host, publicKey, at: this.#time, beforeMove }).catch((error: unknown) => {
      if (isCut) return 'cut';
      throw error;
    });
  }

  /** What the log has to bring back of each enrolled host: who it is, and what it may go back to. */
  async known(): Promise<unknown> {
    const { id } = await this.repository();
    const latest = new Map((await this.store.releases.latest(id)).map((each) => [each.host, each.toplevel]));
    const { hosts } = await this.store.hosts.fleet(id);
    const enrolled = hosts.filter(({ row }) => row.publicKey !== undefined);
    return await Promise.all(
      enrolled.map(async ({ row: { host, publicKey, revokedAt }, situation: { stable } }) => {
        const formerly = await Promise.all(NAMES.map(async (name) => ((await this.store.hosts.renamed(name))?.host === host ? name : '')));
        return {
          host,
          publicKey,
          isRevoked: revokedAt !== undefined,
          stable: stable?.toplevel,
          newest: latest.get(host),
          formerly: formerly.filter((each) => each !== '').join(),
        };
      }),
    );
  }
}

let worlds = 0;
async function newWorld(): Promise<World> {
  worlds += 1;
  const world = new World(join(root, String(worlds)));
  await world.start(template);
  return world;
}

test('a machine that was renamed keeps its key and its stable release through a restart and a rebuild from nothing', async () => {
  const [ada, bob] = NAMES as [HostName, HostName];
  const world = await newWorld();
  await world.publish([ada]);
  await world.enrol(ada, KEY_A);
  await world.complete();
  await world.publish([bob]);
  expect(await world.rename(ada, bob)).toBe('renamed');
  const stable = `/nix/store/${'0'.repeat(32)}-ada-1`;
  const expected = [{ host: bob, publicKey: KEY_A, isRevoked: false, stable, newest: `/nix/store/${'0'.repeat(32)}-bob-2`, formerly: 'ada' }];
  expect(await world.known()).toEqual(expected);
  await world.rebuild();
  expect(await world.known()).toEqual(expected);
  expect(await world.store.hosts.get(ada)).toBeUndefined();
  await world.start(template);
  expect(await world.known()).toEqual(expected);
  await world.store[Symbol.asyncDispose]();
});

test('a rename that was cut off after its statement is completed at the next start, and a backup from before it catches up', async () => {
  const [ada, bob] = NAMES as [HostName, HostName];
  const world = await newWorld();
  await world.publish([ada]);
  await world.enrol(ada, KEY_A);
  const backup = await world.backup();
  await world.publish([bob]);
  expect(await world.rename(ada, bob, true)).toBe('cut');
  expect(await world.store.hosts.get(ada)).toMatchObject({ publicKey: KEY_A });
  for (const from of [undefined, backup]) {
    await (from === undefined ? world.rebuild() : world.start(from));
    expect((await world.store.hosts.get(ada))?.publicKey).toBeUndefined();
    expect(await world.known()).toMatchObject([{ host: bob, publicKey: KEY_A, newest: `/nix/store/${'0'.repeat(32)}-bob-2`, formerly: 'ada' }]);
  }
  await world.store[Symbol.asyncDispose]();
});

test('a machine that is enrolled again with the key that was revoked stays enrolled through a restart and a rebuild', async () => {
  const [ada] = NAMES as [HostName];
  const world = await newWorld();
  await world.publish([ada]);
  await world.enrol(ada, KEY_A);
  await world.revoke(ada);
  await world.enrol(ada, KEY_A);
  for (const again of [async () => await world.rebuild(), async () => await world.start(template)]) {
    await again();
    expect(await world.known()).toMatchObject([{ host: ada, publicKey: KEY_A, isRevoked: false }]);
  }
  await world.store[Symbol.asyncDispose]();
});

test('a rename that another key signed moves nothing', async () => {
  const [ada, bob] = NAMES as [HostName, HostName];
  const world = await newWorld();
  await world.publish([ada]);
  await world.enrol(ada, KEY_A);
  const rest = { machineId: 'a'.repeat(32), publicKey: KEY_A, sequence: 9, renamedAt: 5_000, reason: '' };
  const statement: RenameStatement = { version: 1, formerHost: ada, host: bob, ...rest };
  await world.statements.appendRename(seal(stranger!, 'floe/rename', statement), statement);
  for (const start of [async () => await world.rebuild(), async () => await world.start(template)]) {
    await start();
    expect(await world.known()).toMatchObject([{ host: ada, publicKey: KEY_A, formerly: '' }]);
  }
  await world.store[Symbol.asyncDispose]();
});

test('whatever machines are renamed, enrolled and revoked, a restart changes nothing, and a rebuild from the log comes to the same keys', async () => {
  const name = fc.constantFrom(...NAMES);
  const step = fc.oneof(
    { weight: 3, arbitrary: fc.record({ kind: fc.constant('rename' as const), from: name, to: name }) },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant('enrol' as const), host: name, key: fc.constantFrom(KEY_A, KEY_B, KEY_C) }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('revoke' as const), host: name }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('complete' as const) }) },
  );
  let renamed = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 2, maxLength: 7 }), async (steps) => {
      const world = await newWorld();
      await world.publish(NAMES);
      for (const each of [
        { kind: 'enrol', host: NAMES[0]!, key: KEY_A } as const,
        { kind: 'rename', from: NAMES[0]!, to: NAMES[1]! } as const,
        ...steps,
      ]) {
        if (each.kind === 'enrol') await world.enrol(each.host, each.key);
        else if (each.kind === 'revoke') await world.revoke(each.host);
        else if (each.kind === 'complete') await world.complete();
        else {
          // As the flake has to be for a rename.
          await world.publish(NAMES.filter((one) => one !== each.from));
          if ((await world.rename(each.from, each.to)) === 'renamed') renamed += 1;
        }
      }
      const before = (await world.known()) as { readonly host: string; readonly publicKey: string; readonly isRevoked: boolean }[];
      await world.rebuild();
      expect(await world.known()).toEqual(before);
      await world.start(template);
      const keysOf = (all: typeof before) => all.map(({ host, publicKey, isRevoked }) => ({ host, publicKey, isRevoked }));
      expect(keysOf((await world.known()) as typeof before)).toEqual(keysOf(before));
      await world.store[Symbol.asyncDispose]();
    }),
    { numRuns: process.env['FLOE_THOROUGH_TESTS'] === undefined ? 3 : 60 },
  );
  expect(renamed).toBeGreaterThan(0);
});
