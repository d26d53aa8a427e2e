import * as v from 'valibot';
import { isSignedBody } from './signed-body.ts';
import { pusherLogin } from './pusher-login.ts';
import { CommitOrNone, createWebhookReader, OptionalName, Ref, type DescribedPush } from './webhook-reader.ts';

/** The fields of a push payload that are used. docs.github.com, "Webhook events and payloads", push. */
const PushPayload = v.pipe(
  v.object({
    ref: Ref,
    before: CommitOrNone,
    after: CommitOrNone,
    deleted: v.boolean(),
    forced: v.boolean(),
    pusher: v.optional(v.nullable(v.object({ name: OptionalName }))),
    sender: v.optional(v.nullable(v.object({ login: OptionalName }))),
    repository: v.object({ full_name: v.string(), clone_url: v.string(), ssh_url: OptionalName }),
  }),
  v.transform(({ ref, before, after, deleted, forced, pusher, sender, repository }): DescribedPush => ({
    ref,
    before,
    after,
    isDeleted: deleted || after === undefined,
    isForced: forced,
    // With a deploy key GitHub names the account that added the key, or none: whoever has the key pushed, and nobody knows who that is.
    pusher: pusherLogin(pusher?.name, sender?.login),
    fullName: repository.full_name,
    cloneUrl: repository.clone_url,
    sshUrl: repository.ssh_url ?? '',
    isMadeUp: false,
  })),
);

/** Reads GitHub's webhooks. */
export const githubWebhooks = createWebhookReader({
  forge: 'GitHub',
  headers: { proof: ['x-hub-signature-256'], event: ['x-github-event'], deliveryId: ['x-github-delivery'] },
  proofForm: { pattern: /^sha256=[0-9a-f]{64}$/, words: 'sha256= and 64 hex digits' },
  proves: 'body',
  isProven: async (proof, body, secret) => await isSignedBody(proof.slice('sha256='.length), body, secret),
  pushEvent: 'push',
  pingEvent: 'ping',
  payload: PushPayload,
  fields: { ref: 'ref', fullName: 'repository.full_name', cloneUrl: 'repository.clone_url', sshUrl: 'repository.ssh_url' },
});
