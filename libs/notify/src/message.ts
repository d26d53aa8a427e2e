import { oneLine, printable } from '@floe/model';

/** What a target is told, in words. All texts may be untrusted, but one: `title` consists of our words, names of hosts and commits. */
export interface Message {
  /** The same when the same message is sent again: receivers drop a repeat by it. ASCII. */
  readonly id: string;
  /** A kind of event, `summary` or `test`. */
  readonly kind: string;
  /** When it was sent, ms. */
  readonly at: number;
  readonly title: string;
  readonly lines: readonly string[];
  /** The page about it. */
  readonly url: string;
  readonly commit?: string | undefined;
  readonly host?: string | undefined;
  /** Of a summary: the ids of what it contains. */
  readonly events: readonly string[];
}

/** What became of one try. */
export type SendOutcome =
  /** `answer`: what the target said, for people. Untrusted. */
  | { readonly kind: 'sent'; readonly answer: string }
  /** `afterMs`: how long the target wants to be left alone. */
  | { readonly kind: 'failed'; readonly reason: string; readonly afterMs?: number | undefined };

/** The most that is shown of a text from outside, in UTF-16 units. */
const MAX_LINE_CHARACTERS = 1_000;
const MAX_LINES = 60;

/** The message as every target gets it: bounded, without control characters, its title one line. */
export function prepare(message: Message): Message {
  const lines = message.lines.flatMap((text) => printable(text).split('\n')).map(cut);
  const shown = lines.length <= MAX_LINES ? lines : [...lines.slice(0, MAX_LINES - 1), `… and ${lines.length - MAX_LINES + 1} more lines`];
  return { ...message, title: cut(oneLine(message.title)), lines: shown };
}

function cut(line: string): string {
  if (line.length <= MAX_LINE_CHARACTERS) return line;
  return `${line.slice(0, MAX_LINE_CHARACTERS - 1).replace(/[\uD800-\uDBFF]$/, '')}…`;
}
