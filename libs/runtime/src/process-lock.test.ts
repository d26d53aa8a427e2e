import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { readBootId, takeProcessLock } from './process-lock.ts';

let dir = '';
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'floe-lock-'));
});
afterEach(async () => {
  await rm(dir, { recursive: true });
});

test('one holder at a time, until it lets go', async () => {
  const path = join(dir, 'lock');
  const first = await takeProcessLock(path);
  if (first.kind !== 'taken') throw new Error('not taken');
  expect(await takeProcessLock(path)).toEqual({ kind: 'held', pid: String(process.pid) });
  await first.lock[Symbol.asyncDispose]();
  expect(await takeProcessLock(path)).toMatchObject({ kind: 'taken' });
});

test('the lock of a process that is gone is taken over', async () => {
  const path = join(dir, 'lock');
  const child = spawn('cat', { stdio: ['pipe', 'ignore', 'ignore'] });
  const stat = await readFile(`/proc/${child.pid}/stat`, 'utf8');
  await writeFile(path, `${child.pid} ${stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19]} ${await readBootId()}`);
  expect(await takeProcessLock(path)).toEqual({ kind: 'held', pid: String(child.pid) });
  child.stdin.end();
  await once(child, 'exit');
  expect(await takeProcessLock(path)).toMatchObject({ kind: 'taken' });
});

test.each(['', 'nonsense', '1 2 another-boot'])('a lock that says "%s" is nobody\'s', async (content) => {
  const path = join(dir, 'lock');
  await writeFile(path, content);
  expect(await takeProcessLock(path)).toMatchObject({ kind: 'taken' });
});
