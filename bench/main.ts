import { parseArgs } from 'node:util';
import { describeError } from '@floe/runtime';
import { benchAgents } from './agents.ts';
import { benchGit } from './git.ts';
import type { Figure } from './measure.ts';
import { benchHistory } from './history.ts';
import { benchMemory } from './memory.ts';
import { benchPush } from './push.ts';
import { benchSandbox } from './sandbox.ts';
import { benchTick } from './tick.ts';

const USAGE = `npm run bench -- [--only a,b,c,d,e,f,g] [--quick] [--json]

Measures Floe against the bare parts that do the same work in the same run.
  a  push → all hosts switched, against the bare commands
  b  fetch and diff of one commit in a large repository, against native git
  c  one directive to 10,000 agents and all their reports, and the memory of a connection, against bare ws
  d  memory of an idle agent, against a bare ws client
  e  evaluation of one host in the sandbox, against one without it
  f  a look at 200 hosts after 500 commits, against the same after one
  g  a look of the server at 10,000 hosts in a rollout, from the database to the decisions, against reading their rows
  --quick  small sizes: shows that it runs, not how fast`;

const PARTS = ['a', 'b', 'c', 'd', 'e', 'f', 'g'] as const;

const { only, quick, json, help } = readArguments();

/** Exits with the correct usage when the command has other arguments. */
function readArguments() {
  try {
    const { values } = parseArgs({
      options: {
        only: { type: 'string', default: PARTS.join(',') },
        quick: { type: 'boolean', default: false },
        json: { type: 'boolean', default: false },
        help: { type: 'boolean', short: 'h', default: false },
      },
    });
    const named = values.only.split(',').map((part) => part.trim());
    const strange = named.find((part) => !PARTS.some((each) => each === part));
    if (strange !== undefined) throw new Error(`there is no part "${strange}": choose of ${PARTS.join(', ')}`);
    return { ...values, only: PARTS.filter((each) => named.includes(each)) };
  } catch (error) {
    console.error(`${describeError(error)}\n\n${USAGE}`);
    process.exit(2);
  }
}

async function gitFigures(): Promise<Figure[]> {
  const { floe, native } = await benchGit(quick ? { files: 500, commits: 50, changes: 5, rounds: 3 } : undefined);
  const figure = (what: string, ours: number, floor: number, aim: number | undefined): Figure => ({
    what,
    unit: 'ms',
    floe: ours,
    floor,
    compare: 'ratio',
    aim,
  });
  return [
    figure('(b) fetch + diff of one commit', floe.fetchMs + floe.diffMs, native.fetchMs + native.diffMs, undefined),
    figure('(b) first clone', floe.cloneMs, native.cloneMs, undefined),
  ];
}

function tell(text: string): void {
  console.error(text);
}

function line({ what, unit, floe, floor, compare, aim }: Figure): string {
  const number = (value: number): string => (value >= 100 ? value.toFixed(0) : value.toFixed(1));
  const result = compare === 'ratio' ? `${(floe / floor).toFixed(2)} ×` : `${floe >= floor ? '+' : ''}${number(floe - floor)} ${unit}`;
  const goal = aim === undefined ? '' : compare === 'ratio' ? `aim ≤ ${aim}` : `aim ≤ +${aim} ${unit}`;
  return [what.padEnd(46), `${number(floe)} ${unit}`.padStart(12), `${number(floor)} ${unit}`.padStart(12), result.padStart(12), `  ${goal}`].join(
    '',
  );
}

if (help) {
  console.log(USAGE);
} else {
  const parts: Record<(typeof PARTS)[number], () => Promise<Figure[]>> = {
    a: async () => await benchPush(quick ? 1 : 7, tell),
    b: async () => await gitFigures(),
    c: async () => await benchAgents(quick ? 200 : 10_000, tell),
    d: async () => await benchMemory(tell),
    e: async () => await benchSandbox(quick ? 3 : 25, tell),
    f: async () => await benchHistory(quick ? 20 : 500, 41, tell),
    g: async () => await benchTick(quick ? 600 : 10_000, 15, tell),
  };
  const figures: Figure[] = [];
  for (const part of only) figures.push(...(await parts[part]()));
  if (json) console.log(JSON.stringify(figures));
  else console.log([`${''.padEnd(46)}${'Floe'.padStart(12)}${'floor'.padStart(12)}${'result'.padStart(12)}`, ...figures.map(line)].join('\n'));
}
