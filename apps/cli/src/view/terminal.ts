import { styleText } from 'node:util';
import { cutToWidth, widthOf } from './width.ts';

/** What a piece of text means; how that looks is the terminal's matter. */
export type Tone = 'good' | 'busy' | 'bad' | 'quiet' | 'strong';

/**
 * Marks text on a terminal with colours, and leaves it as it is elsewhere. Takes text as it came: what would steer the
 * terminal is taken out here, so that no caller can forget it. Not to be nested for the same reason.
 */
export type Style = (tone: Tone, text: string) => string;

const LOOKS = { good: 'green', busy: 'cyan', bad: 'red', quiet: 'dim', strong: 'bold' } as const;

export const plainStyle: Style = (_tone, text) => harmless(text);
export const colourStyle: Style = (tone, text) => styleText(LOOKS[tone], harmless(text), { validateStream: false });

/** What things are shown with: the time that "ago" counts from, the look, and the room (undefined: no terminal). */
export interface View {
  readonly now: number;
  readonly style: Style;
  readonly columns: number | undefined;
}

// C0 without newline and tab, DEL, C1, and the marks that reorder text. What others wrote (a commit's subject, an
// error) must not steer the reader's terminal.
// oxlint-disable-next-line no-control-regex
const STEERING = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/g;

/** Text from elsewhere made harmless for a terminal. Never for styled text: its colours are such characters, too. */
export function harmless(text: string): string {
  return text.replaceAll('\r\n', '\n').replaceAll('\t', '  ').replaceAll(STEERING, '\u{fffd}');
}

/** {@link harmless} on one line. */
export function harmlessLine(text: string): string {
  return harmless(text).replaceAll('\n', ' ');
}

export interface Cell {
  readonly text: string;
  readonly tone?: Tone;
}

/** The last column gets no less than this, however narrow the terminal. */
const LAST_COLUMN_MIN = 20;

/**
 * Rows under headings, each column as wide as its widest cell. Where the terminal is too narrow, the columns in `spare`
 * are left out, the first named first, and then the last column is cut.
 */
export function formatTable(
  headings: readonly string[],
  rows: readonly (readonly Cell[])[],
  view: Pick<View, 'style' | 'columns'>,
  spare: readonly string[] = [],
): string {
  const clean = rows.map((row) => row.map((cell) => ({ ...cell, text: harmlessLine(cell.text) })));
  const widths = headings.map((heading, index) => clean.reduce((widest, row) => Math.max(widest, widthOf(row[index]?.text ?? '')), heading.length));
  const last = headings.length - 1;
  const columns = view.columns ?? Number.POSITIVE_INFINITY;
  const shown = new Set(headings.keys());

  function roomForLast(): number {
    return [...shown].reduce((room, index) => (index === last ? room : room - (widths[index] ?? 0) - 2), columns);
  }
  for (const heading of spare) {
    if (roomForLast() < Math.min(widths[last] ?? 0, LAST_COLUMN_MIN)) shown.delete(headings.indexOf(heading));
  }
  const room = Math.max(LAST_COLUMN_MIN, roomForLast());

  function line(cells: readonly Cell[]): string {
    const parts = cells.flatMap(({ text, tone }, index) => {
      if (!shown.has(index)) return [];
      const fitted = index === last ? cutToWidth(text, room) : text;
      const padding = index === last ? '' : ' '.repeat(Math.max(0, (widths[index] ?? 0) - widthOf(fitted)));
      return [(tone === undefined ? fitted : view.style(tone, fitted)) + padding];
    });
    return parts.join('  ').trimEnd();
  }
  return [line(headings.map((text) => ({ text, tone: 'quiet' }))), ...clean.map(line)].join('\n');
}

/** `name  value` lines, the values aligned. */
export function formatFacts(facts: readonly (readonly [name: string, value: string])[], style: Style): string {
  const width = Math.max(...facts.map(([name]) => name.length));
  return facts.map(([name, value]) => `${style('quiet', name.padEnd(width))}  ${harmless(value)}`).join('\n');
}

/** Every line pushed to the right. */
export function indent(text: string, by = '  '): string {
  return text
    .split('\n')
    .map((line) => (line === '' ? line : by + line))
    .join('\n');
}

/**
 * Text from elsewhere as a block of its own: harmless and pushed to the right. Long lines are left to the terminal,
 * so that a command in them can be copied.
 */
export function formatBlock(text: string, by = '  '): string {
  return indent(harmless(text).trim(), by);
}
