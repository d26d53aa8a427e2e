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

/** Removes the GC roots of a host's older systems. The cache still has them. */
export async function tidyBuildRoots(rootsDir: string, host: HostName): Promise<void> {
  const folder = join(rootsDir, host);
  const roots = await Promise.all(
    (await readdir(folder)).map(async (name) => ({ path: join(folder, name), madeAt: (await lstat(join(folder, name))).mtimeMs })),
  );
  const old = roots.toSorted((left, right) => right.madeAt - left.madeAt).slice(KEPT_PER_HOST);
  await Promise.all(old.map(async ({ path }) => await rm(path, { force: true })));
}
