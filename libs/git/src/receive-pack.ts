import { mkdir, open, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { downloadPack, incompleteTransfer, type DownloadOptions } from './download.ts';
import { isTranslated, translateFolderError } from './errors.ts';
import type { GitHttp } from './git-http.ts';
import type { RepositoryLimits } from './limits.ts';
import type { MirrorFolder } from './mirror-folder.ts';
import type { FetchProgress } from './mirror-types.ts';
import { buildIndex } from './pack/build-index.ts';
import { PackFile } from './pack/pack-file.ts';
import { PacketError } from './pkt-line.ts';

export interface ReceivePackOptions extends Omit<DownloadOptions, 'maxBytes' | 'onBytes'> {
  readonly dir: string;
  readonly folder: MirrorFolder;
  readonly limits: RepositoryLimits;
  readonly http: GitHttp;
  readonly signal: AbortSignal;
  readonly onProgress: (progress: FetchProgress) => void;
}

/** Fewer bytes than this are no progress: a server that sends one now and then is as good as silent. */
const LEAST_BYTES = 1024;
const PROGRESS_MS = 250;

/** Downloads a pack, looks at all of it, and only then gives it its place. Nothing is left of one that is refused. */
export async function receivePack(options: ReceivePackOptions): Promise<void> {
  const { dir, url, folder, limits, signal } = options;
  const report = reporter(options.onProgress);
  await folder.withTemporary(async (path) => {
    const file = await open(path, 'wx', 0o444);
    let hash: string;
    let receivedBytes = 0;
    try {
      hash = await downloadPack(options.http, file, {
        ...options,
        maxBytes: limits.downloadBytes,
        onBytes: (total) => {
          receivedBytes = total;
          report({ receivedBytes, objects: 0, totalObjects: 0 });
        },
      });
      await file.sync();
    } catch (error) {
      if (error instanceof PacketError) throw incompleteTransfer(url, error);
      throw error;
    } finally {
      await file.close();
    }
    let index: Buffer;
    try {
      using pack = new PackFile(path, limits.objectBytes);
      index = await buildIndex(pack, {
        limits,
        signal,
        onProgress: (objects, totalObjects) => report({ receivedBytes, objects, totalObjects }),
      });
    } catch (error) {
      if (isTranslated(error) || translateFolderError(error, dir) !== undefined) throw error;
      throw incompleteTransfer(url, error);
    }
    const place = join(dir, 'objects', 'pack', `pack-${hash}`);
    await mkdir(join(dir, 'objects', 'pack'), { recursive: true });
    await rename(path, `${place}.pack`);
    await folder.writeWhole(`${place}.idx`, index);
  });
}

function reporter(onProgress: (progress: FetchProgress) => void): (progress: FetchProgress) => void {
  let told: FetchProgress | undefined;
  let toldAt = 0;
  return (progress) => {
    const isNew =
      told === undefined ||
      progress.receivedBytes - told.receivedBytes >= LEAST_BYTES ||
      progress.objects !== told.objects ||
      progress.totalObjects !== told.totalObjects;
    if (!isNew || performance.now() - toldAt < PROGRESS_MS) return;
    told = progress;
    toldAt = performance.now();
    onProgress(progress);
  };
}
