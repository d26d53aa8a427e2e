import { Envelope, OneDirective, PermitStatement, SignedWord, Timestamp } from '@floe/protocol';
import * as v from 'valibot';

/** What a server asks a builder of its own process to sign, as it is stored: text of JSON. Each is about a release that the key signed before. */
const SigningQuestion = v.variant('kind', [
  v.strictObject({ kind: v.literal('permit'), release: Envelope, statement: PermitStatement, word: v.optional(SignedWord) }),
  v.strictObject({ kind: v.literal('once'), release: Envelope, onlyFor: v.optional(OneDirective) }),
  v.strictObject({
    kind: v.literal('trial'),
    release: Envelope,
    times: v.strictObject({ now: Timestamp, latest: Timestamp, forMs: v.pipe(v.number(), v.integer(), v.minValue(0)) }),
  }),
]);
export type SigningQuestion = v.InferOutput<typeof SigningQuestion>;

/** Undefined: it is not one that this version knows. */
export function parseQuestion(text: string): SigningQuestion | undefined {
  const parsed = v.safeParse(v.pipe(v.string(), v.parseJson(), SigningQuestion), text);
  return parsed.success ? parsed.output : undefined;
}
