import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { exampleFleetFiles, TestFleet, testNixSettings, eventually } from '@floe/testkit';
import { build } from 'esbuild';
import { WebSocketServer } from 'ws';
import { memoryOf, median, run, type Figure, type Memory, type Progress } from './measure.ts';

const ROOT = join(import.meta.dirname, '..');
const MIB = 1024 ** 2;
const ROUNDS = 3;
/** Long enough for a new process to settle, shorter than the server's limit for silence. */
const SETTLE_MS = 4_000;

const BARE_CLIENT = `
import { WebSocket } from 'ws';
const socket = new WebSocket(process.argv[2]);
socket.on('open', () => socket.send('hello'));
`;

/** A connected, idle agent, compared with a bare client of `ws`; both bundled. */
export async function benchMemory(progress: Progress): Promise<Figure[]> {
  await using stack = new AsyncDisposableStack();
  const dir = await mkdtemp(join(tmpdir(), 'floe-bench-memory-'));
  stack.defer(async () => await rm(dir, { recursive: true, force: true }));
  await run(process.execPath, [join(ROOT, 'scripts/bundle.ts'), join(dir, 'bundle')]);
  const client = join(dir, 'client.mjs');
  await writeFile(join(dir, 'client.ts'), BARE_CLIENT);
  const banner = { js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);" };
  await build({
    entryPoints: [join(dir, 'client.ts')],
    outfile: client,
    bundle: true,
    platform: 'node',
    format: 'esm',
    banner,
    nodePaths: [join(ROOT, 'node_modules')],
  });

  const server = stack.use(await listen());
  const fleet = stack.use(
    await TestFleet.create({ files: await exampleFleetFiles(), nixConfig: testNixSettings, agentMain: join(dir, 'bundle/floe-agent.mjs') }),
  );
  await fleet.startServer();

  const [floe, bare]: [Memory[], Memory[]] = [[], []];
  const { agent } = await fleet.addMachine('ada', { FLOE_LOG_LEVEL: 'info' });
  await eventually('the agent is on its first system', async () => ((await fleet.hostView('ada')).standing === 'in-sync' ? true : undefined));
  for (let round = 0; round < ROUNDS; round += 1) {
    progress(`memory, round ${round + 1} of ${ROUNDS}`);
    await agent.stop();
    agent.start();
    await using child = new Child(client, [server.url]);
    await delay(SETTLE_MS);
    floe.push(await memoryOf(agent.pid ?? 0));
    bare.push(await memoryOf(child.pid));
  }
  const figure = (what: string, pick: (memory: Memory) => number, aim: number | undefined): Figure => {
    const of = (memories: readonly Memory[]): number => median(memories.map(pick)) / MIB;
    return { what, unit: 'MiB', floe: of(floe), floor: of(bare), compare: 'difference', aim };
  };
  return [figure('(d) idle agent, resident', ({ rss }) => rss, 10), figure('(d) idle agent, private', (memory) => memory.private, 10)];
}

async function listen(): Promise<AsyncDisposable & { readonly url: string }> {
  const server: Server = createServer();
  const sockets = new WebSocketServer({ server });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (typeof address !== 'object' || address === null) throw new Error('no port');
  return {
    url: `ws://127.0.0.1:${address.port}`,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets.clients) socket.terminate();
      server.close();
      await once(server, 'close');
    },
  };
}

class Child implements AsyncDisposable {
  readonly #child: ChildProcess;

  constructor(file: string, args: readonly string[]) {
    this.#child = spawn(process.execPath, [file, ...args], { stdio: 'ignore' });
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const exited = once(this.#child, 'exit');
    this.#child.kill();
    await exited;
  }
}
