import { generateKeyPem, signerFromPem, verifySignature } from '@floe/runtime';
import fc from 'fast-check';
import * as v from 'valibot';
import { describe, expect, test } from 'vitest';
import { EnvelopeText, jsonAround } from './envelope-text.ts';
import { Envelope, ENVELOPE_TYPES, open, parseStored, seal, sealJson } from './envelope.ts';

const signer = signerFromPem('key-1', generateKeyPem());
const statements = fc.dictionary(fc.string({ maxLength: 5 }), fc.jsonValue(), { maxKeys: 5 });
const envelopes = fc
  .tuple(
    fc.constantFrom(...ENVELOPE_TYPES),
    statements,
    fc.oneof(fc.constant('release-1'), fc.string({ minLength: 1, maxLength: 20, unit: 'grapheme-ascii' })),
  )
  .map(([type, statement, keyId]): Envelope => ({ ...seal(signer, type, statement), keyId }))
  .filter((envelope) => v.is(Envelope, envelope));

describe('the text of a stored envelope', () => {
  test('is what the parser makes of it, in whichever form it was written', () => {
    fc.assert(
      fc.property(envelopes, fc.boolean(), fc.constantFrom(undefined, 1), (envelope, isReversed, spaces) => {
        const fields = Object.entries(envelope);
        const text = EnvelopeText.of(JSON.stringify(Object.fromEntries(isReversed ? fields.toReversed() : fields), undefined, spaces));
        expect(JSON.parse(text.json)).toEqual(envelope);
        expect(text.envelope).toEqual(envelope);
      }),
    );
  });

  test('is of one envelope and of nothing else, whatever stands in the row', () => {
    const pieces = fc.oneof(
      fc.constantFrom('"', '\\', '{', '}', ',', ':', '=', '"mode":"activate"', '\n', 'A', '\u0000'),
      fc.string({ maxLength: 4 }),
    );
    fc.assert(
      fc.property(envelopes, fc.nat(), fc.nat(30), pieces, (envelope, at, length, piece) => {
        const text = JSON.stringify(envelope);
        const place = at % (text.length + 1);
        const changed = text.slice(0, place) + piece + text.slice(place + length);
        let isEnvelope = true;
        try {
          parseStored(changed);
        } catch {
          isEnvelope = false;
        }
        if (!isEnvelope) {
          expect(() => EnvelopeText.of(changed)).toThrow();
          return;
        }
        const around = sealJson(signer, 'floe/directive', jsonAround({ mode: 'stage' }, { release: EnvelopeText.of(changed) }));
        const opened = open(around, 'floe/directive', v.strictObject({ mode: v.literal('stage'), release: Envelope }), [signer], verifySignature);
        expect(opened).toMatchObject({ kind: 'opened', statement: { release: parseStored(changed) } });
      }),
      { numRuns: 2_000 },
    );
  });

  test('is none without an envelope', () => {
    for (const text of [undefined, null, 7, '', '{}', '[]', 'null']) expect(() => EnvelopeText.of(text)).toThrow();
  });

  test('says which texts are in it, and nothing where there are none', () => {
    const of = (statement: object): EnvelopeText => EnvelopeText.of(JSON.stringify(seal(signer, 'floe/release', statement)));
    expect(of({ ref: 'refs/heads/main', repository: 7 }).texts('ref', 'repository')).toEqual({ ref: 'refs/heads/main' });
    expect(of([]).texts('ref')).toEqual({});
    const noJson = { ...seal(signer, 'floe/release', {}), payload: 'AAAA' };
    expect(EnvelopeText.of(JSON.stringify(noJson)).texts('ref')).toEqual({});
  });
});
