import { once } from 'node:events';
import { NOTHING_OBSERVED, type StorePath } from '@floe/model';
import { helloBytes, HostName, PROTOCOL_VERSION, type AgentMessage, type ServerMessage } from '@floe/protocol';
import { signerFromPem } from '@floe/runtime';
import * as v from 'valibot';
import { WebSocket } from 'ws';
import { hostName, MACHINE_ID, REPORT_BYTES, type AgentsRequest } from './agents-wire.ts';

// Thousands of agents in one process: they connect, and answer their directives.

const TOPLEVEL = `/nix/store/${'a'.repeat(32)}-nixos-system` as StorePath;
/** Handshakes at the same time. */
const CONCURRENT = 100;

const [request] = (await once(process, 'message')) as [AgentsRequest];
const signer = signerFromPem('host', request.agentKey);

async function connect(index: number): Promise<void> {
  const host = v.parse(HostName, hostName(index));
  const socket = new WebSocket(`ws://127.0.0.1:${request.port}/agent`, { perMessageDeflate: false });
  const send = (message: AgentMessage): void => socket.send(JSON.stringify(message));
  await new Promise<void>((resolve, reject) => {
    socket.on('error', reject);
    if (request.kind === 'bare') {
      socket.on('open', () => resolve());
      socket.on('message', (data: Buffer) => {
        if (data.length > 100) socket.send('r'.repeat(REPORT_BYTES));
      });
      return;
    }
    socket.on('message', (data: Buffer) => {
      const message = JSON.parse(data.toString('utf8')) as ServerMessage;
      if (message.type === 'challenge') {
        const who = { host, machineId: MACHINE_ID, bootId: 'boot' };
        const signature = signer.sign(helloBytes({ nonce: message.nonce, ...who }));
        const state = { observed: NOTHING_OBSERVED, state: 'IDLE', toplevel: null, epoch: 0, sequence: 0, reportSeq: 0 } as const;
        send({ type: 'hello', protocol: PROTOCOL_VERSION, agentVersion: '0', system: 'x86_64-linux', signature, capabilities: [], ...who, ...state });
      } else if (message.type === 'welcome') {
        resolve();
      } else if (message.type === 'directive') {
        const observed = { current: TOPLEVEL, booted: TOPLEVEL, profile: { generation: 1, toplevel: TOPLEVEL } };
        send({
          type: 'report',
          seq: 1,
          epoch: 1,
          state: 'SUCCEEDED',
          toplevel: TOPLEVEL,
          observed,
          timings: { downloadMs: 1, activateMs: 1 },
          at: Date.now(),
        });
      } else if (message.type === 'refusal') {
        reject(new Error(message.message));
      }
    });
  });
}

let next = 0;
await Promise.all(
  Array.from({ length: CONCURRENT }, async () => {
    while (next < request.count) await connect(next++);
  }),
);
