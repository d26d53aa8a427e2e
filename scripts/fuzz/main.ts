// npm run fuzz: runs every generator of the tests repeatedly with new seeds, until the time is over.
import { randomInt } from 'node:crypto';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { formatTable } from '../../tests/outcomes.ts';
import { findKinds } from './kinds.ts';
import { play, type Played } from './play.ts';

const USAGE = `usage: npm run fuzz -- [--minutes N] [--seed S] [--only KIND[,KIND]] [--runs N]

Runs every test that generates its cases with new seeds, in turns, until the time is over: at least one turn of each.
Ends with 1 when something was found, and says how to see it again.

  --minutes N   how long, about (default 10)
  --seed S      of the first turn; the next ones count up (default: random)
  --only KINDS  of these kinds only
  --runs N      cases of each property in a turn (default 1000)

kinds: `;

const root = join(import.meta.dirname, '../..');
const kinds = findKinds(root);

function print(text: string): void {
  process.stdout.write(`${text}\n`);
}

function readNumber(name: string, text: string | undefined, fallback: number): number {
  const value = text === undefined ? fallback : Number(text);
  if (Number.isFinite(value) && value > 0) return value;
  throw new Error(`--${name} is "${text}": give a number above 0`);
}

async function fuzz(): Promise<number> {
  const { values } = parseArgs({
    options: {
      minutes: { type: 'string' },
      seed: { type: 'string' },
      only: { type: 'string' },
      runs: { type: 'string' },
      help: { type: 'boolean', short: 'h' },
    },
  });
  if (values.help === true) {
    print(`${USAGE}${kinds.map(({ name }) => name).join(', ')}`);
    return 0;
  }
  const minutes = readNumber('minutes', values.minutes, 10);
  const runs = Math.round(readNumber('runs', values.runs, 1_000));
  const firstSeed = Math.round(readNumber('seed', values.seed, randomInt(1, 1_000_000)));
  const only = values.only?.split(',');
  const unknown = only?.filter((name) => kinds.every((kind) => kind.name !== name)) ?? [];
  if (unknown.length > 0) throw new Error(`there is no kind ${unknown.join(', ')}; there are ${kinds.map(({ name }) => name).join(', ')}`);
  const chosen = kinds.filter(({ name }) => only === undefined || only.includes(name));

  const endsAt = performance.now() + minutes * 60_000;
  const played: Played[] = [];
  for (let turn = 0; turn === 0 || performance.now() < endsAt; turn += 1) {
    for (const kind of chosen) {
      if (turn > 0 && performance.now() >= endsAt) break;
      const seed = firstSeed + turn;
      const leftMin = Math.max(0, (endsAt - performance.now()) / 60_000);
      print(`${kind.name}: seed ${seed}, ${kind.files.length} files (${leftMin.toFixed(0)} min left)`);
      const result = await play(kind, seed, { root, runs, onLine: () => undefined });
      played.push(result);
      for (const { file, test, message, replay } of result.failures)
        print(`  FOUND in ${file}: ${test}\n${message.slice(0, 2_000)}\n  again: ${replay}`);
      print(
        `  ${result.tests} tests in ${(result.tookMs / 1000).toFixed(0)} s: ${result.failures.length === 0 ? 'well' : `${result.failures.length} failed`}`,
      );
    }
  }
  print(formatTable(`Fuzz (${played.length} turns)`, tableOf(played)));
  return played.some(({ failures }) => failures.length > 0) ? 1 : 0;
}

function tableOf(played: readonly Played[]) {
  return [...Map.groupBy(played, ({ kind }) => kind)].map(([kind, turns]) => {
    const found = turns.flatMap(({ failures }) => failures);
    return {
      table: 'Fuzz',
      kind,
      turns: String(turns.length),
      tests: String(turns.reduce((sum, { tests }) => sum + tests, 0)),
      seeds: turns.length === 1 ? String(turns[0]?.seed) : `${turns[0]?.seed} to ${turns.at(-1)?.seed}`,
      outcome: found.length === 0 ? 'nothing found' : `${found.length} found; again: ${found[0]?.replay}`,
    };
  });
}

try {
  process.exitCode = await fuzz();
} catch (error) {
  process.stderr.write(`fuzz: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 2;
}
