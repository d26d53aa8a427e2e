import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { HEARTBEAT_MS } from '@floe/protocol';
import { generateKeyPem } from '@floe/runtime';
import { LargeFleet, startAgents, untilStatus } from './large-fleet.ts';
import { median, type Figure, type Progress } from './measure.ts';
import { Worker } from './worker.ts';

/** The first ones compile the server's code and fill its caches; they are not counted. */
const COLD_ROUNDS = 2;
/** The floor is told so often in one round: it is soon done, and CPU is counted in hundredths of a second. */
const BARE_TIMES = 5;
const POLL_MS = 200;
const MICROSECONDS = 1_000;

interface Told {
  /** Per agent, in µs, from the commit to the server's rest, without what the connections alone take. */
  readonly cpu: number;
  readonly wallMs: number;
}

interface Measured {
  readonly rounds: readonly Told[];
  readonly kilobytesPerConnection: number;
  readonly directiveBytes: number;
  readonly reportBytes: number;
}

/**
 * One new release after another for every one of `count` connected agents: signed directives go out, each agent answers with a report, all are
 * stored and acknowledged, and views and statuses follow. CPU of the shipped server's process until it is at rest, less what it takes when nothing
 * happens, against bare `ws` that sends and takes texts of the same lengths and stores nothing. The database is Postgres, in processes of its own
 * that are not counted.
 */
export async function benchAgents(count: number, rounds: number, progress: Progress): Promise<Figure[]> {
  const floe = await measureFloe(count, rounds, progress);
  const bare = await measureBare(count, rounds, floe, progress);
  const figure = (what: string, unit: string, pick: (told: Told) => number, aim: number | undefined): Figure => {
    const of = (told: readonly Told[]): number => median(told.slice(COLD_ROUNDS).map(pick));
    return { what, unit, floe: of(floe.rounds), floor: of(bare.rounds), compare: 'ratio', aim };
  };
  return [
    figure(`(c) CPU per agent, ${count} agents`, 'µs', ({ cpu }) => cpu, 2),
    figure('(c) all told and acknowledged', 'ms', ({ wallMs }) => wallMs, undefined),
    {
      what: '(d) server memory per connection',
      unit: 'kB',
      floe: floe.kilobytesPerConnection,
      floor: bare.kilobytesPerConnection,
      compare: 'ratio',
      aim: undefined,
    },
  ];
}

async function measureFloe(count: number, rounds: number, progress: Progress): Promise<Measured> {
  await using fleet = await LargeFleet.create(count, progress);
  await fleet.start();
  const before = await usedBytes(fleet.server);
  progress(`floe: ${count} agents connect`);
  await fleet.connect();
  await fleet.server.untilRest();
  const kilobytesPerConnection = ((await usedBytes(fleet.server)) - before) / 1_024 / count;
  const measured: Told[] = [];
  for (let round = 1; round <= COLD_ROUNDS + rounds; round += 1) {
    const send = async (): Promise<void> => await fleet.publish();
    const isComplete = async (): Promise<boolean> => await fleet.isComplete();
    measured.push(await tell({ server: fleet.server, agents: fleet.agents, count, round, times: 1, send, isComplete }));
    progress(`floe, round ${round}: ${described(measured)}`);
  }
  const { directiveBytes, reportBytes } = await fleet.agents.next('status');
  return { rounds: measured, kilobytesPerConnection, directiveBytes, reportBytes };
}

async function measureBare(
  count: number,
  rounds: number,
  sizes: Pick<Measured, 'directiveBytes' | 'reportBytes'>,
  progress: Progress,
): Promise<Measured> {
  progress(`bare: ${count} agents connect, for ${sizes.directiveBytes} bytes and ${sizes.reportBytes} bytes back`);
  const args = ['--import', join(import.meta.dirname, 'probe.ts'), join(import.meta.dirname, 'bare-server.ts')];
  await using server = new Worker(args);
  const { port } = await server.next('listening');
  const before = await usedBytes(server);
  await using agents = startAgents({ type: 'connect', kind: 'bare', count, port, agentKey: generateKeyPem(), reportBytes: sizes.reportBytes });
  await untilStatus(agents, ({ connected }) => connected === count);
  await server.untilRest();
  const kilobytesPerConnection = ((await usedBytes(server)) - before) / 1_024 / count;
  const measured: Told[] = [];
  for (let round = 1; round <= COLD_ROUNDS + rounds; round += 1) {
    const send = async (): Promise<void> => {
      server.send({ type: 'round', directiveBytes: sizes.directiveBytes });
      await Promise.resolve();
    };
    const isComplete = async (): Promise<boolean> => await Promise.resolve(true);
    measured.push(await tell({ server, agents, count, round, times: BARE_TIMES, send, isComplete }));
    progress(`bare, round ${round}: ${described(measured)}`);
  }
  return { ...sizes, rounds: measured, kilobytesPerConnection };
}

interface Round {
  readonly server: Worker;
  readonly agents: Worker;
  readonly count: number;
  readonly round: number;
  /** So often all agents are told, one time after another. */
  readonly times: number;
  /** Has the server tell all agents. */
  readonly send: () => Promise<void>;
  /** The server has nothing left to decide. */
  readonly isComplete: () => Promise<boolean>;
}

async function tell({ server, agents, count, round, times, send, isComplete }: Round): Promise<Told> {
  const before = await server.cpuMs();
  const startedAt = performance.now();
  let wallMs = 0;
  for (let time = 1; time <= times; time += 1) {
    const done = untilStatus(agents, ({ acknowledged }) => acknowledged === ((round - 1) * times + time) * count);
    await send();
    const sentAt = performance.now();
    await done;
    wallMs += (performance.now() - sentAt) / times;
  }
  while (!(await isComplete())) await delay(POLL_MS);
  await server.untilRest();
  // Whole heartbeats, as the time in which nothing happens has.
  await delay(HEARTBEAT_MS - ((performance.now() - startedAt) % HEARTBEAT_MS));
  const [usedMs, elapsedMs] = [(await server.cpuMs()) - before, performance.now() - startedAt];
  // Right after it: how fast the machine is changes with what else runs on it.
  const cpuMs = usedMs - (await idleShare(server)) * elapsedMs;
  return { cpu: (MICROSECONDS * cpuMs) / count / times, wallMs };
}

/** What it takes of a processor when nothing happens: heartbeats, and looks at the fleet. */
async function idleShare(server: Worker): Promise<number> {
  const [before, startedAt] = [await server.cpuMs(), performance.now()];
  await delay(HEARTBEAT_MS);
  return ((await server.cpuMs()) - before) / (performance.now() - startedAt);
}

function described(rounds: readonly Told[]): string {
  const { cpu, wallMs } = rounds.at(-1) ?? { cpu: 0, wallMs: 0 };
  return `${Math.round(cpu)} µs of CPU per agent, ${Math.round(wallMs)} ms`;
}

async function usedBytes(server: Worker): Promise<number> {
  const used = server.next('used');
  server.send({ type: 'use' });
  return (await used).bytes;
}
