import { createHash, randomUUID } from 'node:crypto';
import type { HostName } from '@floe/model';
import { storedEnvelope, type TrustedKey } from '@floe/protocol';
import type { Clock, Logger } from '@floe/runtime';
import type { StorePart } from '@floe/store';
import type { SignedAnswer, Releaser } from '../releaser.ts';
import type { SigningQuestion } from './request.ts';

/** So long a person waits for the builder to sign a trial. */
const PATIENCE_MS = 10_000;
const LOOK_MS = 250;

export interface AskingDeps {
  readonly store: StorePart<{ signing: 'ask' }>;
  readonly keys: readonly TrustedKey[];
  readonly repositoryId: () => string;
  readonly clock: Clock;
  readonly logger: Logger;
}

/**
 * The releaser of a server whose builder is a process of its own: each question is a row of the database, which the builder answers. A question
 * that is the same but for its times is the same row, so that each look at a host asks once.
 */
export function askingReleaser({ store, keys, repositoryId, clock, logger }: AskingDeps): Releaser {
  /** Of which host what was refused last: each connection asks again. */
  const refusals = new Set<string>();

  async function ask(host: HostName, key: string, question: SigningQuestion): Promise<SignedAnswer> {
    const answer = await store.signing.ask({ key, repositoryId: repositoryId(), host, request: JSON.stringify(question) }, clock.now());
    if (answer === undefined) return undefined;
    const about = `${question.kind} ${host}`;
    if ('envelope' in answer) {
      refusals.delete(about);
      return storedEnvelope(answer.envelope);
    }
    if (!refusals.has(about)) logger.error('the builder does not sign what this server asks for', { host, kind: question.kind, why: answer.refused });
    refusals.add(about);
    return answer;
  }

  async function look(host: HostName, question: SigningQuestion, same: unknown): Promise<SignedAnswer> {
    const key = createHash('sha256')
      .update(JSON.stringify([question.kind, host, question.release.payload, same]))
      .digest('hex');
    return await ask(host, key, question);
  }

  return {
    keys,
    async permit(release, statement, word) {
      const { issuedAt: _issuedAt, expiresAt: _expiresAt, ...same } = statement;
      const signed = word === undefined ? {} : { word };
      return await look(statement.host, { kind: 'permit', release, statement, ...signed }, { ...same, ...signed });
    },
    once: async (host, release, onlyFor) => await look(host, { kind: 'once', release, ...(onlyFor === undefined ? {} : { onlyFor }) }, onlyFor),
    async trial(host, release, times) {
      const key = randomUUID();
      const until = clock.monotonic() + PATIENCE_MS;
      const patience = AbortSignal.timeout(2 * PATIENCE_MS);
      for (;;) {
        const answer = await ask(host, key, { kind: 'trial', release, times });
        if (answer !== undefined || clock.monotonic() >= until || patience.aborted) return answer;
        await clock.sleep(LOOK_MS, patience);
      }
    },
  };
}
