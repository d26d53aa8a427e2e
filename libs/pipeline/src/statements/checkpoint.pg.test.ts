import { cp, mkdir, mkdtemp, readdir, readFile, rm, symlink, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { CommitSha, HostName, StorePath } from '@floe/model';
import { seal, type ReleaseStatement } from '@floe/protocol';
import { createLogger, execInTest, generateKeyPem, signerFromPem, silentLogger, systemClock, type Signer } from '@floe/runtime';
import type { PostgresServer } from '@floe/testkit';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { newestLogged, readHistory, writeCheckpoint } from './newest-releases.ts';
import { rebuildFromStatements } from './rebuild.ts';
import { openStatementLog } from './statement-log.ts';
import { openOnPostgres, startMigratedPostgres } from '../test/migrated-postgres.ts';

// A rebuild with a checkpoint comes to the same as one that reads the whole log, whatever the history and the checkpoint.

const URLS = ['https://forge.example/fleet.git', 'https://forge.example/other.git'] as const;
const REFS = ['refs/heads/main', 'refs/heads/trunk'] as const;
const [signer, stranger] = [1, 2].map(() => signerFromPem('release-1', generateKeyPem())) as [Signer, Signer];

let server: PostgresServer;
let template: string;
let dir: string;
beforeAll(async () => {
  ({ server, template } = await startMigratedPostgres());
  dir = await mkdtemp(join(tmpdir(), 'floe-checkpoints-'));
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
  await rm(dir, { recursive: true, force: true });
});

interface Told {
  readonly host: number;
  readonly sequence: number;
  readonly system: number;
  readonly repository: 0 | 1;
  readonly isTrusted: boolean;
  /** What the branch was called then. */
  readonly branch?: 0 | 1;
  /** Of another commit than the revision with its sequence that the database knows: it may have been handed out. */
  readonly isForgotten?: boolean;
}

function shaOf(sequence: number): CommitSha {
  return String(sequence).padStart(40, '0') as CommitSha;
}

function statementOf({ host, sequence, system, repository, branch = 0, isForgotten = false }: Told): ReleaseStatement {
  return {
    version: 1,
    repository: URLS[repository],
    ref: REFS[branch],
    commit: shaOf(sequence + (isForgotten ? 100 : 0)),
    sequence,
    host: `host${host}` as HostName,
    toplevel: `/nix/store/${'0'.repeat(32)}-${system}` as StorePath,
    narHash: 'sha256:0',
    closureSizeBytes: 1,
    system: 'x86_64-linux',
    issuedAt: 1,
    expiresAt: 2,
  };
}

function depsOf(at: string, logger = silentLogger) {
  return { statements: openStatementLog(at, logger), releaseKeys: [signer], logger };
}

async function append(at: string, told: Told): Promise<void> {
  const statement = statementOf(told);
  await openStatementLog(at, silentLogger).writeRelease(seal(told.isTrusted ? signer : stranger, 'floe/release', statement), statement);
}

async function checkpoint(at: string, by: Signer = signer): Promise<void> {
  const deps = { ...depsOf(at), releaseKeys: [by, signer] };
  await writeCheckpoint(deps, by, await readHistory(deps, { isWhole: true }), 0);
}

const told: fc.Arbitrary<Told> = fc.record({
  host: fc.nat(3),
  sequence: fc.integer({ min: 1, max: 12 }),
  system: fc.nat(2),
  repository: fc.constantFrom(0 as const, 0 as const, 1 as const),
  isTrusted: fc.integer({ min: 0, max: 9 }).map((n) => n > 0),
  branch: fc.constantFrom(0 as const, 1 as const),
  isForgotten: fc.integer({ min: 0, max: 3 }).map((n) => n === 0),
});
const SPOILS = ['none', 'none', 'none', 'gone', 'cut', 'flipped', 'garbage', 'stranger', 'stale', 'folder', 'link', 'huge'] as const;
type Spoil = (typeof SPOILS)[number];

async function spoil(at: string, how: Spoil, stale: Buffer | undefined): Promise<void> {
  const path = join(at, 'checkpoint');
  const text = await readFile(path).catch(() => undefined);
  if (how === 'none' || text === undefined) return;
  if (how === 'stranger') return await checkpoint(at, stranger);
  if (how === 'cut') return await truncate(path, Math.floor(text.length / 2));
  if (how === 'stale') return await (stale === undefined ? undefined : writeFile(path, stale));
  await rm(path);
  if (how === 'flipped') await writeFile(path, text.toString().replace(/sequence\\":\d+/, 'sequence\\":99'));
  else if (how === 'garbage') await writeFile(path, '[[['.repeat(10_000));
  else if (how === 'folder') await mkdir(path);
  else if (how === 'link') await symlink('/dev/zero', path);
  else if (how === 'huge') await writeFile(path, '{').then(async () => await truncate(path, 3_000_000_000));
}

/** What a database knows after a rebuild, without ids and times. */
async function outcome(at: string, before: { readonly received: number; readonly imported: readonly Told[] }): Promise<unknown> {
  await using store = await openOnPostgres(await server.createDatabase(template));
  const repository = await store.repositories.ensure({ url: URLS[0], branch: 'main', now: 1 });
  const about = { subject: '', authorName: '', authorEmail: '', committedAt: 1, receivedAt: 1, fetchedAt: 1 };
  // All but the last are superseded, and were never published: statements of them were not handed out.
  for (let sequence = 1; sequence <= before.received; sequence += 1) await store.revisions.receive(repository.id, { ...about, sha: shaOf(sequence) });
  for (const each of before.imported) {
    const { host, sequence, toplevel, commit } = statementOf({ ...each, repository: 0 });
    await store.hosts.ensure(repository.id, [host]);
    await store.releases.importStatement({ repositoryId: repository.id, host, sequence, toplevel, commit, issuedAt: 1, envelope: '{}' });
  }
  const rebuilt = await rebuildFromStatements({ ...depsOf(at), store, clock: systemClock, serverKeys: [] }, repository);
  const { sequence, acceptedCommit } = await store.repositories.get(repository.id);
  const latest = (await store.releases.latest(repository.id)).map((release) => [release.host, release.sequence, release.toplevel]);
  const hosts = (await store.hosts.list(repository.id)).map(({ host }) => host);
  return { ...rebuilt, unusable: rebuilt.unusable.length, sequence, acceptedCommit, latest, hosts };
}

test('whatever was logged before and after a checkpoint, and whatever became of it, a rebuild comes to the same as without', async () => {
  let worlds = 0;
  await fc.assert(
    fc.asyncProperty(
      fc.array(told, { minLength: 3, maxLength: 25 }),
      fc.array(told, { maxLength: 8 }),
      fc.constantFrom(...SPOILS),
      fc.option(fc.nat(20), { freq: 6 }),
      fc.record({ received: fc.nat(12), imported: fc.array(told, { maxLength: 6 }) }),
      async (first, then, how, removed, before) => {
        const at = join(dir, `log${(worlds += 1)}`);
        for (const each of first.slice(0, 3)) await append(at, each);
        await checkpoint(at);
        const stale = await readFile(join(at, 'checkpoint')).catch(() => undefined);
        for (const each of first.slice(3)) await append(at, each);
        await checkpoint(at);
        for (const each of then) await append(at, each);
        const files = await readdir(join(at, 'releases'));
        // As in a backup of the log that is older than the checkpoint.
        if (removed !== null && files.length > 0) await rm(join(at, 'releases', files[removed % files.length] ?? ''), { recursive: true });
        await spoil(at, how, stale);
        const whole = `${at}-whole`;
        await cp(join(at, 'releases'), join(whole, 'releases'), { recursive: true });
        expect(await outcome(at, before)).toEqual(await outcome(whole, before));
      },
    ),
    { numRuns: fc.readConfigureGlobal().numRuns ?? 8, endOnFailure: true },
  );
});

const LONG = Array.from({ length: 10 }, (_, index): Told => ({
  host: index % 2,
  sequence: 1 + index,
  system: index,
  repository: 0,
  isTrusted: true,
}));

test('a release that only the whole log tells is restored: those of the checkpoint were never handed out', async () => {
  const at = join(dir, 'deep');
  for (const sequence of [0, 1, 2, 3]) await append(at, { host: 0, sequence, system: sequence, repository: 0, isTrusted: true });
  await checkpoint(at);
  expect(await read(at)).toMatchObject({ statements: 1 });
  // The database knows the revisions 1 to 3, and that they were never published.
  const latest = [['host0', 0, `/nix/store/${'0'.repeat(32)}-0`]];
  expect(await outcome(at, { received: 4, imported: [] })).toMatchObject({ releases: 1, latest });
});

test('a release from before branch and repository got other names is restored, and the commit that was reached under the new ones', async () => {
  const at = join(dir, 'renamed');
  const about = { system: 0, repository: 0, isTrusted: true } as const;
  await append(at, { ...about, host: 0, sequence: 1, branch: 1, repository: 1 });
  await append(at, { ...about, host: 1, sequence: 1, branch: 1 });
  await append(at, { ...about, host: 1, sequence: 2, branch: 0 });
  const latest = [
    ['host0', 1, `/nix/store/${'0'.repeat(32)}-0`],
    ['host1', 2, `/nix/store/${'0'.repeat(32)}-0`],
  ];
  expect(await outcome(at, { received: 0, imported: [] })).toMatchObject({ latest, sequence: 2, acceptedCommit: shaOf(2) });
});

/** A log with a checkpoint, what is logged when it is read, and how many statements that took. */
async function read(at: string): Promise<{ readonly statements: number; readonly said: string }> {
  const lines: string[] = [];
  const logger = createLogger({ level: 'info', write: (line) => lines.push(line) });
  const { logged } = await readHistory(depsOf(at, logger), { isWhole: false });
  return { statements: logged.releases.length, said: lines.join('') };
}

test.each(['cut', 'flipped', 'garbage', 'stranger', 'folder', 'link', 'huge', 'older log', 'other log'] as const)(
  'a checkpoint that is not to be trusted (%s) is told of, and the whole log is read',
  async (how) => {
    const at = join(dir, `bad-${how}`);
    for (const each of LONG) await append(at, each);
    await checkpoint(at);
    expect(await read(at)).toEqual({ statements: 1, said: '' });
    const [file = ''] = await readdir(join(at, 'releases'));
    if (how === 'older log') await rm(join(at, 'releases', file));
    else if (how === 'other log') await append(at, { ...LONG[0]!, host: 3 });
    else await spoil(at, how, undefined);
    const { statements, said } = await read(at);
    expect(statements).toBe(how === 'older log' ? 9 : how === 'other log' ? 11 : 10);
    expect(said).toContain('the checkpoint of the statement log cannot be used');
  },
);

test('a log with a file that is no statement gets no checkpoint: each start is to name the file', async () => {
  const at = join(dir, 'unusable');
  for (const each of LONG) await append(at, each);
  await writeFile(join(at, 'releases', '000000000000001-odd.json'), '{"type":"floe/release","payload":"e30=","keyId":"k","signature":"AA=="}');
  await checkpoint(at);
  expect(await readdir(at)).not.toContain('checkpoint');
});

test.skipIf(process.getuid?.() !== 0)('a full disk costs the checkpoint, and nothing else', async () => {
  const at = join(dir, 'full');
  await mkdir(at);
  expect((await execInTest('mount', ['-t', 'tmpfs', '-o', 'size=128k', 'floe-test', at])).exitCode).toBe(0);
  try {
    for (const each of LONG) await append(at, each);
    await writeFile(join(at, 'fill'), Buffer.alloc(131_072)).catch(() => undefined);
    await checkpoint(at);
    expect((await readdir(at)).toSorted()).toEqual(['access', 'fill', 'releases']);
    expect((await read(at)).statements).toBe(10);
  } finally {
    await execInTest('umount', ['--lazy', at]);
  }
});

test('the branch that the log signed for last is that of the highest trusted sequence, with a checkpoint or without', async () => {
  let logs = 0;
  const move = fc.record({ told, ref: fc.constantFrom('refs/heads/master', 'refs/heads/trunk/x') });
  await fc.assert(
    fc.asyncProperty(
      fc.uniqueArray(move, { minLength: 1, maxLength: 10, selector: (each) => each.told.sequence }),
      fc.boolean(),
      async (moves, hasCheckpoint) => {
        const at = join(dir, `refs${(logs += 1)}`);
        const statements = openStatementLog(at, silentLogger);
        for (const { told: each, ref } of moves) {
          const statement = { ...statementOf(each), ref };
          await statements.writeRelease(seal(each.isTrusted ? signer : stranger, 'floe/release', statement), statement);
        }
        if (hasCheckpoint) await checkpoint(at);
        const ours = moves.filter((each) => each.told.isTrusted);
        const newest = ours.toSorted((one, other) => other.told.sequence - one.told.sequence)[0];
        expect((await newestLogged(depsOf(at)))?.ref).toBe(newest?.ref);
      },
    ),
    { numRuns: 40 },
  );
});
