import * as v from 'valibot';
import { foreign, word } from './bounds.ts';

/** A statement and its signature. The bytes are signed as they are: no canonical JSON is needed to check them. */
export const Envelope = v.strictObject({
  type: v.picklist(['floe/release', 'floe/freshness', 'floe/directive', 'floe/enrolment', 'floe/revocation', 'floe/report']),
  /** The signed bytes, base64. */
  payload: v.pipe(v.string(), v.maxLength(64 * 1024), v.base64()),
  keyId: v.pipe(word(128), v.minLength(1)),
  signature: v.pipe(v.string(), v.maxLength(128), v.base64()),
});
export type Envelope = v.InferOutput<typeof Envelope>;
export type EnvelopeType = Envelope['type'];

/** What signs: see `Signer` in libs/runtime. */
export interface StatementSigner {
  readonly keyId: string;
  sign(bytes: Uint8Array): string;
}

/** A key pinned by the one who checks. */
export interface TrustedKey {
  readonly keyId: string;
  /** 32 raw bytes, base64. */
  readonly publicKey: string;
}

export type VerifySignature = (publicKey: string, bytes: Uint8Array, signature: string) => boolean;

export type Opened<T> =
  | { readonly kind: 'opened'; readonly statement: T; readonly keyId: string }
  | { readonly kind: 'refused'; readonly why: 'wrong-type' | 'unknown-key' | 'bad-signature' | 'malformed'; readonly message: string };

const encoder = new TextEncoder();

/**
 * The bytes that are signed: DSSE's pre-authentication encoding, so that a statement of one type never passes for
 * another (github.com/secure-systems-lab/dsse, protocol.md).
 */
export function signedBytes(type: EnvelopeType, payload: Uint8Array): Uint8Array {
  const head = encoder.encode(`DSSEv1 ${encoder.encode(type).length} ${type} ${payload.length} `);
  const bytes = new Uint8Array(head.length + payload.length);
  bytes.set(head);
  bytes.set(payload, head.length);
  return bytes;
}

function toBase64(bytes: Uint8Array): string {
  // All at once: a payload is bounded (see Envelope), and thousands are signed in a row.
  return btoa(String.fromCharCode(...bytes));
}

function fromBase64(text: string): Uint8Array {
  return Uint8Array.from(atob(text), (char) => char.charCodeAt(0));
}

/** Signs `statement` as it is written by `JSON.stringify`. */
export function seal(signer: StatementSigner, type: EnvelopeType, statement: object): Envelope {
  const payload = encoder.encode(JSON.stringify(statement));
  return { type, payload: toBase64(payload), keyId: signer.keyId, signature: signer.sign(signedBytes(type, payload)) };
}

/** The statement inside, when a trusted key signed it as this type and it has the schema's form. */
export function open<Schema extends v.GenericSchema>(
  envelope: Envelope,
  type: EnvelopeType,
  schema: Schema,
  trusted: readonly TrustedKey[],
  verify: VerifySignature,
): Opened<v.InferOutput<Schema>> {
  if (envelope.type !== type) {
    return { kind: 'refused', why: 'wrong-type', message: `expected a ${type} statement, got ${envelope.type}` };
  }
  const keys = trusted.filter((key) => key.keyId === envelope.keyId);
  if (keys.length === 0) {
    const known = trusted.map((key) => key.keyId).join(', ') || 'none';
    return { kind: 'refused', why: 'unknown-key', message: `signed by the key ${envelope.keyId}; trusted here: ${known}` };
  }
  const payload = fromBase64(envelope.payload);
  const bytes = signedBytes(type, payload);
  if (!keys.some((key) => verify(key.publicKey, bytes, envelope.signature))) {
    return { kind: 'refused', why: 'bad-signature', message: `the signature by the key ${envelope.keyId} does not match` };
  }
  return parsePayload(payload, schema, envelope.keyId);
}

/** The statement inside, whoever signed it. Only for what was verified before, or for a look. */
export function peek<Schema extends v.GenericSchema>(envelope: Envelope, schema: Schema): Opened<v.InferOutput<Schema>> {
  return parsePayload(fromBase64(envelope.payload), schema, envelope.keyId);
}

function parsePayload<Schema extends v.GenericSchema>(payload: Uint8Array, schema: Schema, keyId: string): Opened<v.InferOutput<Schema>> {
  let json: unknown;
  try {
    json = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(payload));
  } catch {
    return { kind: 'refused', why: 'malformed', message: 'the payload is not JSON' };
  }
  const parsed = v.safeParse(foreign(schema), json);
  if (!parsed.success) {
    return { kind: 'refused', why: 'malformed', message: `the payload has another form: ${v.summarize(parsed.issues)}` };
  }
  return { kind: 'opened', statement: parsed.output, keyId };
}
