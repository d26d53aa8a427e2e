import type { HostName } from '@floe/model';
import type { Timestamp } from './timestamp.ts';

/** What the server asks a builder of its own process to sign: the text is what both of them parse. */
export interface SigningRequest {
  /** The same for the same question: it is signed once. */
  readonly key: string;
  readonly repositoryId: string;
  readonly host: HostName;
  readonly request: string;
}

/** `undefined`: nobody has answered yet. */
export type SigningAnswer = { readonly envelope: string } | { readonly refused: string } | undefined;

export interface SigningStore {
  /** Asks, once for each key, and wakes the builder. Resolves to what was answered so far. A refusal is good for five minutes: then it is asked again. */
  ask(request: SigningRequest, at: Timestamp): Promise<SigningAnswer>;
  /** Those without an answer, the oldest first, some hundreds at most. */
  waiting(repositoryId: string): Promise<readonly SigningRequest[]>;
  /** The first answer counts. The host is looked at again. */
  answer(key: string, answer: NonNullable<SigningAnswer>): Promise<void>;
  /** Removes those that were asked before; resolves to their number. */
  prune(before: Timestamp): Promise<number>;
}
