import { appendFileSync, existsSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';

const FILE = join(import.meta.dirname, '../../.tools/lab/outcomes.jsonl');

/** One line of the table at the end of a run: what was done to a machine, where, and what became of it. */
export interface Outcome {
  readonly fault: string;
  readonly where: string;
  readonly outcome: string;
}

export function noteOutcome(outcome: Outcome): void {
  appendFileSync(FILE, `${JSON.stringify(outcome)}\n`);
}

/** Vitest's global set-up. */
export function setup(): void {
  rmSync(FILE, { force: true });
}

/** Prints the table when all lab tests are over. */
export function teardown(): void {
  if (!existsSync(FILE)) return;
  const rows = readFileSync(FILE, 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Outcome);
  const width = (key: keyof Outcome): number => Math.max(key.length, ...rows.map((row) => row[key].length));
  const line = (row: Outcome): string => `  ${row.fault.padEnd(width('fault'))}  ${row.where.padEnd(width('where'))}  ${row.outcome}`;
  console.log(
    [`\nMachines under faults (${rows.length})`, line({ fault: 'fault', where: 'where', outcome: 'outcome' }), ...rows.map(line)].join('\n'),
  );
}
