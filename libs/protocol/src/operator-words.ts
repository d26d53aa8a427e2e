import * as v from 'valibot';
import { Counter, prose, Timestamp, word } from './bounds.ts';
import { CommitSha, HostName, StorePath } from './ids.ts';

/** What ssh-keygen signs an {@link OperatorWord} for: a signature of a commit or a file is none of a word. */
export const OPERATOR_NAMESPACE = 'floe-permit@v1';

/** So long a word is good at most, in ms. */
export const MAX_WORD_MS = 30 * 24 * 3600 * 1000;

/** Which host goes back to which release. */
const About = {
  repository: prose(4096),
  ref: prose(1024),
  host: HostName,
  commit: CommitSha,
  sequence: Counter,
  toplevel: StorePath,
  /** The highest sequence that the host was told: once it has a higher one, the word is good for nothing. */
  floor: Counter,
  /** The name by which the server knows the person: the permit has it, too. */
  actor: prose(200),
};

/**
 * "Host H may go back to this release." Signed on a person's machine with `ssh-keygen -Y sign`, by one of the keys that the holder of the release
 * key has in FLOE_OPERATOR_KEYS_FILE. It is good for one directive of one machine, until `until`.
 */
export const OperatorWord = v.strictObject({
  version: v.literal(1),
  ...About,
  reason: prose(2_000),
  issuedAt: Timestamp,
  until: Timestamp,
  /** Random: no two words are the same. */
  nonce: v.pipe(word(64), v.minLength(16)),
});
export type OperatorWord = v.InferOutput<typeof OperatorWord>;

/** The signed bytes, JSON in printable ASCII, and what ssh-keygen made of them. */
export const SignedWord = v.strictObject({
  statement: word(32 * 1024),
  signature: v.pipe(v.string(), v.maxLength(8 * 1024), v.regex(/^-----BEGIN SSH SIGNATURE-----\n[\x20-\x7E\n]*$/, 'an SSH signature')),
});
export type SignedWord = v.InferOutput<typeof SignedWord>;

type Compared = Omit<v.InferOutput<v.ObjectSchema<typeof About, undefined>>, 'host' | 'floor'> & Pick<OperatorWord, 'reason'>;
/** A field more does not compile until it is compared. */
const COMPARED: Readonly<Record<keyof Compared, string>> = {
  repository: 'repository',
  ref: 'ref',
  commit: 'commit',
  sequence: 'sequence',
  toplevel: 'system',
  actor: 'person',
  reason: 'reason',
};

/**
 * In what the word differs from what it is used for, in words; undefined: in nothing. Host, floor and end are the caller's to judge: after a rename a
 * machine has two names, and a lower floor is covered.
 */
export function wordDiffers(said: OperatorWord, use: Compared): string | undefined {
  for (const key of Object.keys(COMPARED) as (keyof Compared)[]) if (said[key] !== use[key]) return `${COMPARED[key]}: ${said[key]}, not ${use[key]}`;
  return undefined;
}

/** JSON of the word in printable ASCII, so that what is shown, sent and stored is what was signed. */
export function wordText(statement: OperatorWord): string {
  const escaped = (character: string): string => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
  return JSON.stringify(statement).replaceAll(/[^\x20-\x7E]/g, escaped);
}

/** What the text says; undefined: it is no word. */
export function parseWord(statement: string): OperatorWord | undefined {
  const parsed = v.safeParse(v.pipe(v.string(), v.parseJson(), OperatorWord), statement);
  return parsed.success ? parsed.output : undefined;
}

/** What a person who has a host pinned to a commit signs; `needsWord`: without it the builder signs no permit. */
export const WayBack = v.object({ ...About, needsWord: v.boolean() });
export type WayBack = v.InferOutput<typeof WayBack>;
