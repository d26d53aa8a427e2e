import { appendFileSync, existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';

const FILE = join(import.meta.dirname, '../.tools/outcomes.jsonl');

/** One line of a table at the end of a run: what was tried, and the result. The other fields are the columns. */
export type Outcome = { readonly table: string } & Readonly<Record<string, string>>;

/** Tests run in separate processes, which share a file. */
export function noteOutcome(outcome: Outcome): void {
  mkdirSync(dirname(FILE), { recursive: true });
  appendFileSync(FILE, `${JSON.stringify(outcome)}\n`);
}

/** Vitest's global set-up. The tables are printed by reporters.ts. */
export function setup(): void {
  rmSync(FILE, { force: true });
}

/** All notes since the start, as a table for each name. */
export function formatOutcomes(): string {
  if (!existsSync(FILE)) return '';
  const outcomes = readFileSync(FILE, 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Outcome);
  const tables = Map.groupBy(outcomes, ({ table }) => table);
  return [...tables].map(([table, rows]) => formatTable(`${table} (${rows.length})`, rows)).join('\n');
}

/** Rows under the names of their columns. */
export function formatTable(title: string, rows: readonly Outcome[]): string {
  const columns = [...new Set(rows.flatMap((row) => Object.keys(row)))].filter((column) => column !== 'table');
  const widths = columns.map((column) => Math.max(column.length, ...rows.map((row) => (row[column] ?? '').length)));
  const line = (texts: readonly string[]): string => `  ${texts.map((text, index) => text.padEnd(widths[index] ?? 0)).join('  ')}`.trimEnd();
  return [`\n${title}`, line(columns), ...rows.map((row) => line(columns.map((column) => row[column] ?? '')))].join('\n');
}
