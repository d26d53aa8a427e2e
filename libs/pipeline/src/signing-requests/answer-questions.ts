import { isSequenceFarAhead, type HostName } from '@floe/model';
import { createWake, type Clock, type Logger } from '@floe/runtime';
import type { PlainStore, SigningRequest, StorePart } from '@floe/store';
import type { SignedAnswer, Releaser } from '../releaser.ts';
import { isTimeFarAhead } from '../far-ahead.ts';
import { parseQuestion, type SigningQuestion } from './request.ts';

const POLL_MS = 5_000;
const MOST_TOGETHER = 50;

export interface AnsweringDeps {
  readonly store: StorePart<{ signing: 'waiting' | 'answer'; repositories: 'lease' }> & Pick<PlainStore, 'hints'>;
  /** Of this builder, as the lease has it. */
  readonly owner: string;
  readonly releaser: Releaser;
  /** What was released last, by the builder's own log. */
  readonly newestReleased: () => Promise<{ readonly sequence: number } | undefined>;
  readonly clock: Clock;
  readonly logger: Logger;
}

/**
 * Signs what servers ask for, until `signal` aborts, and not while another builder has the lease: the log that answers are judged by lacks what
 * that one wrote.
 */
export async function answerQuestions(deps: AnsweringDeps, repositoryId: string, signal: AbortSignal): Promise<void> {
  const { store, owner, clock, logger } = deps;
  const wake = createWake();
  await using _listener = await store.hints.listen((hints) => {
    for (const hint of hints) if (hint.topic === 'repository' && hint.id === repositoryId) wake.wake();
  });
  /** What has no answer since the last pause: as many of the others come first, or the oldest that have none each time would hold them all up. */
  let standing = new Set<string>();
  while (!signal.aborted) {
    try {
      const lease = await store.repositories.lease(repositoryId);
      const isOnDuty = lease === undefined || lease.owner === owner || lease.expiresAt <= clock.now();
      const waiting = isOnDuty ? (await store.signing.waiting(repositoryId)).filter(({ key }) => !standing.has(key)) : [];
      const together = waiting.slice(0, MOST_TOGETHER);
      // Side by side: a key that is elsewhere takes its time, and one that is not signed holds up no other.
      const results = await Promise.allSettled(together.map(async (request) => await answer(deps, request, signal)));
      signal.throwIfAborted();
      for (const [index, { key }] of together.entries()) {
        const result = results[index];
        if (result?.status !== 'fulfilled' || !result.value) standing.add(key);
      }
      const failing = results.flatMap((result) => (result.status === 'rejected' ? [result.reason as unknown] : []));
      if (failing.length > 0)
        logger.warn('some of what servers ask to be signed could not be answered; trying again', { number: failing.length, error: failing[0] });
      if (waiting.length > MOST_TOGETHER) continue;
    } catch (error) {
      if (signal.aborted) return;
      logger.warn('what servers ask to be signed could not be answered; trying again', { error });
    }
    standing = new Set();
    await wake.wait(POLL_MS, signal);
  }
}

/** False: not yet; the question stands, and is looked at again soon. */
async function answer({ store, logger, ...deps }: AnsweringDeps, { key, host, request }: SigningRequest, signal: AbortSignal): Promise<boolean> {
  signal.throwIfAborted();
  const question = parseQuestion(request);
  const answered = await answerTo(deps, host, question);
  if (answered === undefined) return false;
  const refused = 'refused' in answered ? answered.refused : undefined;
  // Each is seen by whoever reads this log, which the server cannot write.
  const isSigned = refused === undefined;
  logger.info(isSigned ? 'signed for a server' : 'what a server asked for is not signed', {
    host,
    kind: question?.kind,
    ...(isSigned ? {} : { why: refused }),
  });
  await store.signing.answer(key, isSigned ? { envelope: JSON.stringify(answered) } : { refused });
  return true;
}

async function answerTo(
  deps: Pick<AnsweringDeps, 'releaser' | 'clock' | 'newestReleased'>,
  host: HostName,
  question: SigningQuestion | undefined,
): Promise<SignedAnswer> {
  if (question === undefined) return { refused: 'it is of no form that this builder knows: use servers and builders of one version' };
  return (await isFarAhead(deps, question)) ? { refused: 'it names a number or a time far ahead' } : await signed(deps.releaser, host, question);
}

/** Hosts remember these: one near the end of all numbers, and they take nothing any more. */
async function isFarAhead({ clock, newestReleased }: Pick<AnsweringDeps, 'clock' | 'newestReleased'>, question: SigningQuestion): Promise<boolean> {
  const isFarTime = (time: number): boolean => isTimeFarAhead(time, clock.now());
  switch (question.kind) {
    case 'once':
      return false;
    case 'trial':
      return [question.times.now, question.times.latest].some(isFarTime);
    case 'permit': {
      const { floor, issuedAt, expiresAt } = question.statement;
      return [issuedAt, expiresAt].some(isFarTime) || isSequenceFarAhead(floor, (await newestReleased())?.sequence);
    }
  }
}

async function signed(releaser: Releaser, host: HostName, question: SigningQuestion): Promise<SignedAnswer> {
  switch (question.kind) {
    case 'permit':
      return await releaser.permit(question.release, question.statement, question.word);
    case 'once':
      return await releaser.once(host, question.release, question.onlyFor);
    case 'trial':
      return await releaser.trial(host, question.release, question.times);
  }
}
