import { readlink } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { STORE_PATH_FORM, type Observed, type StorePath } from '@floe/model';
import { StorePath as StorePathSchema } from '@floe/protocol';
import * as v from 'valibot';

/** More links than this count as a loop; the kernel's limit is the same. */
export const MAX_LINKS = 40;

/**
 * The store path that a link leads to, over any number of links; null when it leads nowhere or elsewhere. Read link by link: below
 * a folder that stands for a machine, the links' /nix/store is not this disk's. Never throws.
 */
export async function storePathBehind(link: string): Promise<StorePath | null> {
  let current = link;
  for (let hops = 0; hops < MAX_LINKS; hops += 1) {
    const target = await readlink(current).catch(() => undefined);
    if (target === undefined) return null;
    if (STORE_PATH_FORM.test(target)) return v.parse(StorePathSchema, target);
    current = target.startsWith('/') ? target : join(dirname(current), target);
  }
  return null;
}

/** A profile's generation and system, read from its links; null: none. Never throws. */
export async function observeProfile(profile: string): Promise<Observed['profile']> {
  const link = await readlink(profile).catch(() => undefined);
  const generation = /-(\d+)-link$/.exec(link ?? '')?.[1];
  if (link === undefined || generation === undefined) return null;
  const toplevel = await storePathBehind(join(dirname(profile), basename(link)));
  return toplevel === null ? null : { generation: Number(generation), toplevel };
}

/** The systems of the machine whose files are below `root` ('' for the machine itself), read from links. Never throws. */
export async function observeLinks(root: string): Promise<Observed> {
  const [current, booted, profile] = await Promise.all([
    storePathBehind(`${root}/run/current-system`),
    storePathBehind(`${root}/run/booted-system`),
    observeProfile(`${root}/nix/var/nix/profiles/system`),
  ]);
  return { current, booted, profile };
}
