import * as v from 'valibot';
import { foreign, word } from './bounds.ts';

export const ENVELOPE_TYPES = [
  'floe/release',
  'floe/freshness',
  'floe/directive',
  'floe/stage',
  'floe/enrolment',
  'floe/revocation',
  'floe/rename',
  'floe/report',
  'floe/permit',
  'floe/stable',
] as const;

/** A statement and its signature. The signature is over the bytes as they are, so checking it needs no canonical JSON. */
export const Envelope = v.strictObject({
  type: v.picklist(ENVELOPE_TYPES),
  /** The signed bytes, base64. */
  payload: v.pipe(v.string(), v.maxLength(64 * 1024), v.base64()),
  keyId: v.pipe(word(128), v.minLength(1)),
  signature: v.pipe(v.string(), v.maxLength(128), v.base64()),
});
export type Envelope = v.InferOutput<typeof Envelope>;
export type EnvelopeType = Envelope['type'];
/**
 * What is signed. A checkpoint of the statement log stays with the server; the ends of the audit log and of an export are signed as text, and many
 * directives as the root of a tree (`directive-tree.ts`).
 */
export type SignedType = EnvelopeType | 'floe/checkpoint' | 'floe/audit-head' | 'floe/export' | 'floe/directive-tree';

/** Makes signatures: see `Signer` in libs/runtime. */
export interface StatementSigner {
  readonly keyId: string;
  sign(bytes: Uint8Array): string;
}

/** The same, where the key may be elsewhere. */
export interface AsyncStatementSigner {
  readonly keyId: string;
  sign(bytes: Uint8Array): string | Promise<string>;
}

/** A key that the verifying side has pinned. */
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
const decoder = new TextDecoder('utf-8', { fatal: true });

/**
 * The signed bytes: DSSE's pre-authentication encoding. It includes the type, so that a statement of one type never passes as
 * another (github.com/secure-systems-lab/dsse, protocol.md).
 */
export function signedBytes(type: SignedType, payload: Uint8Array): Uint8Array {
  // Types are ASCII.
  const head = encoder.encode(`DSSEv1 ${type.length} ${type} ${payload.length} `);
  const bytes = new Uint8Array(head.length + payload.length);
  bytes.set(head);
  bytes.set(payload, head.length);
  return bytes;
}

/** Of Node, where all envelopes are made and opened: what browsers have as well takes 40 times as long. */
const { Buffer: bytesOf } = globalThis as unknown as { readonly Buffer: NodeBytes };
interface NodeBytes {
  from(bytes: ArrayBufferLike, offset: number, length: number): { toString(encoding: 'base64'): string };
  from(text: string, encoding: 'base64'): Uint8Array;
}

export function toBase64({ buffer, byteOffset, length }: Uint8Array): string {
  return bytesOf.from(buffer, byteOffset, length).toString('base64');
}

export function fromBase64(text: string): Uint8Array {
  return bytesOf.from(text, 'base64');
}

/** Signs `statement`, encoded by `JSON.stringify`. */
export function seal(signer: StatementSigner, type: EnvelopeType, statement: object): Envelope {
  return sealJson(signer, type, JSON.stringify(statement));
}

/** Signs a statement that is JSON already. */
export function sealJson(signer: StatementSigner, type: EnvelopeType, json: string): Envelope {
  const payload = encoder.encode(json);
  return { type, payload: toBase64(payload), keyId: signer.keyId, signature: signer.sign(signedBytes(type, payload)) };
}

/** As {@link seal}, by a key that may be elsewhere. Rejects when there is no signature. */
export async function sealAsync(signer: AsyncStatementSigner, type: EnvelopeType, statement: object): Promise<Envelope> {
  const payload = encoder.encode(JSON.stringify(statement));
  const signature = await signer.sign(signedBytes(type, payload));
  return { type, payload: toBase64(payload), keyId: signer.keyId, signature };
}

/** The statement inside, if a trusted key signed it as this type and it matches the schema. */
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
  const payload = fromBase64(envelope.payload);
  return openSigned({ ...envelope, payload, bytes: signedBytes(type, payload) }, schema, trusted, verify);
}

/** A statement, and the bytes that its signature is over. */
interface Signed {
  readonly payload: Uint8Array;
  readonly bytes: Uint8Array;
  readonly keyId: string;
  readonly signature: string;
}

/** What `payload` says, if a trusted key signed `bytes` and it matches the schema. */
export function openSigned<Schema extends v.GenericSchema>(
  { payload, bytes, keyId, signature }: Signed,
  schema: Schema,
  trusted: readonly TrustedKey[],
  verify: VerifySignature,
): Opened<v.InferOutput<Schema>> {
  const keys = trusted.filter((key) => key.keyId === keyId);
  if (keys.length === 0) {
    const known = trusted.map((key) => key.keyId).join(', ') || 'none';
    return { kind: 'refused', why: 'unknown-key', message: `signed by the key ${keyId}; trusted here: ${known}` };
  }
  if (!keys.some((key) => verify(key.publicKey, bytes, signature))) {
    return { kind: 'refused', why: 'bad-signature', message: `the signature by the key ${keyId} does not match` };
  }
  return parsePayload(payload, schema, keyId);
}

/** The statement inside, without checking the signature. Only for statements that were verified before, or for display. */
export function peek<Schema extends v.GenericSchema>(envelope: Pick<Envelope, 'payload' | 'keyId'>, schema: Schema): Opened<v.InferOutput<Schema>> {
  return parsePayload(fromBase64(envelope.payload), schema, envelope.keyId);
}

/** As the database and the statement log keep an envelope: text. */
const Stored = v.pipe(v.string(), v.parseJson(), Envelope);

/** Throws where the text is no envelope. */
export function parseStored(text: unknown): Envelope {
  return v.parse(Stored, text);
}

/** Undefined: the text is no envelope. */
export function storedEnvelope(text: unknown): Envelope | undefined {
  const parsed = v.safeParse(Stored, text);
  return parsed.success ? parsed.output : undefined;
}

/** What a stored envelope says, without a look at its signature; undefined: it says no such thing. */
export function peekStored<Schema extends v.GenericSchema>(text: unknown, schema: Schema): v.InferOutput<Schema> | undefined {
  const envelope = storedEnvelope(text);
  const opened = envelope && peek(envelope, schema);
  return opened?.kind === 'opened' ? opened.statement : undefined;
}

function parsePayload<Schema extends v.GenericSchema>(payload: Uint8Array, schema: Schema, keyId: string): Opened<v.InferOutput<Schema>> {
  let json: unknown;
  try {
    json = JSON.parse(decoder.decode(payload));
  } catch {
    return { kind: 'refused', why: 'malformed', message: 'the payload is not JSON' };
  }
  const parsed = v.safeParse(foreign(schema), json);
  if (!parsed.success) {
    return { kind: 'refused', why: 'malformed', message: `the payload does not match its schema: ${v.summarize(parsed.issues)}` };
  }
  return { kind: 'opened', statement: parsed.output, keyId };
}
