import { lstat, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { CachedPath } from '@floe/model';
import { MAX_NARINFO_BYTES } from '../narinfo.ts';
import { parseFolderEntry, type FolderEntry } from './folder-entry.ts';

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

/** What was read of the folder a moment ago, and is read once only. */
export class KnownFiles {
  /** Narinfos by hash, each with the file that said so. */
  readonly narinfos = new Map<string, { readonly narinfo: FolderEntry; readonly inode: number; readonly bytes: number }>();
  /** Archives never change. */
  readonly archives = new Map<string, FileFacts>();
  readonly #texts = new Map<string, string>();

  /** The same text as one object, without the file that it was cut from: a cache has a hundred thousand paths, and each is named by many. */
  one(text: string): string {
    const known = this.#texts.get(text);
    if (known !== undefined) return known;
    const copy = Buffer.from(text).toString();
    this.#texts.set(copy, copy);
    return copy;
  }
}

interface FileFacts {
  readonly inode: number;
  readonly bytes: number;
  readonly madeAt: number;
}

/** Lists the folder, without any lock. What leaves it meanwhile is left out. */
export async function readCacheFolder(dir: string, known: KnownFiles): Promise<FolderContent> {
  const archives = await filesIn(join(dir, 'nar'), ARCHIVE, known.archives);
  for (const [name, facts] of archives) known.archives.set(name, facts);
  const unfinished = [
    ...(await filesIn(dir, UNFINISHED)),
    ...[...(await filesIn(join(dir, 'nar'), UNFINISHED))].map(([name, facts]) => [`nar/${name}`, facts] as const),
  ];
  // Listed after the archives, so that none seems to be without its narinfo that comes meanwhile.
  const narinfos = await filesIn(dir, NARINFO);
  const paths = new Map<string, CachedPath & { readonly storePath: string }>();
  const unreadable: string[] = [];
  const withoutArchive = new Set<string>();
  const named = new Set<string>();
  await inBatches([...narinfos], async ([name, facts]) => {
    const hash = NARINFO.exec(name)?.groups?.['hash'] ?? '';
    const before = known.narinfos.get(hash);
    const isSame = before?.inode === facts.inode && before.bytes === facts.bytes;
    const narinfo = isSame ? before.narinfo : await readNarinfo(join(dir, name), hash, facts.bytes, known);
    if (narinfo === 'gone') return;
    if (narinfo === undefined) {
      unreadable.push(name);
      return;
    }
    known.narinfos.set(hash, { narinfo, inode: facts.inode, bytes: facts.bytes });
    const { archive, storePath, references } = narinfo;
    const file = archives.get(archive.slice('nar/'.length));
    named.add(archive);
    if (file === undefined) withoutArchive.add(hash);
    paths.set(hash, { hash, storePath, references, usedAt: facts.madeAt, archive, archiveBytes: file?.bytes ?? 0 });
  });
  const orphans = [...archives].map(([name, facts]) => [`nar/${name}`, facts] as const).filter(([name]) => !named.has(name));
  const leftovers = [...unfinished, ...orphans].map(([name, { bytes, madeAt }]) => ({ name, bytes, madeAt }));
  return { paths, leftovers, unreadable: unreadable.toSorted(), withoutArchive };
}

async function readNarinfo(path: string, hash: string, bytes: number, known: KnownFiles): Promise<FolderEntry | 'gone' | undefined> {
  if (bytes > MAX_NARINFO_BYTES) return undefined;
  const text = await unlessMissing(async () => await readFile(path, 'utf8'));
  if (text === undefined) return 'gone';
  const read = parseFolderEntry(text, hash);
  if (read === undefined) return undefined;
  const { storePath, archive, references } = read;
  return { storePath: known.one(storePath), archive: known.one(archive), references: references.map((each) => known.one(each)) };
}

/** The plain files of these names, and no links. */
async function filesIn(folder: string, form: RegExp, known?: ReadonlyMap<string, FileFacts>): Promise<Map<string, FileFacts>> {
  const names = (await unlessMissing(async () => await readdir(folder))) ?? [];
  const files = new Map<string, FileFacts>();
  await inBatches(
    names.filter((name) => form.test(name)),
    async (name) => {
      const before = known?.get(name);
      const stats = before === undefined ? await unlessMissing(async () => await lstat(join(folder, name))) : undefined;
      if (stats?.isFile() === true) files.set(name, { inode: stats.ino, bytes: stats.size, madeAt: stats.mtimeMs });
      else if (before !== undefined) files.set(name, before);
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
