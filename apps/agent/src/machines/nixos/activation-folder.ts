import { access, link, mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { readFileIfPresent, sync, writeFileDurably } from '@floe/runtime';

/** The verdict about an activation: the first one on disk counts. 'undo': roll back. The words are a format on disk. */
export type Verdict = 'passed' | 'undo';

/**
 * The files by which the agent, the watchdog and the boot guard tell each other about one activation, in a folder of its own.
 * Agents of other versions read them.
 */
export interface ActivationFolder {
  readonly dir: string;
  file(name: string): string;
  /** Writes a file durably. */
  write(name: string, content: string): Promise<void>;
  read(name: string): Promise<string | undefined>;
  has(name: string): Promise<boolean>;
  removeAll(names: readonly string[]): Promise<void>;
  /** Writes the verdict unless there is one; returns the one that counts. */
  claim(verdict: Verdict): Promise<Verdict>;
  verdict(): Promise<Verdict | undefined>;
}

export function activationFolder(parent: string, activation: number): ActivationFolder {
  const dir = join(parent, String(activation));
  const file = (name: string): string => join(dir, name);

  async function verdict(): Promise<Verdict | undefined> {
    const text = (await readFileIfPresent(file('verdict')))?.trim();
    if (text === undefined) return undefined;
    return text === 'passed' ? 'passed' : 'undo';
  }

  return {
    dir,
    file,
    verdict,
    write: async (name, content) => await writeFileDurably(file(name), content),
    read: async (name) => await readFileIfPresent(file(name)),
    has: async (name) =>
      await access(file(name)).then(
        () => true,
        () => false,
      ),
    async removeAll(names) {
      for (const name of names) await rm(file(name), { force: true });
    },
    async claim(wanted) {
      await mkdir(dir, { recursive: true });
      const own = file(`verdict.${wanted}`);
      await writeFile(own, `${wanted}\n`);
      await sync(own);
      // A link to an existing name fails, so that one verdict wins, also against the scripts.
      await link(own, file('verdict')).catch((error: NodeJS.ErrnoException) => {
        if (error.code !== 'EEXIST') throw error;
      });
      await sync(dir);
      return (await verdict()) ?? wanted;
    },
  };
}

/** Removes the folders of all activations. */
export async function removeActivations(parent: string): Promise<void> {
  await rm(parent, { recursive: true, force: true });
}
