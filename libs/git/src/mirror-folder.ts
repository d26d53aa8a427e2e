import { createHash, randomUUID } from 'node:crypto';
import * as fs from 'node:fs/promises';
import { join } from 'node:path';
import { readFileIfPresent } from '@floe/runtime';
import { gitError } from './errors.ts';

// Says that the folder is ours to wipe, and of which repository it is. Written first into an empty folder.
const MARKER = 'floe-mirror';
// Inside the mirror, so that a rename from it never crosses file systems.
const TEMPORARY = 'floe-tmp';
const PARTS = ['HEAD', 'config', 'objects', 'refs', 'packed-refs', 'shallow', 'info'];

/** The files of a bare mirror. */
export interface MirrorFolder {
  /** What isomorphic-git writes with: every file appears whole or not at all, also after a power cut. */
  readonly fs: { readonly promises: typeof fs };
  /** Makes the folder a mirror of the repository: what is right is kept, what belongs to another repository goes. */
  prepare(): Promise<void>;
  /** Throws away all that was fetched and starts with an empty mirror. */
  remake(): Promise<void>;
}

/**
 * Opens the folder `dir` as the mirror of `branch` of `url`.
 *
 * Files are written beside and renamed, and isomorphic-git writes a pack before the index that makes it visible. So an
 * object that can be read was fetched together with everything behind it, whenever the process was killed.
 */
export function openMirrorFolder(dir: string, url: string, branch: string): MirrorFolder {
  const temporary = join(dir, TEMPORARY);

  async function writeWhole(path: string, content: string | Uint8Array): Promise<void> {
    if (/\/objects\/pack\/[^/]+\.pack$/.test(path)) assertWholePack(content, url);
    const beside = join(temporary, randomUUID());
    try {
      await writeSynced(beside, content);
      // Fails when the target's folder is not there: isomorphic-git then makes the folder and writes once more.
      await fs.rename(beside, path);
    } catch (error) {
      await fs.rm(beside, { force: true });
      throw error;
    }
  }

  async function writeIfChanged(name: string, content: string): Promise<void> {
    const path = join(dir, name);
    if ((await readFileIfPresent(path).catch(() => undefined)) !== content) await writeWhole(path, content);
  }

  async function fillIn(): Promise<void> {
    for (const part of ['objects/info', 'objects/pack', 'refs/heads', 'refs/tags']) {
      await fs.mkdir(join(dir, part), { recursive: true });
    }
    await writeIfChanged('config', configuration(url));
    await writeIfChanged('HEAD', `ref: refs/heads/${branch}\n`);
  }

  async function clear(): Promise<void> {
    // Moved away in one step each, so that a mirror that is half gone never looks whole.
    const away = join(temporary, randomUUID());
    await fs.mkdir(away, { recursive: true });
    for (const part of PARTS) {
      await fs.rename(join(dir, part), join(away, part)).catch((error: NodeJS.ErrnoException) => {
        if (error.code !== 'ENOENT') throw error;
      });
    }
    await fs.rm(away, { recursive: true, force: true });
  }

  return {
    fs: { promises: { ...fs, writeFile: writeWhole as typeof fs.writeFile } },
    async prepare() {
      await fs.mkdir(dir, { recursive: true });
      const names = await fs.readdir(dir);
      const marker = names.includes(MARKER) ? await fs.readFile(join(dir, MARKER), 'utf8') : undefined;
      if (marker === undefined && names.some((name) => name !== TEMPORARY)) {
        throw gitError('MIRROR_FOLDER_TAKEN', `${dir} holds files that are not a mirror: name an empty folder, or remove them`, {
          data: { dir },
        });
      }
      await fs.rm(temporary, { recursive: true, force: true });
      await fs.mkdir(temporary, { recursive: true });
      if (marker !== undefined && marker !== `${url}\n`) await clear();
      await writeIfChanged(MARKER, `${url}\n`);
      await fillIn();
    },
    async remake() {
      await clear();
      await fillIn();
    },
  };
}

async function writeSynced(path: string, content: string | Uint8Array): Promise<void> {
  const file = await fs.open(path, 'wx', 0o644);
  try {
    await file.writeFile(content);
    await file.sync();
  } finally {
    await file.close();
  }
}

function configuration(url: string): string {
  return `[core]
\trepositoryformatversion = 0
\tfilemode = true
\tbare = true
[transfer]
\thideRefs = refs/floe
[remote "origin"]
\turl = ${quote(url)}
\tfetch = +refs/heads/*:refs/floe/seen/*
`;
}

function quote(value: string): string {
  return `"${value.replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"`;
}

/** A pack ends with its own hash; isomorphic-git believes it unread, and indexes what there is of a pack cut short. */
function assertWholePack(content: string | Uint8Array, url: string): void {
  const bytes = Buffer.from(content);
  const trailer = bytes.subarray(-20);
  const hash = createHash('sha1').update(bytes.subarray(0, -20)).digest();
  if (bytes.length > 20 && hash.equals(trailer)) return;
  throw incompleteTransfer(url);
}

/** The server ended in the middle of what it had to send. */
export function incompleteTransfer(url: string): Error {
  return gitError('REPOSITORY_UNREACHABLE', `${url} sent only a part of what was asked for; the fetch is tried again`, { data: { url } });
}
