import { styleText } from 'node:util';

/** What a piece of text means; how that looks is the terminal's matter. */
export type Tone = 'good' | 'busy' | 'bad' | 'quiet' | 'strong';

/** Marks text on a terminal with colours, and leaves it as it is elsewhere. */
export type Style = (tone: Tone, text: string) => string;

const LOOKS = { good: 'green', busy: 'cyan', bad: 'red', quiet: 'dim', strong: 'bold' } as const;

export const plainStyle: Style = (_tone, text) => text;
export const colourStyle: Style = (tone, text) => styleText(LOOKS[tone], text, { validateStream: false });

// C0 without newline and tab, DEL, C1, and the marks that reorder text. What others wrote (a commit's subject, an
// error) must not steer the reader's terminal.
// oxlint-disable-next-line no-control-regex
const STEERING = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/g;

/** Text from elsewhere made harmless for a terminal. */
export function harmless(text: string): string {
  return text.replaceAll('\r\n', '\n').replaceAll('\t', '  ').replaceAll(STEERING, '\u{fffd}');
}

export interface Cell {
  readonly text: string;
  readonly tone?: Tone;
}

/** Rows under headings, each column as wide as its widest cell. `columns`: the last column is cut to fit this width. */
export function formatTable(headings: readonly string[], rows: readonly (readonly Cell[])[], style: Style, columns?: number): string {
  const clean = rows.map((row) => row.map((cell) => ({ ...cell, text: harmless(cell.text).replaceAll('\n', ' ') })));
  const widths = headings.map((heading, index) => Math.max(heading.length, ...clean.map((row) => row[index]?.text.length ?? 0)));
  const last = headings.length - 1;
  const before = widths.slice(0, last).reduce((sum, width) => sum + width + 2, 0);
  const room = columns === undefined ? Number.POSITIVE_INFINITY : Math.max(20, columns - before);

  function line(cells: readonly Cell[]): string {
    const parts = cells.map(({ text, tone }, index) => {
      const fitted = index === last && text.length > room ? `${text.slice(0, room - 1)}…` : text;
      const padding = index === last ? '' : ' '.repeat(Math.max(0, (widths[index] ?? 0) - fitted.length));
      return (tone === undefined ? fitted : style(tone, fitted)) + padding;
    });
    return parts.join('  ').trimEnd();
  }
  const head = line(headings.map((text) => ({ text, tone: 'quiet' })));
  return [head, ...clean.map(line)].join('\n');
}

/** `name  value` lines, the values aligned. */
export function formatFacts(facts: readonly (readonly [name: string, value: string])[], style: Style): string {
  const width = Math.max(...facts.map(([name]) => name.length));
  return facts.map(([name, value]) => `${style('quiet', name.padEnd(width))}  ${harmless(value)}`).join('\n');
}

/** Every line pushed to the right. */
export function indent(text: string, by = '  '): string {
  return harmless(text).split('\n').map((line) => (line === '' ? line : by + line)).join('\n');
}
