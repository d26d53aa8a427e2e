import { stripVTControlCharacters } from 'node:util';
import type { LogEvent } from './internal-json.ts';

/** Nix's level "talkative". What expressions print is at a lower one. */
const LEVEL = 4;
const IMPORTED = /^evaluating file '(\/nix\/store\/.+)'$/s;
/** A hostile flake has any number of files. */
const MAX_FILES = 20_000;

/** Makes Nix say which files it imports. */
export const NAMES_IMPORTS = ['-v'];

/**
 * The files of the repository that an evaluation imports, by what Nix says of it. It names no file that is read otherwise (`readFile`, a folder that is
 * copied), so what is found is good for an order, and proves nothing.
 */
export class ImportedFiles {
  readonly #root: string;
  readonly #files = new Set<string>();

  /** `root`: the store path of the repository's files. */
  constructor(root: string) {
    this.#root = `${root}/`;
  }

  take(event: LogEvent): void {
    if (event.action !== 'msg' || event.level !== LEVEL || this.#files.size >= MAX_FILES) return;
    const [, file] = IMPORTED.exec(stripVTControlCharacters(event.msg)) ?? [];
    if (file?.startsWith(this.#root) === true) this.#files.add(file.slice(this.#root.length));
  }

  /** From the root of the repository. */
  get files(): readonly string[] {
    return [...this.#files];
  }
}
