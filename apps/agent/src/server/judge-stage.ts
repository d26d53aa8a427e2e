import { acceptedSequence, type AgentDetail, type AgentJournal, type AgentRelease } from '@floe/model';
import { open, StageHint, type Envelope } from '@floe/protocol';
import { detailOf, openOrder, whyExpired, type OrderContext } from './open-order.ts';

/** Whether a hint may be followed. */
export type HintJudgement =
  | { readonly kind: 'accepted'; readonly release: AgentRelease; readonly spreadMs: number }
  /** Nobody is told but the log: a hint is no order, and what is wrong with it is wrong with the directive, too. */
  | { readonly kind: 'refused'; readonly detail: AgentDetail };

const HINT = { code: 'HINT', name: 'the hint' } as const;

/**
 * Whether what a hint names may be downloaded ahead: it holds to all that a directive has to, but for the epoch. So a hint reaches no
 * system that this machine would refuse as a directive. Pure.
 */
export function judgeStage(envelope: Envelope, context: OrderContext & { readonly journal: AgentJournal }): HintJudgement {
  const refuse = (code: string, message: string): HintJudgement => ({ kind: 'refused', detail: detailOf(code, message) });
  const opened = openOrder(open(envelope, 'floe/stage', StageHint, context.serverKeys, context.verify), HINT, context);
  if (opened.kind === 'refused') return { kind: 'refused', detail: opened.detail };
  const { journal } = context;
  const { repository, ref, commit, sequence, toplevel, closureSizeBytes, expiresAt } = opened.release;
  if (opened.release.purpose !== undefined) return refuse('RELEASE_IS_TRIAL', 'a system that is only to be tried is not downloaded ahead');
  const { freshness } = journal;
  const asOf = freshness?.repository === repository && freshness.ref === ref ? freshness.asOf : 0;
  const expired = whyExpired(expiresAt, asOf, context);
  if (expired !== undefined) return refuse('RELEASE_EXPIRED', expired);
  const accepted = acceptedSequence(journal, repository, ref);
  if (sequence < accepted) return refuse('SEQUENCE_LOWER', `the release has the sequence ${sequence}, but ${accepted} was accepted before`);
  if (journal.quarantined.includes(toplevel)) return refuse('QUARANTINED', 'this system was rolled back on this machine before');
  return { kind: 'accepted', release: { repository, ref, commit, sequence, toplevel, closureSizeBytes }, spreadMs: opened.order.spreadMs };
}
