import type { HostName } from '@floe/model';
import type { Envelope, Hello, SealedDirective, Welcome } from '@floe/protocol';
import type { HostRow } from '@floe/store';
import type { AgentSocket } from './agent-socket.ts';

type WelcomedHost = Pick<HostRow, 'host' | 'publicKey'>;

/**
 * One authenticated connection of one host. There is none before its welcome was written, so that nothing can be sent to
 * an agent ahead of it.
 */
export class WelcomedSession {
  readonly id: string;
  readonly host: HostName;
  /** The agent's own name: after a rename it is the earlier one, as long as its machine runs a system of that. What is signed for it says this name. */
  readonly calledAs: HostName;
  readonly machineId: string;
  readonly bootId: string;
  /** The key that its hello was signed by. */
  readonly publicKey: string;
  /** Of this connection's challenge; every directive sent on it carries it. */
  readonly nonce: string;
  /** What the agent understands beyond the first version of the protocol. */
  readonly capabilities: ReadonlySet<string>;
  readonly #socket: AgentSocket;
  #hinted: { readonly releaseId: string; readonly at: number } | undefined;
  #offered: { readonly epoch: number; readonly releaseId: string } | undefined;

  private constructor(id: string, socket: AgentSocket, nonce: string, { host, publicKey = '' }: WelcomedHost, hello: Hello) {
    this.id = id;
    this.host = host;
    this.calledAs = hello.host;
    this.machineId = hello.machineId;
    this.bootId = hello.bootId;
    this.publicKey = publicKey;
    this.nonce = nonce;
    this.capabilities = new Set(hello.capabilities);
    this.#socket = socket;
  }

  /** Writes the welcome. Undefined: the socket is closing, and nobody is there. */
  static welcome(id: string, socket: AgentSocket, nonce: string, row: WelcomedHost, hello: Hello, welcome: Welcome): WelcomedSession | undefined {
    return socket.send(welcome) ? new WelcomedSession(id, socket, nonce, row, hello) : undefined;
  }

  get isOpen(): boolean {
    return this.#socket.isOpen;
  }

  /**
   * Whether this was offered on this connection. `overtaken`: something else was, under this epoch or a later one, so that the
   * database has forgotten it (a standby without the last writes took over).
   */
  offered(epoch: number, releaseId: string): 'no' | 'yes' | 'overtaken' {
    const before = this.#offered;
    if (before === undefined || before.epoch < epoch) return 'no';
    return before.epoch === epoch && before.releaseId === releaseId ? 'yes' : 'overtaken';
  }

  /** Sends a directive, once per epoch. False when the connection is closing. */
  offer(epoch: number, releaseId: string, envelope: SealedDirective): boolean {
    if (this.offered(epoch, releaseId) !== 'no') return false;
    this.#offered = { epoch, releaseId };
    return this.#socket.send({ type: 'directive', envelope });
  }

  /** Whether this was hinted at on this connection, after `since`. */
  isHinted(releaseId: string, since: number): boolean {
    return this.#hinted?.releaseId === releaseId && this.#hinted.at > since;
  }

  /** Sends a hint at what may be downloaded ahead. */
  hint(releaseId: string, at: number, envelope: Envelope): void {
    this.#hinted = { releaseId, at };
    this.#socket.send({ type: 'stage', envelope });
  }

  close(code: number, reason: string): void {
    this.#socket.close(code, reason);
  }

  /** Whether the agent at the other end still answers. */
  async answersWithin(timeoutMs: number): Promise<boolean> {
    return await this.#socket.answersWithin(timeoutMs);
  }
}
