// npm run explore: visits every state of a small world of agents, server and network, and says what it found.
import { parseArgs } from 'node:util';
import { explore } from './search.ts';
import { ABOUT, SCENES } from './scenes.ts';

const USAGE = `usage: npm run explore -- [--scene NAME] [--seconds N] [--depth N]

Two or three hosts, in two rings or in one, a bad revision and a good one, and crashes of agents and server, over a network that loses, repeats, delays and
reorders. Every state within so many steps of what happens when all goes well is visited, by the functions that run: the agent's decide(),
decideRollout(), resolve() and admit(). In each the invariants of libs/model/SPEC.md hold, and from each the good revision reaches everyone once
nothing is lost any more. A host that a person keeps from that is told so by whyNot(), and keeps no other.
Ends with 1 when that is not so, and prints the steps that lead there. They are a test: STORIES of scripts/explore/explore.test.ts.

The scenes:
${Object.entries(ABOUT)
  .map(([name, about]) => `  ${name.padEnd(10)} ${about}`)
  .join('\n')}

  --scene NAME  one of them (default: all; each has as much of the time as those after it)
  --seconds N   how long (default 120)
  --depth N     no further than this (default: as far as the time allows)
`;

function print(text: string): void {
  process.stdout.write(`${text}\n`);
}

function readNumber(name: string, text: string | undefined, fallback: number): number {
  const value = text === undefined ? fallback : Number(text);
  if (value > 0) return value;
  throw new Error(`--${name} is "${text}": give a number above 0`);
}

function isScene(name: string): name is keyof typeof SCENES {
  return Object.hasOwn(SCENES, name);
}

function main(): number {
  const { values } = parseArgs({
    options: { scene: { type: 'string' }, seconds: { type: 'string' }, depth: { type: 'string' }, help: { type: 'boolean', short: 'h' } },
  });
  if (values.help === true) {
    print(USAGE);
    return 0;
  }
  const seconds = readNumber('seconds', values.seconds, 120);
  const maxDepth = readNumber('depth', values.depth, Number.MAX_SAFE_INTEGER);
  const names = values.scene === undefined ? Object.keys(SCENES) : [values.scene];
  const scenes = names.filter(isScene);
  if (scenes.length < names.length) throw new Error(`there is no scene "${values.scene}": there are ${Object.keys(SCENES).join(', ')}`);
  const startedAt = performance.now();
  const leftOver = (): number => seconds - (performance.now() - startedAt) / 1000;
  // What a scene does not use is for those after it.
  return Math.max(...scenes.map((name, index) => exploreScene(name, leftOver() / (scenes.length - index), maxDepth)));
}

function exploreScene(name: keyof typeof SCENES, seconds: number, maxDepth: number): number {
  const startedAt = performance.now();
  const took = (): number => (performance.now() - startedAt) / 1000;
  const found = explore(SCENES[name], {
    maxDepth,
    isOver: () => took() > seconds,
    onDepth: (depth, states) => print(`${name}, depth ${depth}: ${states} states (${took().toFixed(0)} s)`),
  });
  const { states, steps, lines, depth, isComplete, counterexample } = found;
  print(`${name}: ${states} states, ${steps} steps, ${took().toFixed(0)} s: all within ${depth} steps of the ${lines} states of the main lines.`);
  if (isComplete) print('No other state can be reached.');
  if (counterexample === undefined) {
    print('Every invariant holds, and from every state the newest good revision reaches everyone.\n');
    return 0;
  }
  print(`\nBROKEN: ${counterexample.problem}\n\n${counterexample.story.map((step, index) => `${index + 1}. ${step}`).join('\n')}`);
  print(`\nAs a test, in STORIES of scripts/explore/explore.test.ts:\n${JSON.stringify({ scene: name, story: counterexample.story }, null, 2)}\n`);
  return 1;
}

try {
  process.exitCode = main();
} catch (error) {
  process.stderr.write(`explore: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 2;
}
