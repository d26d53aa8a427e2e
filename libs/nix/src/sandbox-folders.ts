import { randomUUID } from 'node:crypto';
import { copyFile, mkdir, readdir, rm, stat, symlink } from 'node:fs/promises';
import { basename, join } from 'node:path';
import type { Exec } from '@floe/runtime';

/** The folders that one command writes to, besides the store. */
export interface RunFolders {
  readonly home: string;
  readonly temporary: string;
  /** Copies of repositories in the command's home: their source, and their place in the home. */
  readonly copies: readonly { readonly from: string; readonly to: string }[];
  readonly remove: () => Promise<void>;
}

const KEPT = 'repository';
const NIX_CACHE = '.cache/nix';
/** Where Nix 2.8 and 2.26 keep their copies of git repositories. */
const GIT_COPIES: ReadonlySet<string> = new Set(['gitv2', 'gitv3']);
/** The cache of commit → store path. Each command gets a copy of it, so it must stay small. */
const FETCHER_CACHE = /^fetcher-cache-v\d+\.sqlite/;
const MAX_FETCHER_CACHE_BYTES = 4 * 1024 ** 2;
const REMOVE_TIMEOUT_MS = 10 * 60_000;

/**
 * The folders in which sandboxed commands write. Untrusted code can leave anything there: settings, cache entries with false
 * content, links. So each command gets new folders, and nothing in them is read afterwards.
 * One home is kept: only commands whose arguments come from Floe run there, and they put Nix's copy of the fleet's repository
 * into it. All others get this copy in their home, so that a large repository is not copied for each host.
 */
export class SandboxFolders {
  readonly #dir: string;
  readonly #exec: Exec;
  /** Settles when no command runs in the kept home. */
  #isFree: Promise<unknown> = Promise.resolve();

  private constructor(dir: string, exec: Exec) {
    this.#dir = dir;
    this.#exec = exec;
  }

  /** Removes the folders of an earlier process. */
  static async open(dir: string, exec: Exec): Promise<SandboxFolders> {
    await mkdir(dir, { recursive: true, mode: 0o700 });
    for (const name of await readdir(dir)) if (name !== KEPT) await removeTree(exec, join(dir, name));
    return new SandboxFolders(dir, exec);
  }

  /** Folders for one command. */
  async make(): Promise<RunFolders> {
    const { run, home, temporary } = await this.#makeRun();
    const kept = join(this.#dir, KEPT, NIX_CACHE);
    const copies: { from: string; to: string }[] = [];
    await this.#isFree;
    for (const name of await list(kept)) {
      const to = join(home, NIX_CACHE);
      if (FETCHER_CACHE.test(name)) {
        await mkdir(to, { recursive: true });
        await copyFile(join(kept, name), join(to, name));
      }
      if (!GIT_COPIES.has(name)) continue;
      await mkdir(join(to, name), { recursive: true });
      const repositories = (await list(join(kept, name))).filter((each) => !each.endsWith('.lock'));
      copies.push(...repositories.map((each) => ({ from: join(kept, name, each), to: join(NIX_CACHE, name, each) })));
    }
    return { home, temporary, copies, remove: async () => await removeTree(this.#exec, run) };
  }

  /** The kept home, for one command whose arguments come from Floe; one at a time. */
  async keep(): Promise<RunFolders> {
    const before = this.#isFree;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#isFree = before.then(async () => await promise);
    await before;
    const home = join(this.#dir, KEPT);
    await mkdir(home, { recursive: true, mode: 0o700 });
    if ((await fetcherCacheBytes(join(home, NIX_CACHE))) > MAX_FETCHER_CACHE_BYTES) await removeTree(this.#exec, join(home, NIX_CACHE));
    const { run, temporary } = await this.#makeRun();
    const remove = async (): Promise<void> => {
      resolve();
      await removeTree(this.#exec, run);
    };
    return { home, temporary, copies: [], remove };
  }

  /** Empties the kept home; resolves to whether it had content. */
  async forget(): Promise<boolean> {
    await this.#isFree;
    const home = join(this.#dir, KEPT);
    const names = await list(home);
    await removeTree(this.#exec, home);
    return names.length > 0;
  }

  async #makeRun(): Promise<{ run: string; home: string; temporary: string }> {
    const run = join(this.#dir, 'runs', randomUUID());
    const [home, temporary] = [join(run, 'home'), join(run, 'tmp')];
    for (const folder of [home, temporary]) await mkdir(folder, { recursive: true, mode: 0o700 });
    return { run, home, temporary };
  }
}

/** Copies the repositories into a home where mounts are impossible. */
export async function linkCopies({ home, copies }: RunFolders): Promise<void> {
  for (const { from, to } of copies) await symlink(from, join(home, to));
}

async function fetcherCacheBytes(folder: string): Promise<number> {
  const files = (await list(folder)).filter((name) => FETCHER_CACHE.test(name));
  const sizes = await Promise.all(files.map(async (name) => (await stat(join(folder, basename(name)))).size));
  return sizes.reduce((sum, size) => sum + size, 0);
}

async function list(folder: string): Promise<string[]> {
  return await readdir(folder).catch(() => []);
}

/** Removes files of untrusted code: unreadable folders, and paths longer than the system's limit. */
async function removeTree(exec: Exec, path: string): Promise<void> {
  const isGone = await rm(path, { recursive: true, force: true }).then(
    () => true,
    () => false,
  );
  if (isGone) return;
  // Neither follows links. The rest is tried again at the next start.
  await exec('chmod', ['-R', 'u+rwX', '--', path], { timeoutMs: REMOVE_TIMEOUT_MS });
  await exec('rm', ['-rf', '--', path], { timeoutMs: REMOVE_TIMEOUT_MS });
}
