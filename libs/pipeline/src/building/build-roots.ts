import { existsSync } from 'node:fs';
import { lstat, readdir, rm } from 'node:fs/promises';
import { basename, join } from 'node:path';
import type { HostName, StorePath } from '@floe/model';
import type { PlainStore } from '@floe/store';
import { neededSystems } from './needed-systems.ts';

/** Number of the newest systems per host that the builder protects from the garbage collector, besides those that the host needs. */
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

/** A host, and the name that its machine had before. */
export interface RootsOf {
  readonly host: HostName;
  readonly formerHost?: HostName | undefined;
}

/** Removes the GC roots of the earlier names of hosts that were renamed, but what the machine needs. */
export async function tidyFormerRoots(
  store: { readonly hosts: Pick<PlainStore['hosts'], 'fleet' | 'renamed'> },
  rootsDir: string,
  repositoryId: string,
  hosts: readonly RootsOf[],
): Promise<void> {
  for (const { host, formerHost } of hosts) {
    if (formerHost === undefined || (await store.hosts.renamed(formerHost))?.host !== host) continue;
    const folder = join(rootsDir, formerHost);
    const roots = existsSync(folder) ? await rootsIn(folder) : [];
    if (roots.length === 0) continue;
    const { hosts: found } = await store.hosts.fleet(repositoryId, [host, formerHost]);
    // Another machine was enrolled under that name since: it is tidied with its own builds.
    if (found.some(({ row }) => row.host === formerHost)) continue;
    const needed = new Set(found.flatMap((each) => [...neededSystems(each)].map((path) => basename(path))));
    await removeOld(roots, 0, needed);
  }
}

/** Removes the GC roots of older systems of these hosts that they do not need. The cache still has them. */
export async function tidyBuildRoots(
  store: { readonly hosts: Pick<PlainStore['hosts'], 'fleet'> },
  rootsDir: string,
  repositoryId: string,
  hosts: readonly HostName[],
): Promise<void> {
  // Listed before the hosts are read: a system that is built and needed meanwhile is not in the list.
  const listed = await Promise.all(hosts.map(async (host) => [host, await rootsIn(join(rootsDir, host))] as const));
  const isFull = listed.filter(([, roots]) => roots.length > KEPT_PER_HOST);
  if (isFull.length === 0) return;
  const fleet = await store.hosts.fleet(
    repositoryId,
    isFull.map(([host]) => host),
  );
  const needed = new Map(fleet.hosts.map((host) => [host.row.host, new Set([...neededSystems(host)].map((path) => basename(path)))]));
  await Promise.all(isFull.map(async ([host, roots]) => await removeOld(roots, KEPT_PER_HOST, needed.get(host))));
}

/** Removes the GC roots of older results of checks, where the policy has `count` of them. */
export async function tidyCheckRoots(rootsDir: string, count: number): Promise<void> {
  await removeOld(await rootsIn(join(rootsDir, CHECKS_FOLDER)), KEPT_PER_HOST * count);
}

interface Root {
  readonly path: string;
  readonly madeAt: number;
}

async function rootsIn(folder: string): Promise<readonly Root[]> {
  return await Promise.all(
    (await readdir(folder)).map(async (name) => ({ path: join(folder, name), madeAt: (await lstat(join(folder, name))).mtimeMs })),
  );
}

/** Removes all but the `kept` newest ones and those whose names are needed. */
async function removeOld(roots: readonly Root[], kept: number, needed: ReadonlySet<string> = new Set()): Promise<void> {
  const old = roots.toSorted((left, right) => right.madeAt - left.madeAt).slice(kept);
  await Promise.all(old.filter(({ path }) => !needed.has(basename(path))).map(async ({ path }) => await rm(path, { force: true })));
}
