import { lstat, readdir, rm } from 'node:fs/promises';
import { basename, join } from 'node:path';
import type { HostName, StorePath } from '@floe/model';

/**
 * Number of systems per host that the builder protects from the garbage collector: the current one, the previous one, and one to
 * compare with.
 */
const KEPT_PER_HOST = 3;

/** The GC root that keeps a host's built system. */
export function buildRoot(rootsDir: string, host: HostName, toplevel: StorePath): string {
  return join(rootsDir, host, basename(toplevel));
}

/** The folder of checks; no host can have its name. */
const CHECKS_FOLDER = '.checks';

/** The GC root that keeps the result of a check, so that the next revision does not build an unchanged one again. */
export function checkRoot(rootsDir: string, output: StorePath): string {
  return join(rootsDir, CHECKS_FOLDER, basename(output));
}

/** The folder of the systems that hosts only try; no host can have its name. They do not count with those of the fleet. */
export function trialRootsDir(rootsDir: string): string {
  return join(rootsDir, '.trials');
}

/** The folder of the systems that were named by their store path: as that of trials. */
export function submittedRootsDir(rootsDir: string): string {
  return join(rootsDir, '.submitted');
}

/** Removes the GC roots of a host's older systems. The cache still has them. */
export async function tidyBuildRoots(rootsDir: string, host: HostName): Promise<void> {
  await tidyRoots(join(rootsDir, host), KEPT_PER_HOST);
}

/** Removes the GC roots of older results of checks, where the policy has `count` of them. */
export async function tidyCheckRoots(rootsDir: string, count: number): Promise<void> {
  await tidyRoots(join(rootsDir, CHECKS_FOLDER), KEPT_PER_HOST * count);
}

async function tidyRoots(folder: string, kept: number): Promise<void> {
  const roots = await Promise.all(
    (await readdir(folder)).map(async (name) => ({ path: join(folder, name), madeAt: (await lstat(join(folder, name))).mtimeMs })),
  );
  const old = roots.toSorted((left, right) => right.madeAt - left.madeAt).slice(kept);
  await Promise.all(old.map(async ({ path }) => await rm(path, { force: true })));
}
