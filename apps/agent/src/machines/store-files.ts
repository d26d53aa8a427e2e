import { readFile, readlink } from 'node:fs/promises';
import type { StorePath } from '@floe/model';
import { MAX_LINKS } from './links.ts';

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
    read: async (path, file) => await readBelow(root, `${path}/${file}`),
  };
}

/** The text of a file of the machine whose files are below `root`; undefined when there is none. Links are followed below `root`. */
export async function readBelow(root: string, path: string): Promise<string | undefined> {
  const place = await locate(root, path);
  return place === undefined ? undefined : await readFile(place, 'utf8');
}

/** The real location of a path, with all links resolved below `root`; undefined when it does not exist. */
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
