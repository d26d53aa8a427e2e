import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { generateKeyPem } from '@floe/runtime';
import { LargeFleet, startAgents, untilStatus } from './large-fleet.ts';
import type { Figure, Progress } from './measure.ts';
import { Worker } from './worker.ts';

const HOUR_S = 3_600;

/** CPU of the shipped server while `count` agents are connected and nothing happens, against bare `ws` with the same heartbeats. */
export async function benchIdle(count: number, seconds: number, progress: Progress): Promise<Figure[]> {
  const floe = await idleFloe(count, seconds, progress);
  const floor = await idleBare(count, seconds, progress);
  return [{ what: `(i) CPU per idle agent and hour, of ${count}`, unit: 'ms', floe, floor, compare: 'ratio', aim: undefined }];
}

async function idleFloe(count: number, seconds: number, progress: Progress): Promise<number> {
  await using fleet = await LargeFleet.create(count, progress);
  await fleet.start();
  await fleet.connect();
  await fleet.publish();
  await untilStatus(fleet.agents, ({ acknowledged }) => acknowledged === count);
  await fleet.server.untilRest();
  progress(`floe: ${count} agents are idle for ${seconds} s`);
  return await perHour(fleet.server, count, seconds);
}

async function idleBare(count: number, seconds: number, progress: Progress): Promise<number> {
  await using server = new Worker([join(import.meta.dirname, 'bare-server.ts')]);
  const { port } = await server.next('listening');
  await using agents = startAgents({ type: 'connect', kind: 'bare', count, port, agentKey: generateKeyPem(), reportBytes: 0 });
  await untilStatus(agents, ({ connected }) => connected === count);
  await server.untilRest();
  progress(`bare: ${count} agents are idle for ${seconds} s`);
  return await perHour(server, count, seconds);
}

async function perHour(server: Worker, count: number, seconds: number): Promise<number> {
  const before = await server.cpuMs();
  await delay(1_000 * seconds);
  return ((await server.cpuMs()) - before) * (HOUR_S / seconds / count);
}
