import { connect } from 'node:net';
import type { FleetEvent, FleetView, HostView } from '@floe/protocol';
import { serve, type HttpBindings } from '@hono/node-server';
import { fleetView, hostView } from '@floe/views/fixtures';
import { Hono } from 'hono';
import { streamSSE } from 'hono/streaming';
import { afterEach, describe, expect, it } from 'vitest';
import { FleetFeed } from '../feed.ts';
import { sendFleetEvents, type FleetEventsLimits } from './fleet-events.ts';

const ended: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const end of ended.splice(0).toReversed()) await end();
});

/** A feed, and how many listen to it. */
function watchedFeed() {
  const feed = new FleetFeed(() => 1);
  feed.caughtUp();
  const listeners = new Set<(event: FleetEvent) => void>();
  const subscribe = feed.subscribe.bind(feed);
  feed.subscribe = (listener) => {
    const subscription = subscribe(listener);
    listeners.add(listener);
    return {
      [Symbol.dispose]: () => {
        subscription[Symbol.dispose]();
        listeners.delete(listener);
      },
    };
  };
  return { feed, listeners };
}

async function startServer(
  feed: FleetFeed,
  snapshot: FleetView,
  limits: FleetEventsLimits,
  isAllowed = async () => await Promise.resolve(true),
): Promise<number> {
  const app = new Hono<{ Bindings: HttpBindings }>();
  app.get('/', (c) =>
    streamSSE(c, async (stream) => {
      const cut = () => c.env.outgoing.destroy();
      await sendFleetEvents(stream, { feed, snapshot: async () => await Promise.resolve(JSON.stringify(snapshot)), isAllowed, cut }, limits);
    }),
  );
  return await new Promise((resolve) => {
    const server = serve({ fetch: app.fetch, port: 0, hostname: '127.0.0.1' }, ({ port }) => resolve(port));
    ended.push(async () => {
      if ('closeAllConnections' in server) server.closeAllConnections();
      await new Promise((done) => server.close(done));
    });
  });
}

/** Too much for what the kernel holds between two sockets. */
function large(count: number): HostView {
  return { ...hostView('ws1'), problem: `${count} ${'x'.repeat(100_000)}` };
}

it('a reader who may not see it any more is told no more', async () => {
  const { feed, listeners } = watchedFeed();
  let isAllowed = true;
  const port = await startServer(feed, fleetView(), { maxBehind: 20, pingMs: 20, stalledMs: 5_000 }, async () => await Promise.resolve(isAllowed));
  const answer = await fetch(`http://127.0.0.1:${port}/`);
  isAllowed = false;
  expect(await answer.text()).toContain('event: snapshot');
  expect(listeners.size).toBe(0);
});

describe('a reader that never reads', () => {
  it('is cut off, however much happens meanwhile, and holds nothing', async () => {
    const { feed, listeners } = watchedFeed();
    const port = await startServer(feed, fleetView(), { maxBehind: 20, pingMs: 50, stalledMs: 300 });
    const socket = connect(port, '127.0.0.1');
    ended.push(() => void socket.destroy());
    socket.on('error', () => undefined);
    socket.pause();
    socket.write('GET / HTTP/1.1\r\nhost: a\r\n\r\n');
    while (listeners.size === 0) await new Promise(setImmediate);
    // 30 MB: the kernel holds some of it, and the queue no more than its bound.
    for (let count = 0; count < 300; count += 1) {
      feed.show({ type: 'host', host: large(count) });
      await new Promise(setImmediate);
    }
    await expect.poll(() => listeners.size, { timeout: 20_000 }).toBe(0);
  });
});

describe('a reader that reads', () => {
  it('gets the snapshot whole, and each change in order', async () => {
    const { feed, listeners } = watchedFeed();
    const snapshot = { ...fleetView(), hosts: [large(0)] };
    const port = await startServer(feed, snapshot, { maxBehind: 1_000, pingMs: 50, stalledMs: 10_000 });
    const stop = new AbortController();
    ended.push(() => stop.abort());
    const response = await fetch(`http://127.0.0.1:${port}/`, { signal: stop.signal });
    while (listeners.size === 0) await new Promise(setImmediate);
    for (let count = 1; count <= 50; count += 1) feed.show({ type: 'host', host: large(count) });
    const seen: string[] = [];
    let text = '';
    const decoder = new TextDecoder();
    for await (const chunk of response.body ?? []) {
      text += decoder.decode(chunk, { stream: true });
      const parts = text.split('\n\n');
      text = parts.pop() ?? '';
      for (const part of parts) seen.push(part);
      if (seen.length >= 51) break;
    }
    const [first, ...changes] = seen.filter((part) => !part.startsWith(':'));
    expect(first).toBe(`event: snapshot\ndata: ${JSON.stringify(snapshot)}`);
    expect(changes.map((part) => /"problem":"(\d+) /.exec(part)?.[1])).toEqual(Array.from({ length: 50 }, (_, index) => String(index + 1)));
  });

  it('that fell too far behind is ended, and comes back to a snapshot', async () => {
    const { feed, listeners } = watchedFeed();
    const port = await startServer(feed, fleetView(), { maxBehind: 20, pingMs: 50, stalledMs: 10_000 });
    const response = await fetch(`http://127.0.0.1:${port}/`);
    while (listeners.size === 0) await new Promise(setImmediate);
    for (let count = 0; count < 50; count += 1) feed.show({ type: 'host', host: large(count) });
    expect(await response.text()).toContain('event: snapshot');
    await expect.poll(() => listeners.size).toBe(0);
  });
});

describe('the feed', () => {
  it('keeps one view of a revision, not one of each push', () => {
    const feed = new FleetFeed(() => 1);
    feed.caughtUp();
    const text = 'x'.repeat(1_000_000);
    globalThis.gc?.();
    const before = process.memoryUsage().heapUsed;
    for (let sequence = 1; sequence <= 200; sequence += 1) {
      const { revision } = fleetView();
      if (revision !== null) feed.show({ type: 'revision', revision: { ...revision, sequence, subject: `${sequence} ${text}` } });
    }
    globalThis.gc?.();
    expect(process.memoryUsage().heapUsed - before).toBeLessThan(150_000_000);
    expect(feed.version).toBe(201);
  });
});
