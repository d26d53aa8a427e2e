import { createHash } from 'node:crypto';
import { CommitSha } from '@floe/protocol';
import { FloeError, type Secret } from '@floe/runtime';
import * as v from 'valibot';
import type { Push, WebhookDelivery, WebhookOutcome, WebhookReader, WebhookRefusal, WebhookRefusalCode } from './webhook.ts';

// What holds for the webhooks of every forge. A dialect says how one forge names its headers, proves who it is, and describes a push.

/** The commit id that git and the forges use for a branch before it was created or after it was deleted. */
const NO_COMMIT = '0'.repeat(40);

/** A commit of a push; undefined: none, the branch is new or was deleted. */
export const CommitOrNone = v.pipe(
  v.string(),
  v.transform((sha) => (sha === NO_COMMIT ? undefined : sha)),
  v.optional(CommitSha),
);

/** The name of the ref that was moved. */
export const Ref = v.pipe(v.string(), v.startsWith('refs/'));

/** A name that a forge may leave out. */
export const OptionalName = v.optional(v.nullable(v.string()));

const DeliveryId = v.pipe(v.string(), v.regex(/^[\w-]{1,128}$/));

/** Bounded to a name, because it is echoed. GitLab's have spaces. */
const EventName = v.pipe(v.string(), v.regex(/^[\w.-]+(?: [\w.-]+)*$/), v.maxLength(100));

/** git limits a ref like a path; a forge's names and URLs are far shorter. */
const MAX_TEXT_CHARACTERS = { ref: 1_024, fullName: 300, cloneUrl: 2_048, sshUrl: 2_048 } as const;
type TextField = keyof typeof MAX_TEXT_CHARACTERS;

/** A push as a forge described it. */
export interface DescribedPush extends Pick<Push, 'ref' | 'before' | 'after' | 'isDeleted' | 'isForced' | 'pusher'> {
  readonly fullName: string;
  readonly cloneUrl: string;
  /** Its SSH address; empty: the forge names none. */
  readonly sshUrl: string;
  /** The forge made it up, for somebody who tries the webhook. */
  readonly isMadeUp: boolean;
}

/** How one forge sends webhooks. Of several names of a header the first that is there counts. */
export interface WebhookDialect {
  /** The forge, as people call it. */
  readonly forge: string;
  readonly headers: { readonly proof: readonly string[]; readonly event: readonly string[]; readonly deliveryId: readonly string[] };
  readonly proofForm: { readonly pattern: RegExp; readonly words: string };
  /** What the proof proves: that the forge sent this body, or only that the sender knows the secret. */
  readonly proves: 'body' | 'sender';
  /** In a time that does not depend on how much of the proof is right. */
  readonly isProven: (proof: string, body: string, secret: Secret) => Promise<boolean> | boolean;
  readonly pushEvent: string;
  readonly pingEvent: string | undefined;
  readonly payload: v.GenericSchema<unknown, DescribedPush>;
  /** What the forge calls these fields. */
  readonly fields: Readonly<Record<TextField, string>>;
}

interface Announced {
  readonly kind: 'announced';
  readonly proof: string;
  readonly event: string;
  readonly deliveryId: string;
}

/** Reads the webhooks of the forge that speaks this dialect. */
export function createWebhookReader(dialect: WebhookDialect): WebhookReader {
  return {
    judgeHeaders(headers) {
      const announced = readHeaders(dialect, headers);
      return announced.kind === 'refused' ? announced : undefined;
    },
    parse: async (delivery) => await parse(dialect, delivery),
  };
}

function readHeaders({ forge, headers: names, proofForm }: WebhookDialect, headers: WebhookDelivery['headers']): Announced | WebhookRefusal {
  // A forge without a secret sends some of them empty.
  const valueOf = (among: readonly string[]): string | undefined =>
    among.map((name) => headers.get(name)).find((value) => Boolean(value)) ?? undefined;
  const called = (among: readonly string[]): string => `the header ${among.join(' or ')}`;
  const proof = valueOf(names.proof);
  if (proof === undefined) {
    const what = `${called(names.proof)} is missing: set a secret in the settings of the webhook at ${forge}, the same as here`;
    return refused(401, 'SIGNATURE_MISSING', what);
  }
  if (!proofForm.pattern.test(proof)) return refused(401, 'SIGNATURE_MALFORMED', `${called(names.proof)} is not ${proofForm.words}`);
  const event = v.safeParse(EventName, valueOf(names.event));
  if (!event.success) return refused(400, 'EVENT_MISSING', `${called(names.event)} is missing or is no name of an event`);
  const deliveryId = v.safeParse(DeliveryId, valueOf(names.deliveryId));
  if (!deliveryId.success) {
    const what = 'is missing or is no delivery id: without it a repeated delivery is not recognised';
    return refused(400, 'DELIVERY_ID_MISSING', `${called(names.deliveryId)} ${what}`);
  }
  return { kind: 'announced', proof, event: event.output, deliveryId: deliveryId.output };
}

async function parse(dialect: WebhookDialect, { secret, headers, rawBody }: WebhookDelivery): Promise<WebhookOutcome> {
  const announced = readHeaders(dialect, headers);
  if (announced.kind === 'refused') return announced;
  const { proof, event, deliveryId } = announced;
  if (rawBody.length === 0) return refused(400, 'BODY_EMPTY', 'the body is empty');
  const body = decodeUtf8(rawBody);
  if (body === undefined) return refused(400, 'BODY_NOT_UTF8', 'the body is not UTF-8');
  const secrets = 'reveal' in secret ? [secret] : secret;
  if (secrets.length === 0) throw new FloeError('WEBHOOK_SECRET_MISSING', 'no webhook secret is configured, so no delivery can be checked');
  const proven = await Promise.all(secrets.map(async (each) => await dialect.isProven(proof, body, each)));
  if (!proven.includes(true)) {
    const what =
      dialect.proves === 'body'
        ? `the signature does not match the body: the secrets at ${dialect.forge} and here differ, or a proxy changed the body`
        : `the secrets at ${dialect.forge} and here differ`;
    return refused(401, 'SIGNATURE_WRONG', what);
  }
  if (event === dialect.pingEvent) return { kind: 'ping', deliveryId };
  if (event !== dialect.pushEvent) return { kind: 'ignored', deliveryId, event };
  if ((headers.get('content-type') ?? '').toLowerCase().startsWith('application/x-www-form-urlencoded')) {
    const what = `the body is form-encoded: set the content type of the webhook at ${dialect.forge} to application/json`;
    return refused(415, 'BODY_FORM_ENCODED', what);
  }
  // An id that is not signed could be another one for each repeat. A sender's word for who it is proves the id as much as the body; there the
  // id tells two pushes apart that look alike, and the body two pushes that were announced under one id.
  const repeatKey = createHash('sha256')
    .update(dialect.proves === 'body' ? '' : `${deliveryId}\n`)
    .update(rawBody)
    .digest('hex');
  return parsePush(dialect, body, { deliveryId, repeatKey });
}

function parsePush(dialect: WebhookDialect, body: string, ids: Pick<Push, 'deliveryId' | 'repeatKey'>): WebhookOutcome {
  let json: unknown;
  try {
    json = JSON.parse(body);
  } catch {
    return refused(400, 'BODY_NOT_JSON', 'the body is not JSON');
  }
  const parsed = v.safeParse(dialect.payload, json);
  if (!parsed.success) {
    const [issue] = parsed.issues;
    const where = v.getDotPath(issue) ?? 'the whole';
    const what = `the body is not a push as ${dialect.forge} describes it: ${where}: ${issue.message.slice(0, 200)}`;
    return refused(422, 'PAYLOAD_INVALID', what);
  }
  const { fullName, cloneUrl, sshUrl, isMadeUp, ...push } = parsed.output;
  const texts = { ref: push.ref, fullName, cloneUrl, sshUrl };
  for (const field of ['ref', 'fullName', 'cloneUrl', 'sshUrl'] as const) {
    const unusable = unusableText(dialect.fields[field], texts[field], MAX_TEXT_CHARACTERS[field]);
    if (unusable !== undefined) return unusable;
  }
  // A push that moves nothing is no push. Taken for one, it would name whoever tried the webhook as the one who pushed that commit.
  if (isMadeUp || (push.after !== undefined && push.before === push.after)) return { kind: 'ping', deliveryId: ids.deliveryId };
  return { kind: 'push', ...ids, ...push, repository: { fullName, cloneUrl, sshUrl } };
}

/** Text that is stored, compared and shown must be valid: a proof tells who sent it, not that it is well-formed. */
function unusableText(field: string, text: string, limit: number): WebhookRefusal | undefined {
  if (text.length > limit) return refused(400, 'PAYLOAD_INVALID', `the body's ${field} is longer than ${limit} characters`);
  if (text.isWellFormed() && !/[\p{Cc}\p{Zl}\p{Zp}]/u.test(text)) return undefined;
  return refused(400, 'PAYLOAD_INVALID', `the body's ${field} has control characters or half a character in it`);
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
