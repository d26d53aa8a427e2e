import { readFile, readlink } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { STORE_PATH_FORM, type Observed, type StorePath } from '@floe/model';
import { StorePath as StorePathSchema } from '@floe/protocol';
import * as v from 'valibot';

/** More links than this on one way, and it is a loop. */
const MAX_LINKS = 40;

/** The files in store paths, read before anything in them is run. */
export interface StoreFiles {
  /** True when there is a file or folder at `file`, a path below the store path. */
  has(path: StorePath, file: string): Promise<boolean>;
  /** The text of a file; undefined when there is none. */
  read(path: StorePath, file: string): Promise<string | undefined>;
}

/** The store of the machine whose files are below `root` ('' for the machine itself). */
export function storeFilesBelow(root: string): StoreFiles {
  return {
    has: async (path, file) => (await locate(root, `${path}/${file}`)) !== undefined,
    async read(path, file) {
      const place = await locate(root, `${path}/${file}`);
      return place === undefined ? undefined : await readFile(place, 'utf8');
    },
  };
}

/** Where a path lies on this disk once its links are followed as they mean below `root`; undefined when it leads nowhere. */
async function locate(root: string, path: string): Promise<string | undefined> {
  const ahead = namesOf(path);
  let behind: string[] = [];
  let links = 0;
  for (let name = ahead.shift(); name !== undefined; name = ahead.shift()) {
    if (name === '..') {
      behind.pop();
      continue;
    }
    const link = await readLink(`${root}/${[...behind, name].join('/')}`);
    if (link.kind === 'missing' || links > MAX_LINKS) return undefined;
    if (link.kind === 'no-link') {
      behind.push(name);
      continue;
    }
    links += 1;
    if (link.target.startsWith('/')) behind = [];
    ahead.unshift(...namesOf(link.target));
  }
  return `${root}/${behind.join('/')}`;
}

type Link = { readonly kind: 'link'; readonly target: string } | { readonly kind: 'no-link' } | { readonly kind: 'missing' };

async function readLink(path: string): Promise<Link> {
  try {
    return { kind: 'link', target: await readlink(path) };
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EINVAL') return { kind: 'no-link' };
    if (code === 'ENOENT' || code === 'ENOTDIR') return { kind: 'missing' };
    throw error;
  }
}

function namesOf(path: string): string[] {
  return path.split('/').filter((name) => name !== '' && name !== '.');
}

/** The store path that a link leads to, over any number of links; null when it leads nowhere or elsewhere. Never throws. */
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

/** What a profile names, read from its links; null when it has none. Never throws. */
export async function observeProfile(profile: string): Promise<Observed['profile']> {
  const link = await readlink(profile).catch(() => undefined);
  const generation = /-(\d+)-link$/.exec(link ?? '')?.[1];
  if (link === undefined || generation === undefined) return null;
  const toplevel = await storePathBehind(join(dirname(profile), basename(link)));
  return toplevel === null ? null : { generation: Number(generation), toplevel };
}
