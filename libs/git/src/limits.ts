import { gitError } from './errors.ts';

/** Limits of what a git server may send. Beyond one, a fetch throws `REPOSITORY_TOO_LARGE`, which names the limit and its setting. */
export interface RepositoryLimits {
  /** Size of one fetch, packed. A first fetch has the whole history of the branch. */
  readonly downloadBytes: number;
  /** Size of one file, commit or folder listing, unpacked. It is held in memory. */
  readonly objectBytes: number;
}

const MIB = 1024 ** 2;

/** Real fleets have packs of 10 MB (median) to 95 MB, and GitHub accepts no file above 100 MiB. */
export const DEFAULT_REPOSITORY_LIMITS: RepositoryLimits = { downloadBytes: 512 * MIB, objectBytes: 100 * MIB };

/** Size of the list of refs, at about 70 bytes per ref. */
export const MAX_REFS_BYTES = 64 * MIB;
/** Objects of one pack. Checking it takes about 500 bytes of memory for each. */
export const MAX_OBJECTS = 2_000_000;
/** Size of all objects of a pack, unpacked, as a multiple of the download limit. It limits the work, not the memory. */
export const UNPACKED_RATIO = 64;
/** Depth of folders. A path has at most 4,095 bytes on Linux. */
export const MAX_TREE_DEPTH = 100;
/** Files of one commit. A tree may contain the same folder many times, and be endless when checked out. */
export const MAX_FILES = 500_000;
/** Size of all files of one commit, as a multiple of the download limit. Nix copies them into the store. */
export const UNPACKED_TREE_RATIO = 8;

/** Memory for the code, and for the list of objects of a pack with {@link MAX_OBJECTS}. */
const BASE_BYTES = 512 * MIB;

/** Memory limit of a mirror's thread, and of git where it fetches submodules: a pack is held twice while it arrives, and some of its files while they are checked. */
export function memoryBytes({ downloadBytes, objectBytes }: RepositoryLimits): number {
  return BASE_BYTES + 3 * downloadBytes + 4 * objectBytes;
}

/** Size of all versions of a file that git stored as deltas of each other: isomorphic-git holds all of them to read one. */
export function chainBytes({ objectBytes }: RepositoryLimits): number {
  return BASE_BYTES + 4 * objectBytes;
}

export const DOWNLOAD_SETTING = 'FLOE_REPOSITORY_MAX_MIB';
export const OBJECT_SETTING = 'FLOE_REPOSITORY_MAX_FILE_MIB';

/** The error of a limit. `what` is a clause: "its pack is larger than 512 MiB". */
export function tooLarge(what: string, setting?: string): Error {
  const advice = setting === undefined ? 'this limit is fixed' : `to allow more, set ${setting}`;
  return gitError('REPOSITORY_TOO_LARGE', `the repository is larger than this server accepts: ${what}; ${advice}`, {
    data: { what, setting },
  });
}

/** `bytes` in MiB, for a message. */
export function mib(bytes: number): string {
  return `${Math.round((bytes / MIB) * 10) / 10} MiB`;
}
