import { access, link, mkdir, open, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { readFileIfPresent, writeFileDurably } from '@floe/runtime';

/** Whose word counts about an activation: the first that is written stands, whoever else comes after a crash or late. */
export type Verdict = 'passed' | 'undo';

/**
 * What the agent and what watches over it (shell scripts that need no agent) tell each other about one activation, in
 * files of a folder of its own. They outlive agents of any version.
 */
export interface ActivationFolder {
  readonly dir: string;
  file(name: string): string;
  /** Writes a file durably. */
  write(name: string, content: string): Promise<void>;
  read(name: string): Promise<string | undefined>;
  has(name: string): Promise<boolean>;
  removeAll(names: readonly string[]): Promise<void>;
  /** Claims the verdict; returns the one that stands. */
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
      // A link to a name that exists fails: there is one winner, also with a script that does the same.
      await link(own, file('verdict')).catch((error: NodeJS.ErrnoException) => {
        if (error.code !== 'EEXIST') throw error;
      });
      await sync(dir);
      return (await verdict()) ?? wanted;
    },
  };
}

/** Forgets all activations. */
export async function removeActivations(parent: string): Promise<void> {
  await rm(parent, { recursive: true, force: true });
}

async function sync(path: string): Promise<void> {
  const handle = await open(path, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
