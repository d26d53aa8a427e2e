import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { setup as buildDashboard } from './browser/dashboard.ts';

const BUNDLER = join(import.meta.dirname, '../scripts/bundle.ts');

let folder: Promise<string> | undefined;

/** Vitest's global set-up of tests that start Floe's programs: they are bundled once, as they are shipped (programs.ts of testkit). */
export async function setup(): Promise<void> {
  folder ??= bundle();
  process.env['FLOE_TEST_PROGRAMS'] = await folder;
}

export async function teardown(): Promise<void> {
  if (folder === undefined) return;
  const made = await folder;
  folder = undefined;
  await rm(made, { recursive: true, force: true });
}

async function bundle(): Promise<string> {
  await buildDashboard();
  const made = await mkdtemp(join(tmpdir(), 'floe-programs-'));
  await promisify(execFile)(process.execPath, [BUNDLER, made]);
  return made;
}
