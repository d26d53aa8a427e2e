// Text from hosts, repositories, forges and clients is shown on terminals, pages, log lines and forges. These functions make it
// safe to show. They leave ordinary text in any language unchanged, and are idempotent.

/** More combining marks on one letter than any language needs would cover the lines above and below. */
const MAX_MARKS = 6;
/** Longer than the longest name, path or URL. Longer words are cut, because they would break tables and lines. */
const MAX_WORD_CHARACTERS = 2_048;

/**
 * Whole escape sequences: CSI; and OSC, DCS and the like with their text. The repetitions are bounded, so that text with many
 * unterminated sequences does not take quadratic time.
 */
const ESCAPE_SEQUENCES =
  // oxlint-disable-next-line no-control-regex -- the expression looks for these
  /(?:\u001b\[|\u009b)[0-?]{0,64}[ -/]{0,8}[@-~]|(?:\u001b[\]PX^_]|[\u009d\u0090\u0098\u009e\u009f])[^\u0000-\u001f\u007f-\u009f]{0,512}(?:\u0007|\u001b\\|\u009c)/g;
const LINE_ENDS = /\r\n|[\v\f\u0085\u2028\u2029]/g;
/**
 * Control characters except the newline, characters that change the reading order, and code points that are no characters. They
 * are replaced visibly.
 */
const STEERING = /(?!\n)[\p{Cc}\u202a-\u202e\u2066-\u2069\ufff9-\ufffb\p{Noncharacter_Code_Point}]/gu;
/**
 * Invisible characters, except those that languages and emoji need: a joiner or non-joiner between letters of joining scripts, or
 * after an emoji; a variation selector after a base that has variants; the flags of regions.
 */
const UNSEEN = new RegExp(
  [
    String.raw`(?<region>\u{1f3f4}[\u{e0061}-\u{e007a}\u{e0030}-\u{e0039}]{1,6}\u{e007f})`,
    String.raw`(?<joiner>(?<=[\p{Extended_Pictographic}\p{Emoji_Modifier}]\ufe0f?)\u200d(?=\p{Extended_Pictographic}))`,
    String.raw`(?<letters>(?<=[\p{sc=Arab}\p{sc=Syrc}\p{sc=Mong}\p{sc=Nkoo}\p{sc=Deva}\p{sc=Beng}\p{sc=Guru}\p{sc=Gujr}\p{sc=Orya}\p{sc=Taml}\p{sc=Telu}\p{sc=Knda}\p{sc=Mlym}\p{sc=Sinh}\p{sc=Khmr}\p{sc=Mymr}])[\u200c\u200d](?=(?!\p{Default_Ignorable_Code_Point})\p{L}))`,
    String.raw`(?<glyph>(?<=[\p{Emoji}])[\ufe0e\ufe0f]|(?<=\p{sc=Han})[\ufe00-\ufe02\u{e0100}-\u{e01ef}]|(?<=\p{sc=Mong})[\u180b-\u180d\u180f])`,
    String.raw`[\p{Default_Ignorable_Code_Point}\u061c]`,
  ].join('|'),
  'gu',
);
const TOO_MANY_MARKS = new RegExp(String.raw`(\p{M}{${MAX_MARKS}})\p{M}+`, 'gu');
const MARK_ON_NOTHING = /(^|[\n ])(?=\p{M})/gu;
/** Makes foreign text safe to show: it keeps its lines, but has no control, reordering or invisible characters. */
export function printable(text: string): string {
  // The common case.
  if (PLAIN.test(text) && text.length < MAX_WORD_CHARACTERS) return text;
  return text
    .toWellFormed()
    .replaceAll(ESCAPE_SEQUENCES, '')
    .replaceAll(LINE_ENDS, '\n')
    .replaceAll('\t', '  ')
    .replaceAll(STEERING, '\u{fffd}')
    .replaceAll(UNSEEN, (found, region, joiner, letters, glyph) => ((region ?? joiner ?? letters ?? glyph) === undefined ? '' : found))
    .replaceAll(TOO_MANY_MARKS, '$1')
    .replaceAll(MARK_ON_NOTHING, '$1\u25cc')
    .replaceAll(/\S+/g, cutWord);
}

function cutWord(word: string): string {
  return word.length <= MAX_WORD_CHARACTERS ? word : `${word.slice(0, MAX_WORD_CHARACTERS - 1).replace(/[\uD800-\uDBFF]$/, '')}…`;
}

const PLAIN = /^[\n\u0020-\u007e]*$/;

/** {@link printable} on one line. */
export function printableLine(text: string): string {
  return printable(text).replaceAll('\n', ' ');
}

/** {@link printable} as one sentence: without line ends and repeated spaces. */
export function oneLine(text: string): string {
  return printable(text).replaceAll(/\s+/g, ' ').trim();
}

/** {@link printable} for every text in a JSON value. */
export function printableValue<T>(value: T): T {
  // Each branch returns the type that it was given.
  if (typeof value === 'string') return printable(value) as T;
  if (Array.isArray(value)) return value.map(printableValue) as T;
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, printableValue(each)])) as T;
}
