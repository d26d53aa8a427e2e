/** Prints progress for people; with `isQuiet` only the last line. */
export interface Narrator {
  heading(text: string): void;
  say(text: string): void;
  /** A table with aligned columns. */
  table(rows: readonly (readonly string[])[]): void;
}

export function createNarrator(write: (line: string) => void): Narrator {
  return {
    heading: (text) => write(`\n${text}\n${'─'.repeat(Math.min(text.length, 100))}`),
    say: (text) => write(text),
    table(rows) {
      const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => (row[column] ?? '').length)));
      for (const row of rows) write(`  ${row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  ')}`.trimEnd());
    },
  };
}
