// npm run simulate: a fleet for weeks, in virtual time, with the real engine and admission.
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { draw } from './draw/draw.ts';
import { isStoreName, STORES } from './open-store.ts';
import { Simulation } from './simulation.ts';
import { summarize } from './summary.ts';

const USAGE = `usage: npm run simulate -- [--hosts N] [--days N] [--seed N] [--store NAME] [--svg FILE]

Laptops with office hours and holidays, and servers, get one or two revisions a workday: every tenth is bad (of fewer than four days the
second one, too), and most of those are followed by an urgent fix while they roll out. One change in fifty fails by itself, the server is killed between any two calls of its store, and hints are
lost. People approve the last ring after hours, or never, pause the fleet or a label, pin and hold hosts, quarantine a commit on some, make
a commit a hotfix (some over the success gates, too), abort one and have it go back, have hosts that failed try again, have some try a system until an end, and resume what is paused. A
fourth of the commits changes the policy, looser or tighter: soak, error gate, verifications, limits, approvals, the share that moves hosts between rings, or the rings
themselves, which come, go, change places or get another name. Half of the commits change the list of hosts: one is added, removed, there again, renamed, or names its ring itself; people enrol,
rename, revoke and forget the machines hours later, and some are enrolled again, as they are or installed again. The last ring has windows by the time of each host, a probe sees
some of the bad ones alone, and the first complete commit is a stepping stone. The rollouts' engine, the admission and the store run as they are, and each host decides by the real agent's table, in virtual time. The
invariants of libs/model/SPEC.md are checked after every event. It prints how long revisions took to 50, 90 and 99 % of the hosts that could be
reached, which hosts ever ran a bad one, and how many directives a host got, and draws the weeks as one picture. Ends with 1 at the first that is broken, and prints the command that shows it again.
Meanwhile it says after each day how far it is. 10,000 hosts for 30 days take five minutes of CPU.

  --hosts N   how many hosts (default 1000)
  --days N    how many days (default 14)
  --seed N    the same seed gives the same days (default 1)
  --store NAME  memory (default, which is fast), or the real store on an embedded or a separate database: pglite, postgres
  --svg FILE  where to draw what the fleet ran (default .tools/simulate/fleet.svg)
`;

function print(words: string): void {
  process.stdout.write(`${words}\n`);
}

function readNumber(name: string, given: string | undefined, fallback: number): number {
  const value = given === undefined ? fallback : Number(given);
  if (Number.isSafeInteger(value) && value > 0) return value;
  throw new Error(`--${name} is "${given}": give a whole number above 0`);
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      hosts: { type: 'string' },
      days: { type: 'string' },
      seed: { type: 'string' },
      store: { type: 'string', default: 'memory' },
      svg: { type: 'string' },
      help: { type: 'boolean', short: 'h' },
    },
  });
  if (values.help === true) {
    print(USAGE);
    return 0;
  }
  const options = {
    hosts: readNumber('hosts', values.hosts, 1_000),
    days: readNumber('days', values.days, 14),
    seed: readNumber('seed', values.seed, 1),
  };
  const { store } = values;
  if (!isStoreName(store)) throw new Error(`--store is "${store}": give one of ${Object.keys(STORES).join(', ')}`);
  const openStore = STORES[store];
  const startedAt = performance.now();
  const secondsUsed = (): string => `${((performance.now() - startedAt) / 1000).toFixed(0)} s`;
  const onDay = (over: number): void => void (over > 0 && process.stderr.write(`day ${over} of ${options.days} is over, after ${secondsUsed()}\n`));
  const simulation = new Simulation({ ...options, onDay, ...(openStore !== undefined && { openStore }) });
  let broken: string | undefined;
  try {
    await simulation.run();
  } catch (error) {
    broken = error instanceof Error ? error.message : String(error);
  }
  for (const line of summarize(simulation).lines) print(line);
  const file = resolve(values.svg ?? join(import.meta.dirname, '../../.tools/simulate/fleet.svg'));
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, draw(simulation).svg);
  print(`drawn in ${file}; took ${secondsUsed()}`);
  if (broken === undefined) return 0;
  print(`\nBROKEN: ${broken}\nagain: npm run simulate -- --hosts ${options.hosts} --days ${options.days} --seed ${options.seed} --store ${store}`);
  return 1;
}

try {
  process.exitCode = await main();
} catch (error) {
  process.stderr.write(`simulate: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 2;
}
