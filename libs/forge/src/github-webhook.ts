import { forgeLogin } from '@floe/model';
import { CommitSha } from '@floe/protocol';
import { FloeError, type Secret } from '@floe/runtime';
import { Webhooks } from '@octokit/webhooks';
import * as v from 'valibot';
import type { Push, WebhookDelivery, WebhookOutcome, WebhookRefusal, WebhookRefusalCode } from './webhook.ts';

/** The commit id that git and GitHub use for a branch before it was created or after it was deleted. */
const NO_COMMIT = '0'.repeat(40);
const SIGNATURE_FORM = /^sha256=[0-9a-f]{64}$/;

const CommitOrNone = v.pipe(
  v.string(),
  v.transform((sha) => (sha === NO_COMMIT ? undefined : sha)),
  v.optional(CommitSha),
);

const DeliveryId = v.pipe(v.string(), v.regex(/^[\w-]{1,128}$/));

/** Bounded to a name, because it is echoed. */
const EventName = v.pipe(v.string(), v.regex(/^[\w.-]{1,100}$/));

/** git limits a ref like a path; GitHub's names and URLs are far shorter. */
const TEXTS = { ref: 1_024, 'repository.full_name': 300, 'repository.clone_url': 2_048 } as const;

/** The fields of a push payload that are used. docs.github.com, "Webhook events and payloads", push. */
const PushPayload = v.object({
  ref: v.pipe(v.string(), v.startsWith('refs/')),
  before: CommitOrNone,
  after: CommitOrNone,
  deleted: v.boolean(),
  forced: v.boolean(),
  pusher: v.optional(v.nullable(v.object({ name: v.optional(v.nullable(v.string())) }))),
  sender: v.optional(v.nullable(v.object({ login: v.optional(v.nullable(v.string())) }))),
  repository: v.object({ full_name: v.string(), clone_url: v.string() }),
});

/** What can be judged from the headers, before the body is read: the refusal; undefined: the body decides. */
export function judgeGithubHeaders(headers: WebhookDelivery['headers']): WebhookRefusal | undefined {
  const announced = readHeaders(headers);
  return announced.kind === 'refused' ? announced : undefined;
}

interface Announced {
  readonly kind: 'announced';
  readonly signature: string;
  readonly event: string;
  readonly deliveryId: string;
}

function readHeaders(headers: WebhookDelivery['headers']): Announced | WebhookRefusal {
  const signature = headers.get('x-hub-signature-256');
  if (signature === null) {
    return refused(
      401,
      'SIGNATURE_MISSING',
      'the header x-hub-signature-256 is missing: set a secret in the settings of the webhook at GitHub, the same as here',
    );
  }
  if (!SIGNATURE_FORM.test(signature)) return refused(401, 'SIGNATURE_MALFORMED', 'the header x-hub-signature-256 is not sha256= and 64 hex digits');
  const named = v.safeParse(EventName, headers.get('x-github-event'));
  if (!named.success) return refused(400, 'EVENT_MISSING', 'the header x-github-event is missing or is no name of an event');
  const event = named.output;
  const id = v.safeParse(DeliveryId, headers.get('x-github-delivery'));
  if (!id.success)
    return refused(
      400,
      'DELIVERY_ID_MISSING',
      'the header x-github-delivery is missing or is no delivery id: without it a repeated delivery is not recognised',
    );
  return { kind: 'announced', signature, event, deliveryId: id.output };
}

/**
 * Judges a webhook delivery of GitHub. Checks the signature before anything in the body. Input never makes it throw; throws
 * `FloeError('WEBHOOK_SECRET_MISSING')` when `secret` is empty.
 */
export async function parseGithubWebhook({ secret, headers, rawBody }: WebhookDelivery): Promise<WebhookOutcome> {
  const announced = readHeaders(headers);
  if (announced.kind === 'refused') return announced;
  const { signature, event, deliveryId } = announced;
  if (rawBody.length === 0) return refused(400, 'BODY_EMPTY', 'the body is empty');
  const body = decodeUtf8(rawBody);
  if (body === undefined) return refused(400, 'BODY_NOT_UTF8', 'the body is not UTF-8');
  if (!(await isSigned(body, signature, 'reveal' in secret ? [secret] : secret))) {
    return refused(
      401,
      'SIGNATURE_WRONG',
      'the signature does not match the body: the secrets at GitHub and here differ, or a proxy changed the body',
    );
  }
  if (event === 'ping') return { kind: 'ping', deliveryId };
  if (event !== 'push') return { kind: 'ignored', deliveryId, event };
  return parsePush(body, deliveryId, headers.get('content-type') ?? '');
}

function parsePush(body: string, deliveryId: string, contentType: string): Push | WebhookRefusal {
  if (contentType.toLowerCase().startsWith('application/x-www-form-urlencoded')) {
    return refused(415, 'BODY_FORM_ENCODED', 'the body is form-encoded: set the content type of the webhook at GitHub to application/json');
  }
  let json: unknown;
  try {
    json = JSON.parse(body);
  } catch {
    return refused(400, 'BODY_NOT_JSON', 'the body is not JSON');
  }
  const parsed = v.safeParse(PushPayload, json);
  if (!parsed.success) {
    const [issue] = parsed.issues;
    return refused(
      422,
      'PAYLOAD_INVALID',
      `the body is not a push as GitHub describes it: ${v.getDotPath(issue) ?? 'the whole'}: ${issue.message.slice(0, 200)}`,
    );
  }
  const { ref, before, after, deleted, forced, repository, pusher, sender } = parsed.output;
  const unusable =
    unusableText('ref', ref) ??
    unusableText('repository.full_name', repository.full_name) ??
    unusableText('repository.clone_url', repository.clone_url);
  if (unusable !== undefined) return unusable;
  return {
    kind: 'push',
    deliveryId,
    ref,
    before,
    after,
    isDeleted: deleted || after === undefined,
    isForced: forced,
    pusher: pusherOf(pusher?.name, sender?.login),
    repository: { fullName: repository.full_name, cloneUrl: repository.clone_url },
  };
}

/**
 * GitHub names the account twice. With a deploy key it names the account that added the key, or none: whoever has the key pushed, and
 * nobody knows who that is. So both names have to be there, and be the same.
 */
function pusherOf(name: string | null | undefined, login: string | null | undefined): string | undefined {
  const [one, other] = [forgeLogin(name), forgeLogin(login)];
  return one === other ? one : undefined;
}

/** Text that is stored, compared and shown must be valid: a signature proves who sent it, not that it is well-formed. */
function unusableText(field: keyof typeof TEXTS, text: string): WebhookRefusal | undefined {
  const limit = TEXTS[field];
  if (text.length > limit) return refused(400, 'PAYLOAD_INVALID', `the body's ${field} is longer than ${limit} characters`);
  if (text.isWellFormed() && !/[\p{Cc}\p{Zl}\p{Zp}]/u.test(text)) return undefined;
  return refused(400, 'PAYLOAD_INVALID', `the body's ${field} has control characters or half a character in it`);
}

async function isSigned(body: string, signature: string, secrets: readonly Secret[]): Promise<boolean> {
  if (secrets.length === 0) throw new FloeError('WEBHOOK_SECRET_MISSING', 'no webhook secret is configured, so no delivery can be checked');
  const checks = secrets.map(async (secret) => await new Webhooks({ secret: secret.reveal() }).verify(body, signature));
  return (await Promise.all(checks)).includes(true);
}

/** The text whose UTF-8 encoding is exactly `bytes`; undefined: there is none. A lossy decoding would not be what was signed. */
function decodeUtf8(bytes: Uint8Array): string | undefined {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return undefined;
  }
}

function refused(status: WebhookRefusal['status'], code: WebhookRefusalCode, message: string): WebhookRefusal {
  return { kind: 'refused', status, code, message };
}
