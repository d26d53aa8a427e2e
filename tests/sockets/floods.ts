import { connect, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { TestAgent, type TestHost } from '../../apps/server/src/test/test-server.ts';
import { UPGRADE } from './wire-script.ts';

/** A text frame; the key of its mask is zero, so that it reads as it is. */
function textFrame(text: string): Buffer {
  const payload = Buffer.from(text);
  const size = payload.length;
  const head =
    size < 126
      ? [0x81, 0x80 | size]
      : size < 65_536
        ? [0x81, 0xfe, size >> 8, size & 255]
        : [0x81, 0xff, 0, 0, 0, 0, 0, size >> 16, (size >> 8) & 255, size & 255];
  return Buffer.concat([Buffer.from(head), Buffer.alloc(4), payload]);
}

async function written(socket: Socket, bytes: Buffer): Promise<void> {
  if (!socket.write(bytes) && !socket.destroyed)
    await new Promise<void>((resolve) => {
      socket.once('drain', resolve);
      socket.once('close', resolve);
    });
}

/** Hellos without end, from a stranger. */
async function hellos(port: number, n: number): Promise<void> {
  const socket = connect({ port, host: '127.0.0.1', localAddress: `127.0.5.${n + 1}` });
  socket.on('error', () => undefined);
  socket.resume();
  await written(socket, Buffer.concat([UPGRADE, ...Array<Buffer>(20_000).fill(textFrame('{"type":"hello"}'))]));
  socket.destroy();
}

/** What a welcomed host floods with; each text `times`, on as many connections as it takes. */
async function fromHost(url: string, host: TestHost, texts: readonly string[], times: number, signal: AbortSignal): Promise<void> {
  for (let sent = 0; sent < times && !signal.aborted;) {
    await using agent = new TestAgent(url);
    await agent.hello(host);
    await agent.next('welcome').catch(() => undefined);
    for (; sent < times && agent.socket.readyState === agent.socket.OPEN; sent += 1) {
      agent.socket.send(texts[sent % texts.length] ?? '');
      if (sent % 500 === 499) await delay(1);
    }
    await Promise.race([agent.closed, delay(300)]);
  }
}

/** 120,000 items of which each is wrong. */
const WRONG = JSON.stringify({ type: 'report', log: [] }).replace('[]', `[${'1,'.repeat(119_000)}1]`);

export interface Flood {
  readonly name: string;
  readonly run: (to: { readonly url: string; readonly port: number; readonly host: TestHost; readonly signal: AbortSignal }) => Promise<void>;
}

export const floods: readonly Flood[] = [
  { name: '4 sockets with 20,000 hellos', run: async ({ port }) => void (await Promise.all([0, 1, 2, 3].map(async (n) => await hellos(port, n)))) },
  { name: '30,000 ready', run: async ({ url, host, signal }) => await fromHost(url, host, ['{"type":"ready","epoch":1}'], 30_000, signal) },
  {
    name: '30,000 progress',
    run: async ({ url, host, signal }) =>
      await fromHost(url, host, ['{"type":"progress","epoch":1,"doneBytes":1,"expectedBytes":2}'], 30_000, signal),
  },
  { name: 'hello after hello', run: async ({ url, host, signal }) => await fromHost(url, host, ['{"type":"hello"}'], 1_000, signal) },
  { name: 'frames of no kind', run: async ({ url, host, signal }) => await fromHost(url, host, ['{"type":"x"}', 'null', '{', '[]'], 1_000, signal) },
  { name: '20 frames of 240 kB, all wrong', run: async ({ url, host, signal }) => await fromHost(url, host, [WRONG], 20, signal) },
];
