import { readFile, readlink, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { STORE_PATH_FORM, type Observed, type StorePath } from '@floe/model';
import { StorePath as StorePathSchema } from '@floe/protocol';
import * as v from 'valibot';

const STORE = '/nix/store/';
/** More links than this between a path and the store, and it is a loop. */
const MAX_LINKS = 20;

/** The store path that a link leads to, over any number of links; null when it leads nowhere or elsewhere. */
async function storePathBehind(path: string): Promise<StorePath | null> {
  let current = path;
  for (let hops = 0; hops < MAX_LINKS; hops += 1) {
    // Read link by link: below a folder that plays a machine, /nix/store is not where the links say.
    const target = await readlink(current).catch(() => undefined);
    if (target === undefined) return null;
    if (STORE_PATH_FORM.test(target)) return v.parse(StorePathSchema, target);
    current = target.startsWith('/') ? target : join(current, '..', target);
  }
  return null;
}

/** What the machine whose files are below `root` ('' for the machine itself) has, read from its links. */
export async function observeLinks(root: string): Promise<Observed> {
  const profiles = `${root}/nix/var/nix/profiles`;
  const [current, booted, link] = await Promise.all([
    storePathBehind(`${root}/run/current-system`),
    storePathBehind(`${root}/run/booted-system`),
    readlink(`${profiles}/system`).catch(() => undefined),
  ]);
  const name = link?.split('/').at(-1);
  const generation = /-(\d+)-link$/.exec(name ?? '')?.[1];
  const toplevel = name === undefined ? null : await storePathBehind(`${profiles}/${name}`);
  return { current, booted, profile: generation === undefined || toplevel === null ? null : { generation: Number(generation), toplevel } };
}

/** Free bytes for an ordinary user where `path` is. */
export async function freeBytesAt(path: string): Promise<number> {
  const { bavail, bsize } = await statfs(path);
  return bavail * bsize;
}

/**
 * Text of a file in a system's folder; undefined when there is none. A link into the store is followed below `root`,
 * where the files of a machine's own store are.
 */
export async function readBelow(root: string, path: string): Promise<string | undefined> {
  let current = `${root}${path}`;
  for (let hops = 0; hops < MAX_LINKS; hops += 1) {
    const target = await readlink(current).catch(() => undefined);
    if (target === undefined) break;
    current = target.startsWith(STORE) ? `${root}${target}` : target.startsWith('/') ? target : join(current, '..', target);
  }
  return await readFile(current, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return undefined;
    throw error;
  });
}
