import { createHash } from 'node:crypto';
import { COMMIT_SHA_FORM, HOST_NAME_FORM, type CommitSha, type HoldCause, type HostName } from '@floe/model';
import * as v from 'valibot';

const Sha = v.pipe(
  v.string(),
  v.regex(COMMIT_SHA_FORM),
  v.transform((text) => text as CommitSha),
);
const Name = v.pipe(
  v.string(),
  v.regex(HOST_NAME_FORM),
  v.transform((text) => text as HostName),
);

/** More than any fleet has: a hold whose cause could not be read could not be accepted. */
const MAX_GONE = 100_000;

/** The jsonb columns `held_cause` and `allowed_cause` of a repository. */
export const HoldColumn = v.variant('kind', [
  v.strictObject({ kind: v.literal('force-push'), accepted: Sha }),
  v.strictObject({ kind: v.literal('shrink'), gone: v.pipe(v.array(Name), v.maxLength(MAX_GONE)) }),
]);

/** The same for the same cause, whatever order its hosts are in. */
export function idOfHold(cause: HoldCause): string {
  const said = cause.kind === 'force-push' ? [cause.kind, cause.accepted] : [cause.kind, ...cause.gone.toSorted()];
  return createHash('sha256').update(JSON.stringify(said)).digest('base64url').slice(0, 22);
}
