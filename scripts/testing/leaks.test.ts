import { createServer } from 'node:http';
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { describe, expect, it } from 'vitest';
import { watchLeaks } from './leaks.ts';

describe('watchLeaks', () => {
  it('finds nothing when everything was ended', async () => {
    const leaks = watchLeaks();
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    server.close();
    expect(await leaks.settle()).toEqual([]);
  });

  it('names a server and a timer that still run', async () => {
    const leaks = watchLeaks();
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const timer = setTimeout(() => undefined, 60_000);
    const left = await leaks.settle(0);
    clearTimeout(timer);
    server.close();
    expect(left).toContain('1 × TCPServerWrap');
    expect(left.some((line) => line.endsWith('Timeout'))).toBe(true);
  });

  it('names a worker thread that still runs', async () => {
    const leaks = watchLeaks();
    const worker = new Worker('setInterval(() => {}, 1000)', { eval: true });
    await once(worker, 'online');
    const left = await leaks.settle(0);
    await worker.terminate();
    expect(left).toContain('1 × Worker');
    expect(await leaks.settle()).toEqual([]);
  });
});
