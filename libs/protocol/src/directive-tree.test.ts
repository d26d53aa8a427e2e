import { generateKeyPem, sha256, signerFromPem, verifySignature } from '@floe/runtime';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import * as v from 'valibot';
import { MAX_IN_TREE, openDirective, sealDirectives, SealedDirective, type TreeEnvelope } from './directive-tree.ts';
import { open, seal, sealJson, signedBytes, type Opened } from './envelope.ts';
import { Directive } from './statements.ts';

const signer = signerFromPem('server-1', generateKeyPem());
const release = seal(signerFromPem('release-1', generateKeyPem()), 'floe/release', { is: 'not looked at' });

function directiveOf(index: number): string {
  const about = { version: 1, host: `host-${index}`, machineId: 'a'.repeat(32), epoch: index, mode: 'activate', isRetry: false };
  return JSON.stringify({ ...about, issuedAt: 1, expiresAt: 2, nonce: `nonce-of-connection-${index}`, release });
}
const directives = (count: number): readonly string[] => Array.from({ length: count }, (_, index) => directiveOf(index));
const sealed = (count: number): readonly SealedDirective[] => sealDirectives(signer, directives(count), sha256);
function opened(each: SealedDirective, trusted = [signer]): Opened<Directive> {
  return openDirective(each, trusted, verifySignature, sha256);
}
const bytes = (text: string): Buffer => Buffer.from(text, 'base64');

/** Of all sizes: each directive of each is looked at once, and the trees are made once. */
const trees = new Map<number, readonly SealedDirective[]>();
function treeOf(count: number): readonly TreeEnvelope[] {
  const tree = trees.get(count) ?? sealed(count);
  trees.set(count, tree);
  return tree.filter((each) => each.type === 'floe/directive-tree');
}
const inTree = fc
  .integer({ min: 2, max: MAX_IN_TREE })
  .chain((count) => fc.record({ count: fc.constant(count), index: fc.nat(count - 1), other: fc.nat(count - 1) }));

test('of a tree of any size each directive is opened as what it is, in a message of the protocol, and one signature is made', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: MAX_IN_TREE }), (count) => {
      let signatures = 0;
      const counting = { keyId: signer.keyId, sign: (what: Uint8Array) => ((signatures += 1), signer.sign(what)) };
      const all = sealDirectives(counting, directives(count), sha256);
      expect(signatures).toBe(1);
      expect(all.length).toBe(count);
      for (const [index, each] of all.entries()) {
        expect(v.parse(SealedDirective, JSON.parse(JSON.stringify(each)))).toEqual(each);
        expect(opened(each)).toMatchObject({ kind: 'opened', keyId: 'server-1', statement: { host: `host-${index}`, epoch: index } });
      }
    }),
    { numRuns: 25 },
  );
});

test('one alone is signed as before, and more than a tree holds are refused', () => {
  expect(sealed(1)).toEqual([sealJson(signer, 'floe/directive', directiveOf(0))]);
  expect(sealed(0)).toEqual([]);
  expect(() => sealed(MAX_IN_TREE + 1)).toThrow(RangeError);
});

/** What somebody without the key can do to a directive of a tree. */
const BENT: Readonly<Record<string, (each: TreeEnvelope, other: TreeEnvelope, at: number) => TreeEnvelope>> = {
  'another byte of the directive': (each, _other, at) => ({ ...each, payload: withBit(each.payload, at) }),
  'the directive of a neighbour': (each, other) => ({ ...each, payload: other.payload }),
  'the way of a neighbour': (each, { path, sides }) => ({ ...each, path, sides }),
  'another side': (each, _other, at) => ({ ...each, sides: each.sides ^ (1 << (at % each.path.length)) }),
  'another byte of a hash': (each, _other, at) => ({
    ...each,
    path: each.path.map((hash, index) => (index === at % each.path.length ? withBit(hash, at) : hash)),
  }),
  'a hash less at the leaf': (each) => ({ ...each, path: each.path.slice(1), sides: each.sides >> 1 }),
  'a hash less at the root': (each) => ({ ...each, path: each.path.slice(0, -1), sides: each.sides % 2 ** (each.path.length - 1) }),
  'a hash more': (each) => ({ ...each, path: [...each.path, each.path[0] ?? ''] }),
  'its hashes in another order': (each) => ({ ...each, path: each.path.toReversed() }),
  'a side of no hash': (each) => ({ ...each, sides: each.sides + 2 ** each.path.length }),
  'two nodes in the place of the directive': (each) => {
    const [beside = '', ...rest] = each.path;
    const own = sha256(Buffer.concat([Buffer.of(0), bytes(each.payload)]));
    const both = each.sides % 2 === 1 ? [bytes(beside), own] : [own, bytes(beside)];
    return { ...each, payload: Buffer.concat(both).toString('base64'), path: rest, sides: each.sides >> 1 };
  },
  'another signature': (each, _other, at) => ({ ...each, signature: withBit(each.signature, at) }),
};

function withBit(base64: string, at: number): string {
  const changed = bytes(base64);
  const index = at % changed.length;
  changed[index] = (changed[index] ?? 0) ^ (1 << (at % 8));
  return changed.toString('base64');
}

test.each(Object.entries(BENT))('a tree that was bent is refused: %s', (name, bend) => {
  fc.assert(
    fc.property(inTree, fc.nat(), ({ count, index, other }, at) => {
      const tree = treeOf(count);
      const [each, neighbour] = [tree[index], tree[other]];
      if (each === undefined || neighbour === undefined) throw new Error('the tree is smaller');
      const bent = bend(each, neighbour, at);
      // A neighbour may be itself, and hashes may be the same in another order.
      fc.pre(JSON.stringify(bent) !== JSON.stringify(each));
      // By the hashes, before anything of it is read.
      expect(opened(bent)).toMatchObject({ why: name === 'a side of no hash' ? 'malformed' : 'bad-signature' });
    }),
    { numRuns: 60 },
  );
});

test('the signature is of the tree alone: in no envelope of another type, and of none, is it one', () => {
  const [each] = treeOf(5);
  if (each === undefined) throw new Error('no tree');
  const { payload, keyId, signature } = each;
  const alone = { type: 'floe/directive', payload, keyId, signature } as const;
  expect(opened(alone)).toMatchObject({ why: 'bad-signature' });
  const single = sealJson(signer, 'floe/directive', directiveOf(0));
  expect(opened({ ...each, ...single, type: 'floe/directive-tree' })).toMatchObject({ why: 'bad-signature' });
  // Who signs a root under another name signs no tree.
  const root = [...each.path.entries()].reduce(
    (node, [index, beside]) =>
      sha256(Buffer.concat([Buffer.of(1), ...(Math.floor(each.sides / 2 ** index) % 2 === 1 ? [bytes(beside), node] : [node, bytes(beside)])])),
    sha256(Buffer.concat([Buffer.of(0), bytes(payload)])),
  );
  expect(verifySignature(signer.publicKey, signedBytes('floe/directive-tree', root), signature)).toBe(true);
  expect(opened({ ...each, signature: signer.sign(signedBytes('floe/directive', root)) })).toMatchObject({ why: 'bad-signature' });
  expect(open(alone, 'floe/directive', Directive, [signer], verifySignature)).toMatchObject({ why: 'bad-signature' });
});

test('a key that is not pinned is refused, also under the name of a pinned one', () => {
  const stranger = signerFromPem('server-1', generateKeyPem());
  const [each] = sealDirectives(stranger, directives(3), sha256);
  if (each === undefined) throw new Error('no tree');
  expect(opened(each)).toMatchObject({ why: 'bad-signature' });
  expect(opened(each, [])).toMatchObject({ why: 'unknown-key' });
});

test('what stands on the wire is bounded', () => {
  const [each] = treeOf(MAX_IN_TREE);
  if (each === undefined) throw new Error('no tree');
  const takes = (changed: object): boolean => v.is(SealedDirective, { ...each, ...changed });
  expect(takes({})).toBe(true);
  expect(takes({ path: [...each.path, each.path[0]] })).toBe(false);
  expect(takes({ path: [] })).toBe(false);
  expect(takes({ sides: MAX_IN_TREE })).toBe(false);
  for (const length of [31, 33, 30, 0])
    expect(takes({ path: each.path.map((hash) => Buffer.concat([bytes(hash), bytes(hash)], length).toString('base64')) })).toBe(false);
  expect(takes({ more: 1 })).toBe(false);
});
