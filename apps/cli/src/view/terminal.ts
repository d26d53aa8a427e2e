import { styleText } from 'node:util';
import { printable, printableLine } from '@floe/model';
import { cutToWidth, widthOf } from './width.ts';

/** What a piece of text means; how that looks is the terminal's matter. */
export type Tone = 'good' | 'busy' | 'bad' | 'quiet' | 'strong';

/**
 * Says what a piece of a line means. Takes text as it came: what would steer the terminal is taken out here. Not to be nested
 * for the same reason.
 */
export type Style = (tone: Tone, text: string) => string;

const TONES: readonly Tone[] = ['good', 'busy', 'bad', 'quiet', 'strong'];
const LOOKS = { good: 'green', busy: 'cyan', bad: 'red', quiet: 'dim', strong: 'bold' } as const;
// A tone is marked with what is no character and never in printable text; only the output turns marks into colours. So a
// colour code in text from elsewhere is never one of ours.
const FIRST_MARK = 0xfdd0;
const END = String.fromCharCode(FIRST_MARK + TONES.length);
const MARKED = new RegExp(`([\\ufdd0-\\ufdd${TONES.length - 1}])([^${END}]*)${END}`);

export const plainStyle: Style = (_tone, text) => printableLine(text);
export const markStyle: Style = (tone, text) => `${String.fromCharCode(FIRST_MARK + TONES.indexOf(tone))}${printableLine(text)}${END}`;

/** Text with the marks of {@link markStyle} as a terminal shows it; all else in it is made {@link printable}. */
export function inColours(text: string): string {
  // Every third part is a mark, and the one behind it what was marked.
  const parts = text.split(MARKED);
  return parts
    .map((part, index) => {
      if (index % 3 === 0) return printable(part);
      if (index % 3 === 1) return '';
      const tone = TONES[(parts[index - 1]?.charCodeAt(0) ?? 0) - FIRST_MARK] ?? 'strong';
      return styleText(LOOKS[tone], printable(part), { validateStream: false });
    })
    .join('');
}

/** What things are shown with: the time that "ago" counts from, the look, and the room (undefined: no terminal). */
export interface View {
  readonly now: number;
  readonly style: Style;
  readonly columns: number | undefined;
}

export interface Cell {
  readonly text: string;
  readonly tone?: Tone;
}

/** The last column gets no less than this, however narrow the terminal. */
const LAST_COLUMN_MIN = 20;
/** No other column gets more: one long name must not push the rest of every row away. Host names end here at the latest. */
const COLUMN_MAX = 253;

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
  const widest = view.columns === undefined ? COLUMN_MAX : Math.max(LAST_COLUMN_MIN, Math.floor(view.columns / 2));
  const clean = rows.map((row) =>
    row.map((cell, index) => ({
      ...cell,
      text: cutToWidth(printableLine(cell.text), index === headings.length - 1 ? Number.POSITIVE_INFINITY : widest),
    })),
  );
  const widths = headings.map((heading, index) => clean.reduce((width, row) => Math.max(width, widthOf(row[index]?.text ?? '')), heading.length));
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
  return facts.map(([name, value]) => `${style('quiet', name.padEnd(width))}  ${printable(value)}`).join('\n');
}

/** Every line pushed to the right. */
export function indent(text: string, by = '  '): string {
  return text
    .split('\n')
    .map((line) => (line === '' ? line : by + line))
    .join('\n');
}

/**
 * Text from elsewhere as a block of its own: printable and pushed to the right. Long lines are left to the terminal,
 * so that a command in them can be copied.
 */
export function formatBlock(text: string, by = '  '): string {
  return indent(printable(text).trim(), by);
}
