import { generateKeyPem, signerFromPem, verifySignature } from '@floe/runtime';
import { describe, expect, test } from 'vitest';
import * as v from 'valibot';
import { open, seal, type Envelope } from './envelope.ts';

const Note = v.strictObject({ text: v.string() });
const signer = signerFromPem('release-1', generateKeyPem());
const trusted = [{ keyId: signer.keyId, publicKey: signer.publicKey }];

describe('an envelope', () => {
  const envelope = seal(signer, 'floe/release', { text: 'häst' });

  test('opens with the trusted key', () => {
    expect(open(envelope, 'floe/release', Note, trusted, verifySignature)).toEqual({
      kind: 'opened',
      statement: { text: 'häst' },
      keyId: 'release-1',
    });
  });
  test('is refused as a statement of another type, even when the type is rewritten', () => {
    expect(open(envelope, 'floe/freshness', Note, trusted, verifySignature)).toMatchObject({ why: 'wrong-type' });
    const relabelled: Envelope = { ...envelope, type: 'floe/freshness' };
    expect(open(relabelled, 'floe/freshness', Note, trusted, verifySignature)).toMatchObject({ why: 'bad-signature' });
  });
  test('is refused when one of its bytes changed', () => {
    const payload = Buffer.from(envelope.payload, 'base64');
    payload[2] = (payload[2] ?? 0) ^ 1;
    expect(open({ ...envelope, payload: payload.toString('base64') }, 'floe/release', Note, trusted, verifySignature)).toMatchObject({
      why: 'bad-signature',
    });
  });
  test('is refused when signed by a key that is not pinned, even under the name of a pinned key', () => {
    const stranger = signerFromPem('release-1', generateKeyPem());
    expect(open(seal(stranger, 'floe/release', { text: '' }), 'floe/release', Note, trusted, verifySignature)).toMatchObject({
      why: 'bad-signature',
    });
    expect(open(envelope, 'floe/release', Note, [], verifySignature)).toMatchObject({ why: 'unknown-key' });
  });
  test('opens with any of the trusted keys of its key id, and with no other key', () => {
    const next = signerFromPem('release-1', generateKeyPem());
    const both = [...trusted, { keyId: next.keyId, publicKey: next.publicKey }];
    for (const each of [signer, next]) {
      const sealed = seal(each, 'floe/release', { text: '' });
      for (const keys of [both, both.toReversed()])
        expect(open(sealed, 'floe/release', Note, keys, verifySignature)).toMatchObject({ kind: 'opened' });
    }
    expect(open(envelope, 'floe/release', Note, both.slice(1), verifySignature)).toMatchObject({ why: 'bad-signature' });
    const renamed = both.map((key) => ({ ...key, keyId: `${key.keyId}-other` }));
    expect(open(envelope, 'floe/release', Note, renamed, verifySignature)).toMatchObject({ why: 'unknown-key' });
  });
  test('is refused when the signed content does not match the schema', () => {
    expect(open(seal(signer, 'floe/release', { other: 1 }), 'floe/release', Note, trusted, verifySignature)).toMatchObject({ why: 'malformed' });
  });
});
