import type { Theft } from './thefts.ts';

/** What burglar.ts is told. */
export interface BurglarySettings {
  readonly dataDir: string;
  readonly isSandboxed: boolean;
  readonly mayBuildsChangeStore: boolean;
  /** Each is also a host of the flake `fleet`. */
  readonly thefts: readonly (Theft & { readonly host: string })[];
  /** Of flakes that steal, by what they try */
  readonly urls: Readonly<Record<string, string>>;
  readonly secrets: readonly string[];
}

/** What burglar.ts brings out: all that each command printed, by the theft's name. */
export interface Hauls {
  readonly impure: Readonly<Record<string, string>>;
  readonly pure: Readonly<Record<string, string>>;
  readonly flakes: Readonly<Record<string, string>>;
  /** The code of the error with which the sandbox could not be opened: then nothing was tried. */
  readonly refused?: string;
}

/** What stage.ts tells. */
export interface BurglaryReport {
  readonly thefts: readonly Required<Omit<Theft, 'expression'>>[];
  /** Thefts that brought out a secret or its hash, with what they printed. */
  readonly stolen: Hauls;
  /** How many were tried. */
  readonly tried: number;
  /** Files in the store or beside it that hold a secret, or should not be there. */
  readonly left: readonly string[];
}
