import * as v from 'valibot';
import { isSignedBody } from './signed-body.ts';
import { pusherLogin } from './pusher-login.ts';
import { CommitOrNone, createWebhookReader, OptionalName, Ref, type DescribedPush } from './webhook-reader.ts';

const Account = v.optional(v.nullable(v.object({ login: OptionalName, username: OptionalName })));

/** It names one account up to four times, by its version: as who pushed and as who caused the webhook. */
function namesOf(...accounts: readonly v.InferOutput<typeof Account>[]): readonly string[] {
  return accounts.flatMap((account) => [account?.login, account?.username]).flatMap((name) => (name == null || name === '' ? [] : [name]));
}

/** The fields of a push payload that are used. forgejo.org/docs and docs.gitea.com, "Webhooks". */
const PushPayload = v.pipe(
  v.object({
    ref: Ref,
    before: CommitOrNone,
    after: CommitOrNone,
    pusher: Account,
    sender: Account,
    repository: v.object({ full_name: v.string(), clone_url: v.string(), ssh_url: OptionalName }),
  }),
  v.transform(({ ref, before, after, pusher, sender, repository }): DescribedPush => ({
    ref,
    before,
    after,
    isDeleted: after === undefined,
    // It does not say.
    isForced: false,
    pusher: namesOf(pusher).length === 0 ? undefined : pusherLogin(...namesOf(pusher, sender)),
    fullName: repository.full_name,
    cloneUrl: repository.clone_url,
    sshUrl: repository.ssh_url ?? '',
    isMadeUp: false,
  })),
);

/** Reads the webhooks of Forgejo, and of Gitea, which it came from. */
export const forgejoWebhooks = createWebhookReader({
  forge: 'Forgejo',
  headers: {
    proof: ['x-forgejo-signature', 'x-gitea-signature'],
    event: ['x-forgejo-event', 'x-gitea-event'],
    deliveryId: ['x-forgejo-delivery', 'x-gitea-delivery'],
  },
  proofForm: { pattern: /^[0-9a-f]{64}$/, words: '64 hex digits' },
  proves: 'body',
  isProven: isSignedBody,
  pushEvent: 'push',
  pingEvent: undefined,
  payload: PushPayload,
  fields: { ref: 'ref', fullName: 'repository.full_name', cloneUrl: 'repository.clone_url', sshUrl: 'repository.ssh_url' },
});
