import { setTimeout as delay } from 'node:timers/promises';
import { LargeFleet, untilStatus } from './large-fleet.ts';
import type { Figure, Progress } from './measure.ts';

/** Of a person who looks at one host. */
const ASK_EVERY_MS = 50;

/**
 * The server is killed while `count` agents report, and started again: each comes back within the first second, with what was not acknowledged.
 * Time is counted from when the server listens again until every agent is welcomed and every report acknowledged. A report is lost when it was
 * acknowledged and the database does not have it. Meanwhile a person asks for a host.
 */
export async function benchRestart(count: number, progress: Progress): Promise<Figure[]> {
  await using fleet = await LargeFleet.create(count, progress);
  await fleet.start();
  progress(`${count} agents connect`);
  await fleet.connect();
  const { agents } = fleet;
  await fleet.publish();
  await untilStatus(agents, ({ acknowledged }) => acknowledged === count);
  await fleet.server.untilRest();
  await fleet.publish();
  await untilStatus(agents, ({ acknowledged }) => acknowledged >= 1.3 * count);
  await fleet.stop('SIGKILL');
  await untilStatus(agents, ({ connected }) => connected === 0);
  const { late: lateBefore } = await agents.next('status');
  await fleet.start();
  const startedAt = performance.now();
  progress('the server listens again');
  const answers: number[] = [];
  const asking = new AbortController();
  const person = (async () => {
    const asked: Promise<void>[] = [];
    while (!asking.signal.aborted) {
      asked.push(ask(fleet, answers));
      await delay(ASK_EVERY_MS);
    }
    await Promise.all(asked);
  })();
  const { late } = await untilStatus(
    agents,
    ({ connected, unacknowledged, acknowledged }) => connected === count && unacknowledged === 0 && acknowledged === 2 * count,
  );
  const backMs = performance.now() - startedAt;
  asking.abort();
  await person;
  const lost = await lostReports(fleet);
  const stopping = performance.now();
  await fleet.stop('SIGTERM');
  const stopMs = performance.now() - stopping;
  answers.sort((left, right) => left - right);
  const p99 = answers[Math.ceil(0.99 * answers.length) - 1] ?? Number.NaN;
  const figure = (what: string, unit: string, floe: number, aim: number | undefined): Figure => ({
    what,
    unit,
    floe,
    floor: 0,
    compare: 'alone',
    aim,
  });
  return [
    figure(`(h) ${count} agents back after kill -9`, 'ms', backMs, 6_000),
    figure('(h) reports lost', '', lost, 0),
    figure('(h) connections over their time limit', '', late - lateBefore, 0),
    figure(`(h) p99 of ${answers.length} requests for a host meanwhile`, 'ms', p99, 100),
    figure('(h) SIGTERM with all connected', 'ms', stopMs, undefined),
  ];
}

async function ask(fleet: LargeFleet, answers: number[]): Promise<void> {
  const startedAt = performance.now();
  // Who gets no answer, or a bad one, asks again, and waits all the longer.
  while ((await fleet.ask(`/api/hosts/${fleet.hosts[0]}`).catch(() => undefined)) !== 200) await delay(ASK_EVERY_MS);
  answers.push(performance.now() - startedAt);
}

async function lostReports({ agents, store, hosts }: LargeFleet): Promise<number> {
  const numbers = agents.next('numbers');
  agents.send({ type: 'numbers' });
  const acknowledged = new Map((await numbers).acknowledged);
  let lost = 0;
  for (const host of hosts) {
    const stored = new Set((await store.reports.list(host, 100)).map(({ seq }) => seq));
    for (let seq = 1; seq <= (acknowledged.get(host) ?? 0); seq += 1) if (!stored.has(seq)) lost += 1;
  }
  return lost;
}
