import { createHash } from 'node:crypto';

/** What there is to approve in a ring, as an id for people: another ring of the same commit is another decision. */
export function seenApproval(binds: string, ring: string): string {
  return createHash('sha256').update(`${ring}\n${binds}`).digest('base64url');
}
