import { createServer, request as send, type Server } from 'node:http';
import { connect, createServer as createSocketServer, type AddressInfo, type Server as SocketServer, type Socket } from 'node:net';
import { TLSSocket } from 'node:tls';

/** Who answers a machine: whom it asks, or somebody else in their place. */
export type Answer =
  | 'whom-it-asks'
  /** A captive portal, in its two ways. */
  | 'redirect'
  | 'page'
  /** A proxy that does not get through. */
  | 'bad-gateway'
  /** A captive portal that drops what is encrypted, and redirects what is not. */
  | 'drops-https';

interface KeyPair {
  readonly key: string;
  readonly cert: string;
}

/** By which certificate the machines know whom they ask, and by which one somebody else. */
export interface TlsNames {
  readonly itself: KeyPair;
  readonly stranger: KeyPair;
}

interface Lane {
  readonly pass: (socket: Socket, from: string) => void;
  readonly whoIs?: TlsNames | undefined;
}

/** What the login page of the portals is called. */
export const LOGIN_HOST = 'login.hotel.test';

/**
 * The road from the machines to the server and its cache, over all addresses of this machine. Somebody else can answer on it: to one machine, or at
 * one address.
 */
export class Road implements AsyncDisposable {
  readonly #lanes: SocketServer[] = [];
  readonly #strangers: Readonly<Record<Exclude<Answer, 'whom-it-asks'>, Server>>;
  readonly #sockets = new Map<Socket, string>();
  readonly #answers = new Map<string, Answer>();
  readonly #others = new Set<string>();

  constructor() {
    const redirect = createServer((request, response) => {
      response.writeHead(302, { location: `http://${LOGIN_HOST}/?to=${encodeURIComponent(request.url ?? '')}` }).end();
    });
    this.#strangers = {
      redirect,
      'drops-https': redirect,
      page: createServer((_request, response) => response.setHeader('content-type', 'text/html').end('<title>Welcome to our Wi-Fi</title>')),
      'bad-gateway': createServer((_request, response) => response.writeHead(502).end('Bad Gateway')),
    };
    this.#strangers['bad-gateway'].on('connect', (_request, socket: Socket) => socket.end('HTTP/1.1 502 Bad Gateway\r\n\r\n'));
  }

  /** A lane to somebody, with TLS by `whoIs` in between; returns its port. */
  async openTo(url: string, whoIs?: TlsNames): Promise<number> {
    const { hostname, port } = new URL(url);
    return await this.#open({
      whoIs,
      pass: (socket, from) => {
        const there = connect(Number(port), hostname);
        socket.pipe(there).pipe(socket);
        this.#keep(there, from);
        there.on('close', () => socket.destroy());
        socket.on('close', () => there.destroy());
      },
    });
  }

  /** A lane on which nobody is but strangers, without TLS. */
  async openPlain(port: number, address: string): Promise<void> {
    await this.#open({ pass: (socket) => socket.destroy() }, port, address);
  }

  /** A lane to a proxy, for which every name is this machine's; returns its port. */
  async openProxy(): Promise<number> {
    const proxy = createServer((request, response) => {
      const { method, headers } = request;
      const { port, pathname, search } = new URL(request.url ?? '');
      const onward = send({ agent: false, port, path: `${pathname}${search}`, method, headers }, (answer) => {
        response.writeHead(answer.statusCode ?? 502, answer.headers);
        answer.pipe(response);
      });
      onward.on('error', () => response.destroy());
      request.pipe(onward);
    });
    proxy.on('connect', (request, socket: Socket) => {
      const there = connect(Number(new URL(`http://${request.url}`).port), 'localhost', () => {
        socket.write('HTTP/1.1 200 Connection established\r\n\r\n');
        socket.pipe(there).pipe(socket);
      });
      this.#keep(there, plain(socket.remoteAddress));
      there.on('close', () => socket.destroy());
      socket.on('close', () => there.destroy());
    });
    return await this.#open({ pass: (socket) => proxy.emit('connection', socket) });
  }

  /** From now on; what the machine had open is cut, as on the way to another network. */
  leadTo(machine: string, answer: Answer): void {
    this.#answers.set(machine, answer);
    for (const [socket, from] of this.#sockets) if (from === machine) socket.destroy();
  }

  /** Another host has this address of this machine. */
  giveAway(address: string): void {
    this.#others.add(address);
  }

  async #open({ pass, whoIs }: Lane, port = 0, address = '::'): Promise<number> {
    const lane = createSocketServer((raw) => {
      const from = plain(raw.remoteAddress);
      const answer = this.#others.has(plain(raw.localAddress)) ? 'page' : (this.#answers.get(from) ?? 'whom-it-asks');
      this.#keep(raw, from);
      if (whoIs !== undefined && answer === 'drops-https') {
        raw.destroy();
        return;
      }
      const isReal = answer === 'whom-it-asks';
      const socket = whoIs === undefined ? raw : new TLSSocket(raw, { isServer: true, ...(isReal ? whoIs.itself : whoIs.stranger) });
      if (socket !== raw) this.#keep(socket, from);
      if (isReal) pass(socket, from);
      else this.#strangers[answer].emit('connection', socket);
    });
    this.#lanes.push(lane);
    await new Promise<void>((resolve) => lane.listen(port, address, resolve));
    return (lane.address() as AddressInfo).port;
  }

  #keep(socket: Socket, from: string): void {
    this.#sockets.set(socket, from);
    socket.on('error', () => undefined);
    socket.on('close', () => this.#sockets.delete(socket));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets.keys()) socket.destroy();
    await Promise.all(this.#lanes.map(async (lane) => await new Promise((resolve) => lane.close(resolve))));
  }
}

/** Of an address of IPv4 that came over a socket for both. */
function plain(address = ''): string {
  return address.replace(/^::ffff:/, '');
}
