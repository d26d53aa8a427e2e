import { createHash } from 'node:crypto';
import { CommitSha, Counter, HostName, signedBytes, type TrustedKey } from '@floe/protocol';
import { verifySignature, type AsyncSigner } from '@floe/runtime';
import * as v from 'valibot';

/** One of the newest releases of a host, and the file that holds its statement. */
const CoveredRelease = v.strictObject({
  file: v.string(),
  repository: v.string(),
  ref: v.string(),
  host: HostName,
  sequence: Counter,
  commit: CommitSha,
});
export type CoveredRelease = v.InferOutput<typeof CoveredRelease>;

/**
 * What a checkpoint of the statement log says: which files it covers, and what they come to. The files of all sequences below
 * `below` were read and verified; `names` is the digest of their names.
 */
const Checkpoint = v.strictObject({
  version: v.literal(1),
  below: Counter,
  files: Counter,
  names: v.string(),
  newest: v.array(CoveredRelease),
});
export type Checkpoint = v.InferOutput<typeof Checkpoint>;

/** The file: the text of the checkpoint as it was signed. */
const CheckpointFile = v.strictObject({ keyId: v.string(), signature: v.string(), signed: v.string() });

/** The sequence that the name of a statement's file begins with; undefined: not a name that the log gives. */
function sequenceOf(name: string): number | undefined {
  const digits = /^(\d{15,16})-/.exec(name)?.[1];
  return digits === undefined ? undefined : Number(digits);
}

/** True when a checkpoint of the sequences below `below` covers this file. */
export function isCovered(name: string, below: number): boolean {
  return (sequenceOf(name) ?? Infinity) < below;
}

function digestOf(names: readonly string[]): string {
  return createHash('sha256').update(names.toSorted().join('\n')).digest('hex');
}

/** The checkpoint of the files with these names, all of which were read. */
export function makeCheckpoint(names: readonly string[], below: number, newest: readonly CoveredRelease[]): Checkpoint {
  const covered = names.filter((name) => isCovered(name, below));
  return { version: 1, below, files: covered.length, names: digestOf(covered), newest: [...newest] };
}

/** What is signed: the digest, since a command that signs takes no megabytes. */
function bytesOf(signed: string): Uint8Array {
  return signedBytes('floe/checkpoint', Buffer.from(createHash('sha256').update(signed).digest('hex')));
}

/** The file's text. */
export async function sealCheckpoint(signer: AsyncSigner, checkpoint: Checkpoint): Promise<string> {
  const signed = JSON.stringify(checkpoint);
  const signature = await signer.sign(bytesOf(signed));
  return JSON.stringify({ keyId: signer.keyId, signature, signed } satisfies v.InferOutput<typeof CheckpointFile>);
}

export type OpenedCheckpoint = { readonly kind: 'usable'; readonly checkpoint: Checkpoint } | { readonly kind: 'unusable'; readonly why: string };

/** The checkpoint in a file's text, if a trusted key signed it and the log, with these names, has exactly the files that it covers. */
export function openCheckpoint(text: string, trusted: readonly TrustedKey[], names: readonly string[]): OpenedCheckpoint {
  const file = v.safeParse(v.pipe(v.string(), v.parseJson(), CheckpointFile), text);
  if (!file.success) return { kind: 'unusable', why: 'it is not a checkpoint' };
  const { keyId, signature, signed } = file.output;
  const bytes = bytesOf(signed);
  if (!trusted.some((key) => key.keyId === keyId && verifySignature(key.publicKey, bytes, signature)))
    return { kind: 'unusable', why: 'no trusted key signed it' };
  const parsed = v.safeParse(v.pipe(v.string(), v.parseJson(), Checkpoint), signed);
  if (!parsed.success) return { kind: 'unusable', why: 'another version of Floe wrote it' };
  const checkpoint = parsed.output;
  const covered = names.filter((name) => isCovered(name, checkpoint.below));
  if (covered.length !== checkpoint.files || digestOf(covered) !== checkpoint.names)
    return { kind: 'unusable', why: `it covers ${checkpoint.files} files, and the log has ${covered.length} or others in their place` };
  return { kind: 'usable', checkpoint };
}
