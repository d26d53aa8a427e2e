import { once } from 'node:events';
import { createServer } from 'node:http';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { WebSocketServer, type WebSocket } from 'ws';
import { AGENT_SOCKET_OPTIONS } from '../apps/server/src/agents/hub.ts';
import type { BareRound, ServerAnswer } from './agents-wire.ts';

// The floor of what a server does with agents: bare `ws` sends a text to each, takes one from each, and stores nothing.

const SEND_BEFORE_YIELD = 100;
const BEAT_MS = 15_000;

const open = new Set<WebSocket>();
const sockets = new WebSocketServer({ ...AGENT_SOCKET_OPTIONS, autoPong: true });
const server = createServer();
server.on('upgrade', (upgrade, raw, head) =>
  sockets.handleUpgrade(upgrade, raw, head, (socket) => {
    open.add(socket);
    socket.on('close', () => void open.delete(socket));
    socket.on('error', () => undefined);
    socket.on('message', () => socket.send('{"type":"ack","seq":1}'));
  }),
);
setInterval(() => {
  for (const socket of open) socket.ping();
}, BEAT_MS);

async function round({ directiveBytes }: BareRound): Promise<void> {
  const directive = 'd'.repeat(directiveBytes);
  for (const [index, socket] of [...open].entries()) {
    socket.send(directive);
    if (index % SEND_BEFORE_YIELD === 0) await nextTurn();
  }
}

process.on('message', (message: BareRound) => {
  if (message.type === 'round') void round(message);
});
server.listen(0, '127.0.0.1', 16_384);
await once(server, 'listening');
const address = server.address();
if (typeof address !== 'object' || address === null) throw new Error('no port');
process.send?.({ type: 'listening', port: address.port } satisfies ServerAnswer);
