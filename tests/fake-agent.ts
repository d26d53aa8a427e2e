import { once } from 'node:events';
import { NOTHING_OBSERVED } from '@floe/model';
import { helloBytes, HostName, PROTOCOL_VERSION, type Hello, type ServerMessage } from '@floe/protocol';
import { generateKeyPem, signerFromPem, type Signer } from '@floe/runtime';
import * as v from 'valibot';
import { WebSocket } from 'ws';

/** A host's identity that a test made up. */
export interface FakeIdentity {
  readonly host: HostName;
  readonly machineId: string;
  readonly signer: Signer;
}

export function fakeIdentity(host: string, machineId: string): FakeIdentity {
  return { host: v.parse(HostName, host), machineId, signer: signerFromPem('host', generateKeyPem()) };
}

/** One connection of somebody who speaks the agents' protocol, or bends it. */
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

  /** The first message of that type, when it is there. */
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

  async hello(identity: FakeIdentity, changes: Partial<Hello> = {}): Promise<void> {
    const { nonce } = await this.next('challenge');
    const who = { host: identity.host, machineId: identity.machineId, bootId: 'boot-1', ...changes };
    this.send({
      type: 'hello',
      protocol: PROTOCOL_VERSION,
      agentVersion: '0',
      system: 'x86_64-linux',
      observed: NOTHING_OBSERVED,
      state: 'IDLE',
      toplevel: null,
      epoch: 0,
      sequence: 0,
      reportSeq: 0,
      capabilities: [],
      signature: identity.signer.sign(helloBytes({ nonce, ...who })),
      ...who,
    });
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
