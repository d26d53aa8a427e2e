import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { AgentMessage, parseFrame, ServerMessage, type SealedDirective } from '@floe/protocol';
import { WebSocket, WebSocketServer } from 'ws';

/** Somebody between a machine and its server, who passes on what both say, remembers it, and says things of their own. */
export class Meddler implements AsyncDisposable {
  readonly #http: Server;
  readonly #server: WebSocketServer;
  readonly #address: string;
  #machine: WebSocket | undefined;
  /** Of the newest connection. */
  nonce = '';
  readonly directives: SealedDirective[] = [];
  /** Codes of what the machine refused. */
  readonly refusals: string[] = [];
  connections = 0;

  private constructor(http: Server, address: string) {
    this.#http = http;
    this.#server = new WebSocketServer({ server: http });
    this.#address = address;
  }

  static async start(serverUrl: string, address: string): Promise<Meddler> {
    const http = createServer((request, response) => void passOn(serverUrl, request, response));
    const meddler = new Meddler(http, address);
    meddler.#server.on('connection', (machine) => meddler.#connect(machine, serverUrl));
    http.listen(0, address);
    await once(http, 'listening');
    return meddler;
  }

  get url(): string {
    return `http://${this.#address}:${(this.#http.address() as AddressInfo).port}`;
  }

  #connect(machine: WebSocket, serverUrl: string): void {
    const upstream = new WebSocket(`${serverUrl.replace('http', 'ws')}/agent`);
    const waiting: string[] = [];
    upstream.on('open', () => {
      for (const frame of waiting.splice(0)) upstream.send(frame);
    });
    upstream.on('message', (data: Buffer) => {
      const frame = data.toString('utf8');
      const parsed = parseFrame(ServerMessage, frame);
      if (parsed.kind === 'parsed' && parsed.message.type === 'challenge') this.nonce = parsed.message.nonce;
      if (parsed.kind === 'parsed' && parsed.message.type === 'directive') this.directives.push(parsed.message.envelope);
      if (parsed.kind === 'parsed' && parsed.message.type === 'welcome') {
        this.#machine = machine;
        this.connections += 1;
      }
      machine.send(frame);
    });
    machine.on('message', (data: Buffer) => {
      const frame = data.toString('utf8');
      const parsed = parseFrame(AgentMessage, frame);
      if (parsed.kind === 'parsed' && parsed.message.type === 'report' && parsed.message.state === 'REJECTED') {
        this.refusals.push(parsed.message.detail?.code ?? '');
      }
      if (upstream.readyState === WebSocket.OPEN) upstream.send(frame);
      else waiting.push(frame);
    });
    for (const [one, other] of [
      [machine, upstream],
      [upstream, machine],
    ] as const) {
      one.on('close', () => other.close());
      one.on('error', () => other.terminate());
    }
  }

  /** Says it to the machine, on its newest connection. */
  inject(envelope: SealedDirective): void {
    this.#machine?.send(JSON.stringify({ type: 'directive', envelope }));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const client of this.#server.clients) client.terminate();
    this.#http.closeAllConnections();
    await new Promise<void>((resolve) => this.#http.close(() => resolve()));
  }
}

/** A request that is none of the sockets': the enrolment. */
async function passOn(serverUrl: string, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const answer = await fetch(`${serverUrl}${request.url ?? '/'}`, {
    method: request.method ?? 'POST',
    headers: { 'content-type': request.headers['content-type'] ?? 'application/json' },
    body: await text(request),
  });
  response.writeHead(answer.status, { 'content-type': answer.headers.get('content-type') ?? 'application/json' }).end(await answer.text());
}
