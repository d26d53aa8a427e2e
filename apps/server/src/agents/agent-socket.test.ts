import { EventEmitter } from 'node:events';
import { systemClock } from '@floe/runtime';
import type { WebSocket } from 'ws';
import { describe, expect, test } from 'vitest';
import { AgentSocket } from './agent-socket.ts';

/** A WebSocket that counts what it is told. */
class CountingSocket extends EventEmitter {
  readonly OPEN = 1;
  readonly bufferedAmount = 0;
  readyState = 1;
  pings = 0;
  pause(): void {}
  resume(): void {}
  ping(): void {
    this.pings += 1;
  }
  pong(): void {}
  close(): void {
    this.readyState = 2;
  }
  terminate(): void {
    this.readyState = 3;
    this.emit('close', 1006);
  }
}

function connected() {
  const socket = new CountingSocket();
  // The part of it that is used.
  return { socket, wire: new AgentSocket(socket as unknown as WebSocket, systemClock) };
}

describe('heartbeats', () => {
  test('an agent that pings as often is not pinged', () => {
    const { socket, wire } = connected();
    for (let beat = 0; beat < 20; beat += 1) {
      socket.emit('ping', Buffer.alloc(0));
      wire.beat();
    }
    expect(socket.pings).toBe(0);
    expect(wire.isOpen).toBe(true);
  });

  test('one that falls silent is pinged, and cut after three beats', () => {
    const { socket, wire } = connected();
    wire.beat();
    expect(socket.pings).toBe(0);
    wire.beat();
    wire.beat();
    expect(socket.pings).toBe(2);
    expect(wire.isOpen).toBe(true);
    socket.emit('pong');
    for (let beat = 0; beat < 3; beat += 1) wire.beat();
    expect(wire.isOpen).toBe(true);
    wire.beat();
    expect(wire.isOpen).toBe(false);
  });

  test('one whose message is handled is pinged, because its own pings are not read meanwhile, and not cut', async () => {
    const { socket, wire } = connected();
    const { promise, resolve } = Promise.withResolvers<void>();
    wire.read(
      async () => await promise,
      () => undefined,
    );
    socket.emit('message', Buffer.from('{}'), false);
    for (let beat = 0; beat < 10; beat += 1) wire.beat();
    expect(socket.pings).toBe(10);
    expect(wire.isOpen).toBe(true);
    resolve();
    await promise;
  });
});

describe('who waits for the end of a connection hears of it', () => {
  const ends: Readonly<Record<string, (wire: AgentSocket, socket: CountingSocket) => void>> = {
    'it is closed': (wire) => wire.close(1012, 'restarting'),
    'it is cut': (wire) => wire.cut(),
    'the other side ends it': (_wire, socket) => socket.terminate(),
    'the other side is silent': (wire) => {
      for (let beat = 0; beat < 4; beat += 1) wire.beat();
    },
  };
  test.each(Object.entries(ends))('%s', async (_how, end) => {
    const { socket, wire } = connected();
    const before = wire.closing;
    let heard = 0;
    before.addEventListener('abort', () => (heard += 1));
    const slept = wire.sleep(3600_000);
    expect([before.aborted, wire.isOpen]).toEqual([false, true]);
    end(wire, socket);
    await slept;
    expect([before.aborted, heard, wire.isOpen]).toEqual([true, 1, false]);
    // Also who asks afterwards, and of one that nobody asked before.
    expect(wire.closing.aborted).toBe(true);
    const other = connected();
    end(other.wire, other.socket);
    expect([other.wire.isOpen, other.wire.closing.aborted]).toEqual([false, true]);
    socket.terminate();
    other.socket.terminate();
    await Promise.all([wire.closed, other.wire.closed]);
  });
});
