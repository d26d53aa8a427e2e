import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join, normalize } from 'node:path';
import { pipeline } from 'node:stream';

/** The server's cache of files, served by somebody else: it stays when the server goes, and goes when a test says so. */
export class CacheServer implements AsyncDisposable {
  readonly #folder: string;
  readonly #address: string;
  #http: Server | undefined;
  #port = 0;
  /** What was asked for, in order. */
  readonly requests: string[] = [];

  constructor(folder: string, address: string) {
    this.#folder = folder;
    this.#address = address;
  }

  get url(): string {
    return `http://${this.#address}:${this.#port}`;
  }

  async start(): Promise<void> {
    const http = createServer((request, response) => {
      const path = normalize(`/${request.url ?? ''}`);
      this.requests.push(path);
      const file = join(this.#folder, path);
      stat(file).then(
        ({ size }) => {
          response.writeHead(200, { 'content-length': size });
          pipeline(createReadStream(file), response, () => undefined);
        },
        () => response.writeHead(404).end(),
      );
    });
    await new Promise<void>((resolve) => http.listen(this.#port, this.#address, resolve));
    this.#http = http;
    this.#port = (http.address() as AddressInfo).port;
  }

  async stop(): Promise<void> {
    const http = this.#http;
    this.#http = undefined;
    http?.closeAllConnections();
    await new Promise<void>((resolve) => (http === undefined ? resolve() : http.close(() => resolve())));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }
}
