import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { NOTHING_OBSERVED, type HostName, type StorePath } from '@floe/model';
import {
  DIRECTIVE_TREE,
  helloBytes,
  HEARTBEAT_MS,
  PROTOCOL_VERSION,
  type AgentMessage,
  type Directive,
  type Envelope,
  type Observed,
  type ReleaseStatement,
  type Report,
  type ServerMessage,
} from '@floe/protocol';
import { signerFromPem } from '@floe/runtime';
import { WebSocket } from 'ws';
import { hostName, MACHINE_ID, type AgentsNumbers, type AgentsRequest, type AgentsStatus } from './agents-wire.ts';

// Thousands of agents in one process: they connect, answer each directive with a report, and connect again when they lost the server.

/** Handshakes at the same time, at the beginning. */
const CONCURRENT = 100;
/** After a loss each waits up to so long, as a real agent does at first. */
const RECONNECT_MS = 1_000;
/** A real agent gives up a connection that was not welcomed within this time. */
const HANDSHAKE_MS = 15_000;
const STATUS_MS = 50;

const [request] = (await once(process, 'message')) as [AgentsRequest];
const signer = signerFromPem('host', request.agentKey);
const isBare = request.kind === 'bare';
const bareReport = 'r'.repeat(request.reportBytes);

const counts = { connected: 0, directives: 0, unacknowledged: 0, acknowledged: 0, late: 0, directiveBytes: 0, reports: 0, reportBytes: 0 };

/** The server's own words, which the benchmark does not judge. */
function inside({ payload }: Pick<Envelope, 'payload'>): unknown {
  return JSON.parse(Buffer.from(payload, 'base64').toString('utf8'));
}

class Agent {
  readonly host: HostName;
  /** The number of the newest report, and of the newest that was acknowledged. */
  acknowledged = 0;
  #seq = 0;
  #epoch = 0;
  #sequence = 0;
  #toplevel: StorePath | null = null;
  #unsent: Report | undefined;

  constructor(index: number) {
    this.host = hostName(index);
  }

  /** Resolves when it is welcomed for the first time; stays connected then. */
  async connect(): Promise<void> {
    await new Promise<void>((resolve) => this.#open(resolve));
  }

  #open(welcomed: () => void): void {
    const socket = new WebSocket(`ws://127.0.0.1:${request.port}/agent`, { perMessageDeflate: false });
    let isConnected = false;
    const handshake = setTimeout(() => {
      counts.late += 1;
      socket.terminate();
    }, HANDSHAKE_MS);
    const beat = setInterval(() => isConnected && socket.ping(), HEARTBEAT_MS);
    const connected = (): void => {
      clearTimeout(handshake);
      isConnected = true;
      counts.connected += 1;
      welcomed();
    };
    socket.on('error', () => undefined);
    socket.on('close', () => {
      clearTimeout(handshake);
      clearInterval(beat);
      if (isConnected) counts.connected -= 1;
      void delay(Math.random() * RECONNECT_MS).then(() => this.#open(welcomed));
    });
    if (isBare) socket.on('open', connected);
    socket.on('message', (data: Buffer) => {
      if (isBare) this.#takeBare(socket, data);
      else this.#take(socket, data, connected);
    });
  }

  #takeBare(socket: WebSocket, data: Buffer): void {
    if (data.length < 100) {
      counts.acknowledged += 1;
      return;
    }
    counts.directives += 1;
    socket.send(bareReport);
  }

  #take(socket: WebSocket, data: Buffer, connected: () => void): void {
    const message = JSON.parse(data.toString('utf8')) as ServerMessage;
    const send = (said: AgentMessage): void => socket.send(JSON.stringify(said));
    switch (message.type) {
      case 'challenge': {
        const who = { host: this.host, machineId: MACHINE_ID, bootId: 'boot' };
        const state = this.#toplevel === null ? 'IDLE' : 'SUCCEEDED';
        send({
          type: 'hello',
          protocol: PROTOCOL_VERSION,
          agentVersion: '0',
          system: 'x86_64-linux',
          signature: signer.sign(helloBytes({ nonce: message.nonce, ...who })),
          capabilities: ['permit', 'stage', 'trial', 'urgent', 'once', 'submitted', 'rename', DIRECTIVE_TREE],
          ...who,
          observed: this.#observed(),
          state,
          toplevel: this.#toplevel,
          epoch: this.#epoch,
          sequence: this.#sequence,
          reportSeq: this.#seq,
        });
        break;
      }
      case 'welcome':
        connected();
        if (this.#unsent !== undefined && message.reportSeq >= this.#unsent.seq) this.#acknowledge(message.reportSeq);
        if (this.#unsent !== undefined) send(this.#unsent);
        break;
      case 'directive':
        counts.directives += 1;
        counts.directiveBytes += data.length;
        this.#follow(inside(message.envelope) as Directive);
        if (this.#unsent !== undefined) send(this.#unsent);
        break;
      case 'ack':
        this.#acknowledge(message.seq);
        break;
      case 'refusal':
        console.error(`${this.host} is refused: ${message.message}`);
        break;
      case 'go':
      case 'stage':
        break;
    }
  }

  #observed(): Observed {
    const toplevel = this.#toplevel;
    return toplevel === null ? NOTHING_OBSERVED : { current: toplevel, booted: toplevel, profile: { generation: this.#seq, toplevel } };
  }

  #follow({ epoch, release }: Directive): void {
    if (epoch <= this.#epoch) return;
    const { toplevel, sequence } = inside(release) as ReleaseStatement;
    this.#seq += 1;
    [this.#epoch, this.#sequence, this.#toplevel] = [epoch, sequence, toplevel];
    if (this.#unsent === undefined) counts.unacknowledged += 1;
    this.#unsent = {
      type: 'report',
      seq: this.#seq,
      epoch,
      state: 'SUCCEEDED',
      toplevel,
      observed: this.#observed(),
      timings: { downloadMs: 1, activateMs: 1 },
      at: Date.now(),
    };
    counts.reports += 1;
    counts.reportBytes += JSON.stringify(this.#unsent).length;
  }

  #acknowledge(seq: number): void {
    this.acknowledged = Math.max(this.acknowledged, seq);
    if (this.#unsent === undefined || seq < this.#unsent.seq) return;
    this.#unsent = undefined;
    counts.unacknowledged -= 1;
    counts.acknowledged += 1;
  }
}

const agents = Array.from({ length: request.count }, (_, index) => new Agent(index));

function tellStatus(): void {
  const { directiveBytes, reports, reportBytes, ...rest } = counts;
  const mean = (sum: number, of: number): number => (of === 0 ? 0 : Math.round(sum / of));
  process.send?.({
    type: 'status',
    ...rest,
    directiveBytes: mean(directiveBytes, counts.directives),
    reportBytes: mean(reportBytes, reports),
  } satisfies AgentsStatus);
}

process.on('message', (message: { readonly type: string }) => {
  if (message.type !== 'numbers') return;
  process.send?.({ type: 'numbers', acknowledged: agents.map(({ host, acknowledged }) => [host, acknowledged]) } satisfies AgentsNumbers);
});
process.on('disconnect', () => process.exit());
setInterval(tellStatus, STATUS_MS);

let next = 0;
await Promise.all(
  Array.from({ length: CONCURRENT }, async () => {
    for (let agent = agents[next++]; agent !== undefined; agent = agents[next++]) await agent.connect();
  }),
);
