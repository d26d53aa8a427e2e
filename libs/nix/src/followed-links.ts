import { lstat, readlink } from 'node:fs/promises';
import { posix } from 'node:path';
import { lookOf, type Look } from '@floe/model';

/** As in Linux. */
const MAX_LINKS = 40;

/**
 * The looks with what they depend on besides: that each folder above is one, and where links lead, which the kernel follows by itself. `root` has
 * the files that were looked at; nothing in it is opened.
 */
export async function followingLinks(looks: Iterable<Look>, root: string): Promise<ReadonlySet<Look>> {
  const targets = new Map<string, Promise<string | undefined>>();
  const targetOf = async (path: string): Promise<string | undefined> => {
    const known = targets.get(path) ?? readTarget(posix.join(root, path));
    targets.set(path, known);
    return await known;
  };
  const all = new Set<Look>();
  for (const look of looks) {
    all.add(look);
    const [kind, path] = [look.slice(0, 4) as 'read' | 'kind' | 'list', look.slice(5)];
    let left = path === '.' ? [] : path.split('/');
    let at = '';
    for (let links = 0; left.length > 0 && links <= MAX_LINKS;) {
      const [name = '', ...rest] = left;
      const here = at === '' ? name : `${at}/${name}`;
      const target = await targetOf(here);
      all.add(lookOf(target === undefined ? 'kind' : 'read', here));
      left = rest;
      if (target === undefined) at = here;
      else {
        links += 1;
        const led = insideOf(target.startsWith('/') ? posix.normalize(target) : posix.join(root, at, target), root);
        if (led === undefined) break;
        left = [...led.split('/').filter((each) => each !== ''), ...rest];
        at = '';
      }
      if (left.length === 0) all.add(lookOf(kind, at));
    }
  }
  return all;
}

async function readTarget(path: string): Promise<string | undefined> {
  const stats = await lstat(path).catch(() => undefined);
  return stats?.isSymbolicLink() === true ? await readlink(path) : undefined;
}

function insideOf(path: string, root: string): string | undefined {
  if (path === root) return '';
  return path.startsWith(`${root}/`) ? path.slice(root.length + 1) : undefined;
}
