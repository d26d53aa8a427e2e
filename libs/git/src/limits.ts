import { gitError } from './errors.ts';

/** What a git server may send. Beyond a limit a fetch ends with `REPOSITORY_TOO_LARGE`, which names limit and setting. */
export interface RepositoryLimits {
  /** Of one fetch, packed. A first fetch is the whole history of the branch. */
  readonly downloadBytes: number;
  /** Of one file, commit or folder listing, unpacked; it is held in memory. */
  readonly objectBytes: number;
}

const MIB = 1024 ** 2;

/** Real fleets have packs of 10 MB (median) to 95 MB, and GitHub takes no file above 100 MiB. */
export const DEFAULT_REPOSITORY_LIMITS: RepositoryLimits = { downloadBytes: 512 * MIB, objectBytes: 100 * MIB };

/** The list of refs: about 70 bytes a ref. */
export const MAX_REFS_BYTES = 64 * MIB;
/** Of one pack. To look at it takes about 500 bytes of memory for each. */
export const MAX_OBJECTS = 2_000_000;
/** All objects of a pack, unpacked, in proportion to what may be downloaded: it bounds the work, not the memory. */
export const UNPACKED_RATIO = 64;
/** Folders in folders. A path has at most 4,095 bytes on Linux. */
export const MAX_TREE_DEPTH = 100;
/** Files of one commit. A tree can name the same folder many times, and so be endless when it is laid out. */
export const MAX_FILES = 500_000;
/** The files of one commit together, in proportion to what may be downloaded. Nix copies them into the store. */
export const UNPACKED_TREE_RATIO = 8;

/** The code, and the list of what a pack of {@link MAX_OBJECTS} holds. */
const BASE_BYTES = 512 * MIB;

/** What the thread of a mirror may hold: a pack is in memory twice while it comes, and some of its files while they are looked at. */
export function memoryBytes({ downloadBytes, objectBytes }: RepositoryLimits): number {
  return BASE_BYTES + 3 * downloadBytes + 4 * objectBytes;
}

/** All versions of a file that git has stored as differences of one another: isomorphic-git holds all of them to read one. */
export function chainBytes({ objectBytes }: RepositoryLimits): number {
  return BASE_BYTES + 4 * objectBytes;
}

export const DOWNLOAD_SETTING = 'FLOE_REPOSITORY_MAX_MIB';
export const OBJECT_SETTING = 'FLOE_REPOSITORY_MAX_FILE_MIB';

/** A limit was reached. `what` is a clause: "its pack is larger than 512 MiB". */
export function tooLarge(what: string, setting?: string): Error {
  const advice = setting === undefined ? 'this limit is fixed' : `to allow more, set ${setting}`;
  return gitError('REPOSITORY_TOO_LARGE', `the repository is larger than this server takes: ${what}; ${advice}`, {
    data: { what, setting },
  });
}

/** `bytes` in MiB, for a message. */
export function mib(bytes: number): string {
  return `${Math.round((bytes / MIB) * 10) / 10} MiB`;
}
