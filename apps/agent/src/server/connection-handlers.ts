import type { Envelope, Hello, SealedDirective, Welcome } from '@floe/protocol';
import type { Ending } from './ending.ts';

/** What is done with what the server says. */
export interface ConnectionHandlers {
  /** The answer to a challenge. */
  hello(nonce: string): Promise<Hello>;
  welcomed(welcome: Welcome): void;
  directive(envelope: SealedDirective, nonce: string): void;
  /** What the machine may download ahead. */
  stage(envelope: Envelope, nonce: string): void;
  /** The server allows the switch, for `leaseMs` from now. */
  go(epoch: number, leaseMs: number): void;
  acknowledged(seq: number): void;
  /** The server refused this agent. True: the cause was fixed (enrolled again), so connect at once. */
  refused(ending: Extract<Ending, { kind: 'refused' }>): Promise<boolean>;
}
