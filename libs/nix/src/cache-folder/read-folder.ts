import type { Stats } from 'node:fs';
import { lstat, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { CachedPath } from '@floe/model';
import { parseNarinfo, type Narinfo } from './narinfo.ts';

/** What is in the folder of a binary cache. */
export interface FolderContent {
  readonly paths: ReadonlyMap<string, CachedPath & { readonly storePath: string }>;
  /** Files that nobody asks for: archives that no narinfo names, and what a publication left that was killed. */
  readonly leftovers: readonly Leftover[];
  /** Narinfos that cannot be read, by their names. */
  readonly unreadable: readonly string[];
  /** Narinfos whose archive is not there, by their hashes. */
  readonly withoutArchive: ReadonlySet<string>;
}

export interface Leftover {
  /** Below the folder. */
  readonly name: string;
  readonly bytes: number;
  readonly madeAt: number;
}

const NARINFO = /^(?<hash>[0-9a-z]{32})\.narinfo$/;
const ARCHIVE = /^[0-9a-z]{52}\.nar(\.[a-z0-9]{1,8})?$/;
/** What Nix writes until a file is whole. */
const UNFINISHED = /^([0-9a-z]{32}\.narinfo|[0-9a-z]{52}\.nar(\.[a-z0-9]{1,8})?)\.tmp\b/;
const AT_ONCE = 64;
/** Larger than any narinfo: one names some thousand references at most. */
const MAX_NARINFO_BYTES = 1024 * 1024;

/** Narinfos that were read a moment ago, with the file that said so. */
export type KnownNarinfos = Map<string, { readonly narinfo: Narinfo; readonly inode: number; readonly bytes: number }>;

/** Lists the folder, without any lock. What leaves it meanwhile is left out. */
export async function readCacheFolder(dir: string, known: KnownNarinfos): Promise<FolderContent> {
  const archives = await filesIn(join(dir, 'nar'), ARCHIVE);
  const unfinished = [
    ...(await filesIn(dir, UNFINISHED)),
    ...[...(await filesIn(join(dir, 'nar'), UNFINISHED))].map(([name, stats]) => [`nar/${name}`, stats] as const),
  ];
  // Listed after the archives, so that none seems to be without its narinfo that comes meanwhile.
  const narinfos = await filesIn(dir, NARINFO);
  const paths = new Map<string, CachedPath & { readonly storePath: string }>();
  const unreadable: string[] = [];
  const withoutArchive = new Set<string>();
  const named = new Set<string>();
  await inBatches([...narinfos], async ([name, stats]) => {
    const hash = NARINFO.exec(name)?.groups?.['hash'] ?? '';
    const before = known.get(hash);
    const isSame = before?.inode === stats.ino && before.bytes === stats.size;
    const narinfo = isSame ? before.narinfo : await readNarinfo(join(dir, name), hash, stats);
    if (narinfo === 'gone') return;
    if (narinfo === undefined) {
      unreadable.push(name);
      return;
    }
    known.set(hash, { narinfo, inode: stats.ino, bytes: stats.size });
    const { archive, storePath, references } = narinfo;
    const file = archives.get(archive.slice('nar/'.length));
    named.add(archive);
    if (file === undefined) withoutArchive.add(hash);
    paths.set(hash, { hash, storePath, references, usedAt: stats.mtimeMs, archive, archiveBytes: file?.size ?? 0 });
  });
  const orphans = [...archives].map(([name, stats]) => [`nar/${name}`, stats] as const).filter(([name]) => !named.has(name));
  const leftovers = [...unfinished, ...orphans].map(([name, { size, mtimeMs }]) => ({ name, bytes: size, madeAt: mtimeMs }));
  return { paths, leftovers, unreadable: unreadable.toSorted(), withoutArchive };
}

async function readNarinfo(path: string, hash: string, { size }: Stats): Promise<Narinfo | 'gone' | undefined> {
  if (size > MAX_NARINFO_BYTES) return undefined;
  const text = await unlessMissing(async () => await readFile(path, 'utf8'));
  return text === undefined ? 'gone' : parseNarinfo(text, hash);
}

/** The plain files of these names, and no links. */
async function filesIn(folder: string, form: RegExp): Promise<Map<string, Stats>> {
  const names = (await unlessMissing(async () => await readdir(folder))) ?? [];
  const files = new Map<string, Stats>();
  await inBatches(
    names.filter((name) => form.test(name)),
    async (name) => {
      const stats = await unlessMissing(async () => await lstat(join(folder, name)));
      if (stats?.isFile() === true) files.set(name, stats);
    },
  );
  return files;
}

async function inBatches<T>(items: readonly T[], each: (item: T) => Promise<void>): Promise<void> {
  for (let start = 0; start < items.length; start += AT_ONCE) await Promise.all(items.slice(start, start + AT_ONCE).map(each));
}

/** Undefined: there is no such file or folder. */
export async function unlessMissing<T>(read: () => Promise<T>): Promise<T | undefined> {
  try {
    return await read();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}
