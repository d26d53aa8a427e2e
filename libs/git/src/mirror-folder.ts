import { randomUUID } from 'node:crypto';
import * as fs from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { readFileIfPresent } from '@floe/runtime';
import { gitError } from './errors.ts';

// Marks the folder as a mirror that may be wiped, and names its repository. The first file in an empty folder.
const MARKER = 'floe-mirror';
// Inside the mirror, so that a rename never crosses file systems.
const TEMPORARY = 'floe-tmp';
const PARTS = ['HEAD', 'config', 'objects', 'refs', 'packed-refs', 'shallow', 'info'];

/** The files of a bare mirror. */
export interface MirrorFolder {
  /** Writes a file atomically, also across a power failure. */
  readonly writeWhole: (path: string, content: string | Uint8Array) => Promise<void>;
  /** Makes the folder a mirror of the repository: keeps valid files, removes those of another repository. */
  prepare(): Promise<void>;
  /** Removes everything that was fetched and creates an empty mirror. */
  remake(): Promise<void>;
}

/**
 * Opens the folder `dir` as the mirror of `branch` of `url`.
 * Files are written to a temporary name and renamed, and a pack is renamed before the index that makes it visible. So an object
 * that can be read was fetched together with everything that it refers to, whenever the process was killed.
 */
export function openMirrorFolder(dir: string, url: string, branch: string): MirrorFolder {
  const temporary = join(dir, TEMPORARY);

  async function writeWhole(path: string, content: string | Uint8Array): Promise<void> {
    const beside = join(temporary, randomUUID());
    try {
      await writeSynced(beside, content);
      await fs.mkdir(dirname(path), { recursive: true });
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
    await renameBranch();
    await writeIfChanged('HEAD', `ref: refs/heads/${branch}\n`);
  }

  /**
   * The branch may have another name than when the mirror was used last: until the next fetch it is at the commit of the former one, of which Nix is
   * to find what was taken in. Where the new name cannot be beside the former one, the fetch makes room.
   */
  async function renameBranch(): Promise<void> {
    const read = async (path: string): Promise<string | undefined> => await readFileIfPresent(join(dir, path)).catch(() => undefined);
    const former = /^ref: (refs\/heads\/.+)\n$/.exec((await read('HEAD')) ?? '')?.[1];
    if (former === undefined || former === `refs/heads/${branch}` || (await read(`refs/heads/${branch}`)) !== undefined) return;
    const sha = await read(former);
    if (sha !== undefined) await writeWhole(join(dir, `refs/heads/${branch}`), sha).catch(() => undefined);
  }

  async function clear(): Promise<void> {
    // Each is moved away in one step, so that a partly deleted mirror never looks complete.
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
    writeWhole,
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
