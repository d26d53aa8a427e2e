import * as v from 'valibot';
import { list } from './bounds.ts';
import {
  Envelope,
  fromBase64,
  open,
  openSigned,
  sealJson,
  signedBytes,
  toBase64,
  type Opened,
  type StatementSigner,
  type TrustedKey,
  type VerifySignature,
} from './envelope.ts';
import { Directive } from './statements.ts';

// One signature for up to 128 directives: what is signed is the root of a tree of hashes. Each agent gets its own directive, and the hashes beside the
// way from there to the root: 330 bytes more, and a signature is most of what a directive costs its server.

/** An agent with it takes directives of a tree. */
export const DIRECTIVE_TREE = 'directive-tree';
const TREE_TYPE = 'floe/directive-tree';
const MAX_DEPTH = 7;
/** As many directives as one signature may be for. */
export const MAX_IN_TREE = 2 ** MAX_DEPTH;
const HASH_BYTES = 32;
/** Before what is hashed, as in RFC 6962: no directive is taken for two hashes, and no two hashes for a directive. */
const [LEAF, NODE] = [0, 1];

/** SHA-256. */
export type Sha256 = (bytes: Uint8Array) => Uint8Array;

/** Of 32 bytes, base64. */
const Hash = v.pipe(v.string(), v.maxLength(44), v.regex(/^[A-Za-z0-9+/]{43}=$/));

/** A directive, and the signature of the tree that it is a leaf of. */
export const TreeEnvelope = v.strictObject({
  type: v.literal(TREE_TYPE),
  /** The directive, base64. */
  payload: Envelope.entries.payload,
  keyId: Envelope.entries.keyId,
  /** Of the root. */
  signature: Envelope.entries.signature,
  /** The hashes beside the way to the root, from the leaf on. Of a directive alone there is none: that one is signed itself. */
  path: v.pipe(list(Hash, MAX_DEPTH), v.minLength(1)),
  /** A bit for each of them, the first one lowest: 1, it is on the left. */
  sides: v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(MAX_IN_TREE - 1)),
});
export type TreeEnvelope = v.InferOutput<typeof TreeEnvelope>;

/** A signed `Directive`, alone or of a tree. */
export const SealedDirective = v.variant('type', [Envelope, TreeEnvelope]);
export type SealedDirective = v.InferOutput<typeof SealedDirective>;

const encoder = new TextEncoder();

function leafHash(payload: Uint8Array, sha256: Sha256): Uint8Array {
  const bytes = new Uint8Array(1 + payload.length);
  bytes[0] = LEAF;
  bytes.set(payload, 1);
  return sha256(bytes);
}

function nodeHash(left: Uint8Array, right: Uint8Array, sha256: Sha256): Uint8Array {
  const bytes = new Uint8Array(1 + 2 * HASH_BYTES);
  bytes[0] = NODE;
  bytes.set(left, 1);
  bytes.set(right, 1 + HASH_BYTES);
  return sha256(bytes);
}

/**
 * Signs directives, in JSON, {@link MAX_IN_TREE} at most: together, or a single one itself. Each holds the nonce of its connection, which nobody
 * else knows: by a hash that its neighbours get, nobody finds out what is in it.
 */
export function sealDirectives(signer: StatementSigner, directives: readonly string[], sha256: Sha256): readonly SealedDirective[] {
  if (directives.length > MAX_IN_TREE) throw new RangeError(`${directives.length} directives are too many for one signature`);
  if (directives.length <= 1) return directives.map((json) => sealJson(signer, 'floe/directive', json));
  const payloads = directives.map((json) => encoder.encode(json));
  let nodes = payloads.map((payload) => leafHash(payload, sha256));
  const levels: (readonly string[])[] = [];
  while (nodes.length > 1) {
    levels.push(nodes.map(toBase64));
    nodes = level(nodes, sha256);
  }
  const [root = new Uint8Array()] = nodes;
  const { keyId } = signer;
  const signature = signer.sign(signedBytes(TREE_TYPE, root));
  return payloads.map((payload, index) => ({ type: TREE_TYPE, payload: toBase64(payload), keyId, signature, ...wayFrom(index, levels) }));
}

/** The one at the end of an odd number is on the next level as it is. */
function level(nodes: readonly Uint8Array[], sha256: Sha256): Uint8Array[] {
  const parents: Uint8Array[] = [];
  for (let index = 0; index < nodes.length; index += 2) {
    const [left, right] = [nodes[index], nodes[index + 1]];
    if (left !== undefined) parents.push(right === undefined ? left : nodeHash(left, right, sha256));
  }
  return parents;
}

function wayFrom(leaf: number, levels: readonly (readonly string[])[]): Pick<TreeEnvelope, 'path' | 'sides'> {
  const path: string[] = [];
  let sides = 0;
  let index = leaf;
  for (const nodes of levels) {
    const isRight = index % 2 === 1;
    const beside = nodes[isRight ? index - 1 : index + 1];
    if (beside !== undefined) {
      if (isRight) sides += 2 ** path.length;
      path.push(beside);
    }
    index = Math.floor(index / 2);
  }
  return { path, sides };
}

/** The directive, if a trusted key signed it, or the tree that it is in. */
export function openDirective(sealed: SealedDirective, trusted: readonly TrustedKey[], verify: VerifySignature, sha256: Sha256): Opened<Directive> {
  if (sealed.type !== TREE_TYPE) return open(sealed, 'floe/directive', Directive, trusted, verify);
  const { path, sides, keyId, signature } = sealed;
  if (sides >= 2 ** path.length) return { kind: 'refused', why: 'malformed', message: 'there are more sides than hashes on the way to the root' };
  const payload = fromBase64(sealed.payload);
  let node = leafHash(payload, sha256);
  for (const [index, text] of path.entries()) {
    const beside = fromBase64(text);
    const isLeft = Math.floor(sides / 2 ** index) % 2 === 1;
    node = isLeft ? nodeHash(beside, node, sha256) : nodeHash(node, beside, sha256);
  }
  return openSigned({ payload, bytes: signedBytes(TREE_TYPE, node), keyId, signature }, Directive, trusted, verify);
}
