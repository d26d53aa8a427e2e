import { createHash, timingSafeEqual } from 'node:crypto';
import * as v from 'valibot';
import { pusherLogin } from './pusher-login.ts';
import { CommitOrNone, createWebhookReader, OptionalName, Ref, type DescribedPush } from './webhook-reader.ts';

/** The fields of a push payload that are used. docs.gitlab.com, "Webhook events", push events. */
const PushPayload = v.pipe(
  v.object({
    ref: Ref,
    before: CommitOrNone,
    after: CommitOrNone,
    user_username: OptionalName,
    project: v.object({ path_with_namespace: v.string(), git_http_url: v.string(), git_ssh_url: OptionalName }),
    commits: v.optional(v.array(v.object({ id: v.string() })), []),
  }),
  v.transform(({ ref, before, after, user_username: login, project, commits }): DescribedPush => ({
    ref,
    before,
    after,
    isDeleted: after === undefined,
    // It does not say.
    isForced: false,
    pusher: pusherLogin(login),
    fullName: project.path_with_namespace,
    cloneUrl: project.git_http_url,
    sshUrl: project.git_ssh_url ?? '',
    // Its button "Test" tells of the last three commits as a push by whoever pressed it, from the first of them; that one is among the new
    // ones then, which it never is in a real push.
    isMadeUp: commits.some(({ id }) => id === before),
  })),
);

const sha256 = (text: string): Buffer => createHash('sha256').update(text).digest();

/** Reads GitLab's webhooks: they carry the secret itself. */
export const gitlabWebhooks = createWebhookReader({
  forge: 'GitLab',
  headers: {
    proof: ['x-gitlab-token'],
    event: ['x-gitlab-event'],
    // The first is newer. The second is the same for all refs that one push moves.
    deliveryId: ['idempotency-key', 'x-gitlab-event-uuid'],
  },
  proofForm: { pattern: /^[\x20-\x7E]{1,4096}$/, words: 'up to 4096 characters of ASCII' },
  proves: 'sender',
  // Hashes have one length, which timingSafeEqual wants.
  isProven: (proof, _body, secret) => timingSafeEqual(sha256(proof), sha256(secret.reveal())),
  pushEvent: 'Push Hook',
  pingEvent: undefined,
  payload: PushPayload,
  fields: { ref: 'ref', fullName: 'project.path_with_namespace', cloneUrl: 'project.git_http_url', sshUrl: 'project.git_ssh_url' },
});
