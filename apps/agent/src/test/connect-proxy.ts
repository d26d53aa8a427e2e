import { createServer, type Server } from 'node:http';
import { connect, type AddressInfo, type Socket } from 'node:net';

/** A forward proxy: CONNECT, and nothing else. */
export class ConnectProxy implements AsyncDisposable {
  readonly #http: Server;
  readonly #sockets = new Set<Socket>();
  /** Where it was asked to connect to. */
  readonly targets: string[] = [];
  readonly logins: (string | undefined)[] = [];
  /** What CONNECT is answered with; 'silence': nothing. */
  answer: 'connect' | 'refuse' | 'silence' = 'connect';

  private constructor(http: Server) {
    this.#http = http;
    http.on('connection', (socket) => this.#keep(socket));
    http.on('connect', (request, socket: Socket) => {
      this.targets.push(request.url ?? '');
      this.logins.push(request.headers['proxy-authorization']);
      if (this.answer === 'silence') {
        // Only who reads sees an end.
        socket.resume();
        return;
      }
      if (this.answer === 'refuse') {
        socket.end('HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n');
        return;
      }
      const { hostname, port } = new URL(`http://${request.url}`);
      const there = connect(Number(port || 80), hostname, () => {
        socket.write('HTTP/1.1 200 Connection established\r\n\r\n');
        socket.pipe(there).pipe(socket);
      });
      this.#keep(there);
      there.on('close', () => socket.destroy());
      socket.on('close', () => there.destroy());
    });
  }

  static async start(): Promise<ConnectProxy> {
    const http = createServer((_request, response) => response.writeHead(405).end());
    await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve));
    return new ConnectProxy(http);
  }

  get address(): string {
    return `127.0.0.1:${(this.#http.address() as AddressInfo).port}`;
  }

  /** How many connections are open, on both sides. */
  get openSockets(): number {
    return this.#sockets.size;
  }

  #keep(socket: Socket): void {
    this.#sockets.add(socket);
    socket.on('error', () => undefined);
    socket.on('end', () => socket.destroySoon());
    socket.on('close', () => this.#sockets.delete(socket));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise<void>((resolve) => this.#http.close(() => resolve()));
  }
}
