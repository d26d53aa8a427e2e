import { mkdir, mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { StorePath } from '@floe/model';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { bootBytesLacking } from './boot-space.ts';

/** A disk of its own on every Linux. */
const OTHER_DISK = '/dev/shm';

let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'floe-boot-'));
});
afterEach(async () => {
  await rm(dir, { recursive: true });
});

async function system(name: string, kernel: string): Promise<StorePath> {
  const path = join(dir, name) as StorePath;
  await mkdir(path);
  for (const part of ['kernel', 'initrd']) await writeFile(join(path, part), kernel);
  return path;
}

test('room for a new kernel and initrd is looked for where the boot loader has them, if that is a disk of its own', async () => {
  const [booted, next] = [await system('old', 'x'), await system('new', 'y'.repeat(1000))];
  // Far less than nothing: there is room.
  expect(await bootBytesLacking({ mountPoint: OTHER_DISK, next, booted })).toBeLessThan(0);
  expect((await stat('/')).dev).not.toBe((await stat(OTHER_DISK)).dev);
  expect(await bootBytesLacking({ mountPoint: '/', next, booted })).toBe(0);
  expect(await bootBytesLacking({ mountPoint: join(dir, 'none'), next, booted })).toBe(0);
});

test('what the machine was started with lies there already', async () => {
  const booted = await system('old', 'x');
  expect(await bootBytesLacking({ mountPoint: OTHER_DISK, next: booted, booted })).toBe(0);
  expect(await bootBytesLacking({ mountPoint: OTHER_DISK, next: booted, booted: null })).not.toBe(0);
});
