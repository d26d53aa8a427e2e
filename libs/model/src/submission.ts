import type { CommitSha } from './brands.ts';

/** What has come of a store path that an administrator had a host pinned to. */
export const SUBMISSION_STATES = ['WAITING', 'PUBLISHED', 'FAILED'] as const;
export type SubmissionState = (typeof SUBMISSION_STATES)[number];

/** What a release of a store path says instead of a commit: no commit has that system. */
export const NO_COMMIT = '0'.repeat(40) as CommitSha;

/** A larger closure is a mistake, and would fill the cache and the disk of the host. */
export const MAX_SUBMITTED_BYTES = 64 * 1024 ** 3;
