import type { CommitSha } from '@floe/model';

/** An object id as git writes it, branded. Throws a plain error: git libraries do not give anything else. */
export function toCommitSha(oid: string): CommitSha {
  if (!/^[0-9a-f]{40}$/.test(oid)) throw new Error(`"${oid}" is not a commit id`);
  return oid as CommitSha;
}
