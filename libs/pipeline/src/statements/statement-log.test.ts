import { execFileSync } from 'node:child_process';
import { mkdir, mkdtemp, readdir, readFile, rm, symlink, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { CommitSha, HostName, StorePath } from '@floe/model';
import { seal, type EnrolmentStatement, type ReleaseStatement } from '@floe/protocol';
import { createLogger, execInTest, generateKeyPem, signerFromPem } from '@floe/runtime';
import fc from 'fast-check';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { statementName } from './statement-files.ts';
import { openStatementLog, type StatementLog } from './statement-log.ts';

const signer = signerFromPem('release-1', generateKeyPem());

/** From coreutils. */
const MKFIFO = 'mkfifo';

let dir: string;
let said: string[];
let log: StatementLog;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'floe-statements-'));
  reopen(dir);
});
afterEach(async () => await rm(dir, { recursive: true, force: true }));

function reopen(at: string): void {
  said = [];
  log = openStatementLog(at, createLogger({ level: 'info', write: (line) => said.push(line) }));
}

function release(host: string, sequence: number): ReleaseStatement {
  return {
    version: 1,
    repository: 'https://forge.example/fleet.git',
    ref: 'refs/heads/main',
    commit: '1'.repeat(40) as CommitSha,
    sequence,
    host: host as HostName,
    toplevel: `/nix/store/${'0'.repeat(32)}-${sequence}` as StorePath,
    narHash: 'sha256:0',
    closureSizeBytes: 1,
    system: 'x86_64-linux',
    issuedAt: 1,
    expiresAt: 2,
  };
}

async function append(statement: ReleaseStatement): Promise<void> {
  await log.writeRelease(seal(signer, 'floe/release', statement), statement);
}

async function appendEnrolment(host: string, enrolledAt: number): Promise<void> {
  const statement: EnrolmentStatement = {
    version: 1,
    host: host as HostName,
    machineId: '0'.repeat(32),
    publicKey: `${'A'.repeat(43)}=`,
    enrolledAt,
  };
  await log.appendEnrolment(seal(signer, 'floe/enrolment', statement), statement);
}

async function sequences(): Promise<number[]> {
  return (await log.read()).releases.map(({ statement }) => statement.sequence);
}

type Spoil = { readonly name: string } & (
  | { readonly kind: 'bytes'; readonly bytes: Uint8Array }
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'huge' | 'folder' | 'link' | 'dangling' | 'pipe' | 'cut' | 'copy' }
);

/** Adds a defect to the log: beside a valid statement, or in its place. */
async function spoil(folder: string, { name, ...what }: Spoil): Promise<void> {
  const path = join(folder, `${name}.json`);
  // Not one of the defects, which may come first in the folder.
  const sound = (await readdir(folder)).find((each) => each.endsWith('-ada.json')) ?? '';
  switch (what.kind) {
    case 'bytes':
      return await writeFile(path, what.bytes);
    case 'text':
      return await writeFile(path, what.text);
    case 'huge':
      await writeFile(path, '{');
      return await truncate(path, 3_000_000_000);
    case 'folder':
      return await mkdir(path);
    case 'link':
      return await symlink('/etc/passwd', path);
    case 'dangling':
      return await symlink(join(folder, 'nowhere'), path);
    case 'pipe':
      return void execFileSync(MKFIFO, [path]);
    case 'cut': {
      const text = await readFile(join(folder, sound), 'utf8');
      return await writeFile(path, text.slice(0, text.length / 2));
    }
    case 'copy':
      return await writeFile(path, await readFile(join(folder, sound)));
  }
}

const text = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc.json(),
  fc.constant('[['.repeat(100_000)),
  fc.constant('{"type":"floe/release","payload":"e30=","keyId":"release-1","signature":"AA=="}'),
  fc.constant('{"__proto__":1}'),
  fc.constant('\n'.repeat(200_000)),
);
const anySpoil: fc.Arbitrary<Spoil> = fc
  .tuple(
    fc.stringMatching(/^[a-z0-9]{1,20}$/),
    fc.oneof(
      fc.record({ kind: fc.constant('bytes' as const), bytes: fc.uint8Array({ maxLength: 2_000 }) }),
      fc.record({ kind: fc.constant('text' as const), text }),
      fc
        .constantFrom<'huge' | 'folder' | 'link' | 'dangling' | 'pipe' | 'cut' | 'copy'>('huge', 'folder', 'link', 'dangling', 'pipe', 'cut', 'copy')
        .map((kind) => ({ kind })),
    ),
  )
  .map(([name, what]) => ({ name, ...what }));

test('whatever is in the log, valid statements are read, the rest is reported, and no start finds it twice', async () => {
  let round = 0;
  await fc.assert(
    fc.asyncProperty(fc.uniqueArray(anySpoil, { selector: ({ name }) => name, minLength: 1, maxLength: 6 }), async (spoils) => {
      const at = join(dir, `log${(round += 1)}`);
      reopen(at);
      await append(release('ada', 1));
      await append(release('bob', 2));
      await appendEnrolment('ada', 1);
      for (const each of spoils) await spoil(join(at, 'releases'), each);
      const first = await log.read();
      const copies = spoils.filter(({ kind }) => kind === 'copy').length;
      expect(first.releases.filter(({ statement }) => statement.host === 'bob')).toHaveLength(1);
      expect(first.releases).toHaveLength(2 + copies);
      expect(first.access).toHaveLength(1);
      expect(first.unusable).toHaveLength(spoils.length - copies);
      for (const path of first.unusable) expect(said.join('\n')).toContain(path);
      // Files that are not even an envelope were moved aside.
      const again = await log.read();
      expect(again.releases).toEqual(first.releases);
      expect(again.unusable.length).toBeLessThanOrEqual(spoils.filter(({ kind }) => kind === 'text').length);
      await rm(at, { recursive: true });
    }),
    { numRuns: 40 },
  );
});

test('a torn statement is written again, and the torn one is kept', async () => {
  await append(release('ada', 7));
  const [name = ''] = await readdir(join(dir, 'releases'));
  await truncate(join(dir, 'releases', name), 40);
  await append(release('ada', 7));
  expect(await sequences()).toEqual([7]);
  expect(await readdir(join(dir, 'releases/aside'))).toEqual([name]);
});

test('statements are ordered by their numbers, however many digits these have', async () => {
  for (const sequence of [3, 1_000_000_000_000_000, 999_999_999_999_999, 20]) await append(release('ada', sequence));
  expect(await sequences()).toEqual([3, 20, 999_999_999_999_999, 1_000_000_000_000_000]);
});

test('host names of any length become distinct file names', () => {
  const long = Array.from({ length: 4 }, () => 'a'.repeat(62)).join('.');
  const names = [long, `${long}x`, 'ada'].map((host) => statementName(3, host, '-enrolment'));
  expect(new Set(names).size).toBe(3);
  for (const name of names) expect(name.length).toBeLessThan(255);
  expect(names[2]).toBe('000000000000003-ada-enrolment.json');
});

test('the highest sequence is stored, and never falls', async () => {
  await log.noteSequence(5);
  await log.noteSequence(3);
  expect((await log.read()).sequence).toBe(5);
  await writeFile(join(dir, 'sequence'), 'nonsense');
  expect((await log.read()).sequence).toBe(0);
});

test('a log that is not a folder is reported in one sentence', async () => {
  const path = join(dir, 'file');
  await writeFile(path, '');
  reopen(path);
  await expect(log.read()).rejects.toMatchObject({ code: 'STATEMENT_LOG_UNREADABLE', message: expect.stringContaining(path) as string });
});

test.skipIf(process.getuid?.() !== 0)('a full disk is reported and retried, and leaves no partial file', async () => {
  const mounted = await execInTest('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'floe-test', dir]);
  expect(mounted.exitCode, mounted.stderr).toBe(0);
  try {
    await append(release('ada', 1));
    await writeFile(join(dir, 'fill'), Buffer.alloc(65_536)).catch(() => undefined);
    const full = append(release('ada', 2));
    await expect(full).rejects.toMatchObject({
      code: 'STATEMENT_LOG_UNWRITABLE',
      retryable: true,
      message: expect.stringContaining('disk is full') as string,
    });
    expect(await sequences()).toEqual([1]);
    await rm(join(dir, 'fill'));
    await append(release('ada', 2));
    expect(await sequences()).toEqual([1, 2]);
  } finally {
    await execInTest('umount', ['--lazy', dir]);
  }
});
