import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import fc from 'fast-check';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { execInTest } from './exec-in-test.ts';
import { takeProcessLock } from './process-lock.ts';

let dir = '';
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'floe-lock-'));
});
afterEach(async () => {
  await rm(dir, { recursive: true });
});

/** Takes the lock at the time given by its input, prints the result, and holds the lock until its input ends. */
const TAKER = `
import { takeProcessLock } from ${JSON.stringify(join(import.meta.dirname, 'process-lock.ts'))};
// What nobody refers to is closed by the garbage collector, and its lock released.
const all = [];
process.stdin.setEncoding('utf8').on('data', async (text) => {
  const [path, at] = text.trim().split(' ');
  while (Date.now() < Number(at));
  const taken = await takeProcessLock(path);
  all.push(taken);
  console.log(taken.kind, taken.pid ?? '');
});
process.stdin.on('end', () => process.exit(0));
console.log('ready');
`;

interface Taker {
  readonly child: ChildProcess;
  readonly lines: AsyncIterator<string>;
}

async function startTaker(wrapper: readonly string[] = []): Promise<Taker> {
  const [file, ...args] = [...wrapper, process.execPath, '--input-type=module', '-e', TAKER];
  const child = spawn(file, args, { stdio: ['pipe', 'pipe', 'inherit'] });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  expect((await lines.next()).value).toBe('ready');
  return { child, lines };
}

async function take({ child, lines }: Taker, path: string, at: number): Promise<string> {
  child.stdin?.write(`${path} ${at}\n`);
  return String((await lines.next()).value).trim();
}

async function kill({ child }: Taker): Promise<void> {
  const exited = once(child, 'exit');
  child.kill('SIGKILL');
  await exited;
}

test('one holder at a time, until it releases the lock', async () => {
  const path = join(dir, 'lock');
  const first = await takeProcessLock(path);
  if (first.kind !== 'taken') throw new Error('not taken');
  expect(await takeProcessLock(path)).toEqual({ kind: 'held', pid: String(process.pid) });
  await first.lock[Symbol.asyncDispose]();
  expect(await takeProcessLock(path)).toMatchObject({ kind: 'taken' });
});

test('of many processes that start in the same millisecond, exactly one gets it', async () => {
  await using stack = new AsyncDisposableStack();
  const takers = await Promise.all(Array.from({ length: 6 }, async () => await startTaker()));
  stack.defer(async () => void (await Promise.all(takers.map(kill))));
  let round = 0;
  // What an earlier process left must not matter: nothing, an empty file, another name.
  await fc.assert(
    fc.asyncProperty(fc.option(fc.constantFrom('', 'nonsense', `${process.pid}`, '1 2 3')), async (before) => {
      const path = join(dir, `lock${(round += 1)}`);
      if (before !== null) await writeFile(path, before);
      const at = Date.now() + 20;
      const answers = await Promise.all(takers.map(async (taker) => (await take(taker, path, at)).split(' ')[0]));
      expect(answers.filter((answer) => answer === 'taken')).toHaveLength(1);
    }),
    { numRuns: 15 },
  );
});

test('a killed process releases it immediately, whatever its file says', async () => {
  const path = join(dir, 'lock');
  const first = await startTaker();
  expect(await take(first, path, 0)).toBe('taken');
  expect(await takeProcessLock(path)).toEqual({ kind: 'held', pid: String(first.child.pid) });
  await kill(first);
  const next = await takeProcessLock(path);
  if (next.kind !== 'taken') throw new Error('not taken');
  await next.lock[Symbol.asyncDispose]();
});

test.skipIf(process.getuid?.() !== 0)('a process in another container with the same process id is another process', async () => {
  const path = join(dir, 'lock');
  const container = ['unshare', '--pid', '--mount-proc', '--net', '--fork', '--kill-child'];
  const inside = await startTaker(container);
  try {
    expect(await take(inside, path, 0)).toBe('taken');
    expect(await takeProcessLock(path)).toMatchObject({ kind: 'held' });
    const beside = await startTaker(container);
    expect(await take(beside, path, 0)).toMatch(/^held/);
    await kill(beside);
  } finally {
    await kill(inside);
  }
});

test.skipIf(process.getuid?.() !== 0)('a read-only disk is reported by the code of the file system', async () => {
  const mounted = await execInTest('mount', ['-t', 'tmpfs', '-o', 'size=64k,nr_inodes=3', 'floe-test', dir]);
  expect(mounted.exitCode, mounted.stderr).toBe(0);
  try {
    await writeFile(join(dir, 'one'), '');
    await writeFile(join(dir, 'two'), '');
    await expect(takeProcessLock(join(dir, 'lock'))).rejects.toMatchObject({ code: 'ENOSPC' });
    await execInTest('mount', ['-o', 'remount,ro', dir]);
    await expect(takeProcessLock(join(dir, 'lock'))).rejects.toMatchObject({ code: 'EROFS' });
  } finally {
    await execInTest('umount', ['--lazy', dir]);
  }
});

test('it can be taken on a full disk', { skip: process.getuid?.() !== 0 }, async () => {
  const mounted = await execInTest('mount', ['-t', 'tmpfs', '-o', 'size=4k', 'floe-test', dir]);
  expect(mounted.exitCode, mounted.stderr).toBe(0);
  try {
    await writeFile(join(dir, 'full'), Buffer.alloc(4096));
    const taken = await takeProcessLock(join(dir, 'lock'));
    expect(taken.kind).toBe('taken');
    if (taken.kind === 'taken') await taken.lock[Symbol.asyncDispose]();
    expect(await readdir(dir)).toContain('lock.held');
  } finally {
    await execInTest('umount', ['--lazy', dir]);
  }
});
