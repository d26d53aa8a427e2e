import { parseArgs } from 'node:util';
import { describeError } from '@floe/runtime';
import { benchAgents } from './agents.ts';
import { benchGit } from './git.ts';
import type { Figure } from './measure.ts';
import { benchHistory } from './history.ts';
import { benchIdle } from './idle.ts';
import { benchMemory } from './memory.ts';
import { benchPush } from './push.ts';
import { benchResident } from './resident.ts';
import { benchRestart } from './restart.ts';
import { benchSandbox } from './sandbox.ts';
import { benchSpawner } from './spawner.ts';
import { benchTick } from './tick.ts';

const USAGE = `npm run bench -- [--only a,b,…,k] [--agents N] [--quick] [--json]

Measures Floe against the bare parts that do the same work in the same run.
  a  push → all hosts switched, against the bare commands
  b  fetch and diff of one commit in a large repository, against native git
  c  one directive to 10,000 agents and all their reports, and the memory of a connection, against bare ws
  d  memory of an idle agent, against a bare ws client
  e  evaluation of one host in the sandbox, against one without it
  f  a look at 200 hosts after 500 commits, against the same after one
  g  a look of the server at 10,000 hosts in a rollout, from the database to the decisions, against reading their rows
  h  10,000 agents back after the server was killed: time, reports lost, answers to people meanwhile
  i  CPU of the server for an idle agent and hour, against bare ws
  j  memory of the shipped server on Postgres, with 10 hosts and with 10,000 agents connected
  k  for how long the start of a program holds up a large process: by the spawner, against by itself
  --agents N  so many agents in c, h, i and j
  --quick  small sizes: shows that it runs, not how fast`;

const PARTS = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j', 'k'] as const;

const { only, agents, quick, json, help } = readArguments();

/** Exits with the correct usage when the command has other arguments. */
function readArguments() {
  try {
    const { values } = parseArgs({
      options: {
        only: { type: 'string', default: PARTS.join(',') },
        agents: { type: 'string' },
        quick: { type: 'boolean', default: false },
        json: { type: 'boolean', default: false },
        help: { type: 'boolean', short: 'h', default: false },
      },
    });
    const named = values.only.split(',').map((part) => part.trim());
    const strange = named.find((part) => !PARTS.some((each) => each === part));
    if (strange !== undefined) throw new Error(`there is no part "${strange}": choose of ${PARTS.join(', ')}`);
    if (values.agents !== undefined && !/^[1-9]\d{0,4}$/.test(values.agents)) throw new Error('--agents takes a number, of at most 5 digits');
    const count = Number(values.agents ?? (values.quick ? 200 : 10_000));
    return { ...values, agents: count, only: PARTS.filter((each) => named.includes(each)) };
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
  const results = {
    ratio: `${(floe / floor).toFixed(2)} ×`,
    difference: `${floe >= floor ? '+' : ''}${number(floe - floor)} ${unit}`,
    alone: `${number(floe)} ${unit}`,
  };
  const aims = { ratio: `${aim} ×`, difference: `+${aim} ${unit}`, alone: `${aim} ${unit}` };
  const result = results[compare];
  const goal = aim === undefined ? '' : `aim ≤ ${aims[compare]}`;
  return [
    what.padEnd(46),
    `${number(floe)} ${unit}`.padStart(12),
    (compare === 'alone' ? '' : `${number(floor)} ${unit}`).padStart(12),
    result.padStart(12),
    `  ${goal}`,
  ].join('');
}

if (help) {
  console.log(USAGE);
} else {
  const parts: Record<(typeof PARTS)[number], () => Promise<Figure[]>> = {
    a: async () => await benchPush(quick ? 1 : 7, tell),
    b: async () => await gitFigures(),
    c: async () => await benchAgents(agents, quick ? 1 : 5, tell),
    d: async () => await benchMemory(tell),
    e: async () => await benchSandbox(quick ? 3 : 25, tell),
    f: async () => await benchHistory(quick ? 20 : 500, 41, tell),
    g: async () => await benchTick(quick ? 600 : 10_000, 15, tell),
    h: async () => await benchRestart(agents, tell),
    i: async () => await benchIdle(agents, quick ? 15 : 60, tell),
    j: async () => await benchResident(agents, tell),
    k: async () => await benchSpawner(quick ? 5 : 60, tell),
  };
  const figures: Figure[] = [];
  for (const part of only) figures.push(...(await parts[part]()));
  if (json) console.log(JSON.stringify(figures));
  else console.log([`${''.padEnd(46)}${'Floe'.padStart(12)}${'floor'.padStart(12)}${'result'.padStart(12)}`, ...figures.map(line)].join('\n'));
}
