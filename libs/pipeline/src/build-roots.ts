import { lstat, readdir, rm } from 'node:fs/promises';
import { basename, join } from 'node:path';
import type { HostName, StorePath } from '@floe/model';

/** Systems of a host that the builder keeps from the garbage collector: what runs, what ran, and one to compare. */
const KEPT_PER_HOST = 3;

/** The GC root that keeps a host's built system. */
export function buildRoot(rootsDir: string, host: HostName, toplevel: StorePath): string {
  return join(rootsDir, host, basename(toplevel));
}

/** Lets go of a host's older systems; the cache has them. */
export async function tidyBuildRoots(rootsDir: string, host: HostName): Promise<void> {
  const folder = join(rootsDir, host);
  const roots = await Promise.all(
    (await readdir(folder)).map(async (name) => ({ path: join(folder, name), madeAt: (await lstat(join(folder, name))).mtimeMs })),
  );
  const old = roots.toSorted((left, right) => right.madeAt - left.madeAt).slice(KEPT_PER_HOST);
  await Promise.all(old.map(async ({ path }) => await rm(path, { force: true })));
}
