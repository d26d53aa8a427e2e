import { storeHash } from '@floe/model';
import { FloeError } from '@floe/runtime';
import { MAX_NARINFO_BYTES, type Narinfo } from '../narinfo.ts';
import type { FolderFiles } from '../remote-cache/cache-files.ts';
import type { HttpFiles } from '../remote-cache/http-files.ts';
import { inParallel } from '../remote-cache/in-parallel.ts';
import { findPath, readClosures, type ReadOptions } from '../remote-cache/read-closures.ts';
import type { OnPublishing } from './publisher.ts';

const ASKED_AT_ONCE = 32;
const SENT_AT_ONCE = 4;
const CACHE_INFO = 'StoreDir: /nix/store\nWantMassQuery: 1\nPriority: 30\n';

/**
 * Copies closures from a folder to a cache that takes files by PUT, as far as they are not whole there: first what paths contain, then their narinfos,
 * each after those that it refers to. Wherever it ends, a reader finds only whole closures, and the next time the rest is copied. `seen`: paths that
 * the cache had; they are not asked for again.
 */
export async function upload(
  from: FolderFiles,
  to: HttpFiles,
  tops: readonly string[],
  options: ReadOptions & { readonly seen: Set<string>; readonly onProgress?: OnPublishing | undefined },
): Promise<void> {
  const { seen, onProgress } = options;
  const entries = await readClosures([from], tops, options);
  const asked = [...entries.values()].filter(({ storePath }) => !seen.has(storePath));
  if (asked.length === 0) return;
  onProgress?.(`looks at what the cache has of ${asked.length} paths`);
  if (!(await to.hasInfo())) await to.put('nix-cache-info', { text: CACHE_INFO });
  const missing = new Map<string, Narinfo>();
  await inParallel(ASKED_AT_ONCE, asked, async (entry) => {
    if ((await findPath(to, entry.storePath, options)).kind === 'whole') seen.add(entry.storePath);
    else missing.set(entry.storePath, entry);
  });

  // Some paths have the same content.
  const contents = new Map([...missing.values()].map(({ url, fileSize }) => [url, fileSize]));
  const total = [...contents.values()].reduce<number>((sum, bytes) => sum + (bytes ?? 0), 0);
  let sent = 0;
  await inParallel(SENT_AT_ONCE, [...contents], async ([url, fileSize]) => {
    if (fileSize === undefined) throw new FloeError('CACHE_PATH_MISSING', `${from.place} says no size of ${url}`, { retryable: true });
    if ((await to.sizeOf(url)) === fileSize) {
      sent += fileSize;
      return;
    }
    await to.put(url, { path: from.pathOf(url), bytes: fileSize }, (bytes) => {
      sent += bytes;
      onProgress?.(`copies to the cache: ${mib(sent)} of ${mib(total)} MiB`);
    });
  });
  for (const layer of layersOf(missing)) {
    await inParallel(SENT_AT_ONCE, layer, async ({ storePath }) => {
      const name = `${storeHash(storePath)}.narinfo`;
      const text = await from.readText(name, MAX_NARINFO_BYTES);
      if (text === undefined) throw new FloeError('CACHE_PATH_MISSING', `${storePath} left ${from.place} meanwhile`, { retryable: true });
      await to.put(name, { text });
      seen.add(storePath);
    });
  }
}

/** Each entry is in a later layer than those of them that it refers to. */
function layersOf(entries: ReadonlyMap<string, Narinfo>): readonly (readonly Narinfo[])[] {
  const layers: (readonly Narinfo[])[] = [];
  const left = new Map(entries);
  while (left.size > 0) {
    const ready = [...left.values()].filter(({ storePath, references }) => references.every((each) => each === storePath || !left.has(each)));
    // A circle is nothing that Nix makes.
    const layer = ready.length === 0 ? [...left.values()] : ready;
    for (const { storePath } of layer) left.delete(storePath);
    layers.push(layer);
  }
  return layers;
}

function mib(bytes: number): string {
  return (bytes / 1024 ** 2).toFixed(1);
}
