import { appendFile, mkdtemp, open as openFile, readFile, rename, rm, symlink, unlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { silentLogger } from '@floe/runtime';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { MAX_WAITING_REPORTS, ReportQueue } from './report-queue.ts';
import { reportWith } from '../test/fixtures.ts';

let dir: string;
let path: string;
const open: ReportQueue[] = [];
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'floe-reports-'));
  path = join(dir, 'reports.jsonl');
});
afterEach(async () => {
  for (const queue of open.splice(0)) await queue[Symbol.asyncDispose]();
  await rm(dir, { recursive: true });
});

async function openQueue(newest: number | null = null): Promise<ReportQueue> {
  const queue = await ReportQueue.open(path, newest === null ? null : reportWith(newest), silentLogger);
  open.push(queue);
  return queue;
}

function seqs(queue: ReportQueue): number[] {
  return queue.waiting.map(({ seq }) => seq);
}

test('reports wait over restarts until they are acknowledged', async () => {
  const first = await openQueue();
  for (const seq of [1, 2, 3]) await first.append(reportWith(seq));
  await first.acknowledge(1);
  expect(seqs(first)).toEqual([2, 3]);
  expect(seqs(await openQueue())).toEqual([1, 2, 3]); // Sent again: the server knows the first.
  const third = await openQueue();
  await third.acknowledge(3);
  expect(seqs(await openQueue())).toEqual([]);
});

test('a crash between the journal and the queue loses nothing: the newest report is taken from the journal', async () => {
  const queue = await openQueue();
  await queue.append(reportWith(1));
  expect(seqs(await openQueue(2))).toEqual([1, 2]);
  expect(seqs(await openQueue(2))).toEqual([1, 2]);
});

test('a line that a power cut left in part is left out, and the journal has the report', async () => {
  const queue = await openQueue();
  await queue.append(reportWith(1));
  await appendFile(path, JSON.stringify(reportWith(2)).slice(0, 30));
  const after = await openQueue(2);
  expect(seqs(after)).toEqual([1, 2]);
  await after.append(reportWith(3));
  expect(seqs(await openQueue())).toEqual([1, 2, 3]);
});

test('a report that comes after a cut line does not stick to it', async () => {
  await writeFile(path, '{"seq":1');
  const queue = await openQueue();
  await queue.append(reportWith(2));
  expect(seqs(await openQueue())).toEqual([2]);
});

test('the queue is bounded in memory and on disk: the oldest go', async () => {
  const queue = await openQueue();
  for (let seq = 1; seq <= MAX_WAITING_REPORTS + 300; seq += 1) await queue.append(reportWith(seq));
  expect(queue.waiting).toHaveLength(MAX_WAITING_REPORTS);
  expect(seqs(queue)[0]).toBe(301);
  expect((await readFile(path, 'utf8')).trim().split('\n').length).toBeLessThan(MAX_WAITING_REPORTS + 250);
  expect(seqs(await openQueue()).at(-1)).toBe(MAX_WAITING_REPORTS + 300);
});

test('renumbered, reports go on above what the server has', async () => {
  const queue = await openQueue();
  for (const seq of [1, 2]) await queue.append(reportWith(seq));
  expect(await queue.renumber(51)).toBe(53);
  expect(seqs(await openQueue())).toEqual([51, 52]);
});

test('a queue that cannot be rewritten goes on with the file that it has', async () => {
  const folder = join(dir, 'queue');
  path = join(folder, 'reports.jsonl');
  const queue = await openQueue();
  for (let seq = 1; seq <= 203; seq += 1) await queue.append(reportWith(seq));
  await queue.acknowledge(202);
  await rename(folder, `${folder}-away`);
  await writeFile(folder, 'no room');
  await expect(queue.append(reportWith(204))).rejects.toThrow(/EEXIST|ENOTDIR/); // Said, and gone on from.
  await rm(folder);
  await rename(`${folder}-away`, folder);
  expect(seqs(queue)).toEqual([203, 204]);
  await queue.acknowledge(204);
  await queue.append(reportWith(205));
  expect(seqs(await openQueue())).toEqual([205]);
});

test('on a disk that takes nothing the queue is kept in memory, and written as soon as it does', async () => {
  const before = await openQueue();
  await before.append(reportWith(1));
  // A folder in which a file can be read, and none be made, also by root.
  const file = await openFile(path);
  const { fd } = file;
  path = join(dir, 'folder', String(fd));
  await symlink('/proc/self/fd', dirname(path));
  const queue = await openQueue(2);
  expect(seqs(queue)).toEqual([1, 2]);
  await expect(queue.append(reportWith(3))).rejects.toThrow('ENOENT');
  await queue.acknowledge(1);
  expect(await queue.renumber(11)).toBe(13);
  await unlink(dirname(path));
  await file.close();
  await queue.append(reportWith(13));
  expect(seqs(await openQueue())).toEqual([11, 12, 13]);
});
