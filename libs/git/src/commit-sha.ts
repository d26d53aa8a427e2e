import type { CommitSha } from '@floe/model';

/** Brands an object id that git returned. Throws a plain error, because git libraries return nothing else. */
export function toCommitSha(oid: string): CommitSha {
  if (!/^[0-9a-f]{40}$/.test(oid)) throw new Error(`"${oid}" is not a commit id`);
  return oid as CommitSha;
}
