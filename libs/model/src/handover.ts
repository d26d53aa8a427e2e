import type { CommitSha } from './brands.ts';

/** What has come of the systems that a CI submitted as one file: a *handover*. */
export const HANDOVER_STATES = [
  /** They are looked for, and published. */
  'WAITING',
  /** It is a revision. */
  'TAKEN',
  'REFUSED',
] as const;
export type HandoverState = (typeof HANDOVER_STATES)[number];

/** So many hosts can be in one. */
export const MAX_HANDOVER_HOSTS = 10_000;
/** So many of a repository wait at a time. */
export const MAX_WAITING_HANDOVERS = 20;
/** So many of these are of one person, so that nobody shuts out the others. */
export const MAX_WAITING_HANDOVERS_OF_ONE = 5;

const NOT_A_COMMIT = '0'.repeat(16);

/** What a revision of a handover is called that names no commit: the beginning of its content's hash, then 16 zeros, which no commit has. */
export function handoverSha(contentHash: string): CommitSha {
  return `${contentHash.slice(0, 24)}${NOT_A_COMMIT}` as CommitSha;
}

/** False: it is what a handover, or a submitted store path, has instead of a commit. Git, a forge or the mirror must not be asked for it. */
export function isCommit(sha: string): boolean {
  return !sha.endsWith(NOT_A_COMMIT);
}
