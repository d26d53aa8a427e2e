import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { AgentMessage, parseFrame, type Hello, type Report, type SealedDirective, type ServerMessage } from '@floe/protocol';
import { WebSocketServer, type WebSocket } from 'ws';

type Kind = AgentMessage['type'];

/** The server's side of one socket, as a test plays it. */
export class TestPeer {
  readonly socket: WebSocket;
  readonly nonce: string;
  readonly received: AgentMessage[] = [];
  closeCode: number | undefined;

  constructor(socket: WebSocket, nonce: string) {
    this.socket = socket;
    this.nonce = nonce;
  }

  send(message: ServerMessage | string): void {
    this.socket.send(typeof message === 'string' ? message : JSON.stringify(message));
  }

  of<K extends Kind>(type: K): Extract<AgentMessage, { type: K }>[] {
    return this.received.filter((message): message is Extract<AgentMessage, { type: K }> => message.type === type);
  }

  get reports(): Report[] {
    return this.of('report');
  }
}

/** A server that greets every agent, and otherwise does as the test says. Real sockets on a port of the loopback. */
export class TestServer implements AsyncDisposable {
  readonly #http: Server;
  readonly #sockets: WebSocketServer;
  readonly peers: TestPeer[] = [];
  readonly enrolments: unknown[] = [];
  /** What a hello is answered with. */
  onHello: (peer: TestPeer, hello: Hello) => void = (peer) => peer.send({ type: 'welcome', serverTime: Date.now(), reportSeq: 0 });
  onMessage: (peer: TestPeer, message: AgentMessage) => void = (peer, message) => {
    if (message.type === 'report') peer.send({ type: 'ack', seq: message.seq });
    if (message.type === 'ready') peer.send({ type: 'go', epoch: message.epoch, leaseMs: 60_000 });
  };
  onEnrol: (body: unknown) => { status: number; body: unknown } = (body) => ({ status: 201, body: { host: (body as { host: string }).host } });
  /** False: sockets are accepted, and nothing is said. */
  isTalking = true;

  #offered: ((nonce: string) => SealedDirective) | undefined;

  private constructor(http: Server) {
    this.#http = http;
    this.#sockets = new WebSocketServer({ server: http, path: '/agent' });
    this.#sockets.on('connection', (socket) => this.#accept(socket));
  }

  static async start(port = 0): Promise<TestServer> {
    const box: { server?: TestServer } = {};
    const http = createServer((request, response) => box.server?.answer(request, response));
    await new Promise<void>((resolve) => http.listen(port, '127.0.0.1', resolve));
    const server = new TestServer(http);
    box.server = server;
    return server;
  }

  get port(): number {
    return (this.#http.address() as AddressInfo).port;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** The agent's newest connection that said hello. */
  get peer(): TestPeer | undefined {
    return this.peers.findLast((peer) => peer.of('hello').length > 0);
  }

  /** All reports of all connections, once each, in their order. */
  get reports(): Report[] {
    const bySeq = new Map(this.peers.flatMap(({ reports }) => reports).map((report) => [report.seq, report]));
    return [...bySeq.values()].toSorted((one, other) => one.seq - other.seq);
  }

  /** Says it now, and once more on every new connection, as the server does. */
  offer(envelope: (nonce: string) => SealedDirective): void {
    const { peer } = this;
    this.#offered = envelope;
    peer?.send({ type: 'directive', envelope: envelope(peer.nonce) });
  }

  #accept(socket: WebSocket): void {
    if (!this.isTalking) return;
    const peer = new TestPeer(socket, `nonce-${this.peers.length}-0123456789`);
    this.peers.push(peer);
    socket.on('error', () => undefined);
    socket.on('close', (code) => (peer.closeCode = code));
    socket.on('message', (data) => {
      const parsed = parseFrame(AgentMessage, Buffer.isBuffer(data) ? data.toString('utf8') : '');
      if (parsed.kind === 'malformed') throw new Error(`the agent sent: ${parsed.why}`);
      peer.received.push(parsed.message);
      if (parsed.message.type === 'hello') {
        this.onHello(peer, parsed.message);
        if (this.#offered !== undefined && socket.readyState === socket.OPEN) peer.send({ type: 'directive', envelope: this.#offered(peer.nonce) });
      } else this.onMessage(peer, parsed.message);
    });
    peer.send({ type: 'challenge', nonce: peer.nonce });
  }

  answer(request: IncomingMessage, response: ServerResponse): void {
    if (request.method === 'GET') {
      response.writeHead(404).end();
      return;
    }
    let text = '';
    request.on('data', (chunk: Buffer) => (text += chunk.toString('utf8')));
    request.on('end', () => {
      const body: unknown = JSON.parse(text);
      this.enrolments.push(body);
      const answer = this.onEnrol(body);
      response.writeHead(answer.status, { 'content-type': 'application/json' }).end(JSON.stringify(answer.body));
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets.clients) socket.terminate();
    this.#sockets.close();
    this.#http.closeAllConnections();
    await new Promise<void>((resolve) => this.#http.close(() => resolve()));
  }
}
