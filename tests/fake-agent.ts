import { once } from 'node:events';
import type { Hello, ServerMessage } from '@floe/protocol';
import { helloOf, type HostIdentity } from '@floe/testkit';
import { WebSocket } from 'ws';

/** A connection of a client that speaks the agents' protocol, or violates it. */
export class FakeAgent implements AsyncDisposable {
  readonly messages: ServerMessage[] = [];
  readonly closed: Promise<{ readonly code: number; readonly reason: string }>;
  readonly #socket: WebSocket;
  readonly #waiting = new Set<() => void>();

  private constructor(url: string) {
    this.#socket = new WebSocket(url);
    this.closed = new Promise((resolve) => this.#socket.once('close', (code, reason) => resolve({ code, reason: reason.toString() })));
    this.#socket.on('message', (data: Buffer) => {
      this.messages.push(JSON.parse(data.toString('utf8')) as ServerMessage);
      for (const check of this.#waiting) check();
    });
    this.#socket.on('error', () => undefined);
  }

  static async connect(serverUrl: string): Promise<FakeAgent> {
    const agent = new FakeAgent(`${serverUrl.replace('http', 'ws')}/agent`);
    await once(agent.#socket, 'open');
    return agent;
  }

  /** The first message of that type, as soon as it has arrived. */
  async next<Type extends ServerMessage['type']>(type: Type): Promise<Extract<ServerMessage, { type: Type }>> {
    return await new Promise((resolve, reject) => {
      const check = (): void => {
        const found = this.messages.find((message): message is Extract<ServerMessage, { type: Type }> => message.type === type);
        if (found === undefined) return;
        this.#waiting.delete(check);
        resolve(found);
      };
      this.#waiting.add(check);
      void this.closed.then(({ code, reason }) =>
        reject(new Error(`closed with ${code} ${reason} before a ${type}; got ${JSON.stringify(this.messages)}`)),
      );
      check();
    });
  }

  async hello(identity: HostIdentity, changes: Partial<Hello> = {}): Promise<void> {
    const { nonce } = await this.next('challenge');
    this.send(helloOf(identity, nonce, changes));
  }

  send(message: object): void {
    this.sendRaw(JSON.stringify(message));
  }

  sendRaw(data: string | Buffer): void {
    this.#socket.send(data);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#socket.terminate();
    await this.closed;
  }
}
