import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { generateKeyPem } from '@floe/runtime';
import { startPostgres } from '@floe/testkit';
import type { Figure, Progress } from './measure.ts';
import type { AgentsRequest, ServerAnswer, ServerRequest } from './agents-wire.ts';

/**
 * One new release for every one of `count` connected agents: signed directives go out, each agent answers with a report,
 * all are stored and acknowledged. CPU of the server's process, against bare `ws` that sends and takes as much and
 * stores nothing. The database is Postgres, in processes of its own that are not counted.
 */
export async function benchAgents(count: number, progress: Progress): Promise<Figure[]> {
  await using postgres = await startPostgres();
  const floe = await measure('floe', count, postgres.url, progress);
  const bare = await measure('bare', count, postgres.url, progress);
  const perAgent = (cpuMs: number): number => (1_000 * cpuMs) / count;
  return [
    { what: `(c) CPU per agent, ${count} agents`, unit: 'µs', floe: perAgent(floe.cpuMs), floor: perAgent(bare.cpuMs), compare: 'ratio', aim: 2 },
    { what: '(c) all told and acknowledged', unit: 'ms', floe: floe.wallMs, floor: bare.wallMs, compare: 'ratio', aim: undefined },
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

async function measure(
  kind: ServerRequest['kind'],
  count: number,
  databaseUrl: string,
  progress: Progress,
): Promise<Extract<ServerAnswer, { type: 'measured' }>> {
  progress(`${kind}: ${count} agents connect`);
  await using server = new Worker('agents-server.ts');
  const agentKey = generateKeyPem();
  server.send({ kind, count, databaseUrl, agentKey } satisfies ServerRequest);
  const { port } = await server.next('listening');
  await using agents = new Worker('agents-clients.ts');
  agents.send({ kind, count, port, agentKey } satisfies AgentsRequest);
  const measured = await server.next('measured');
  progress(`${kind}: ${Math.round(measured.wallMs)} ms, ${Math.round(measured.cpuMs)} ms of CPU`);
  return measured;
}

const OPEN_FILES = 16_384;

/** A process of the benchmark that talks over Node's channel. */
class Worker implements AsyncDisposable {
  readonly #child: ChildProcess;

  constructor(file: string) {
    // Every agent is an open file, on both sides.
    const args = [`--nofile=${OPEN_FILES}`, process.execPath, join(import.meta.dirname, file)];
    this.#child = spawn('prlimit', args, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  }

  send(message: object): void {
    this.#child.send(message);
  }

  async next<Type extends ServerAnswer['type']>(type: Type): Promise<Extract<ServerAnswer, { type: Type }>> {
    for (;;) {
      const [message] = (await Promise.race([once(this.#child, 'message'), this.#ended()])) as [ServerAnswer];
      if (message.type === type) return message as Extract<ServerAnswer, { type: Type }>;
    }
  }

  async #ended(): Promise<never> {
    const [code] = (await once(this.#child, 'exit')) as [number | null];
    throw new Error(`a process of the benchmark ended with status ${code}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode !== null) return;
    const exited = once(this.#child, 'exit');
    this.#child.kill('SIGKILL');
    await exited;
  }
}
