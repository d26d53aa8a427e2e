import { newestDirective, type AgentDetail, type AgentDirective, type AgentFreshness, type AgentJournal, type StorePath } from '@floe/model';
import { FreshnessStatement, open, openDirective, type Directive, type Opened, type SealedDirective } from '@floe/protocol';
import { judgePermit, NO_PERMIT_NEEDED, WHY_CODES } from './judge-permit.ts';
import { judgeTrial, type TrialContext } from './judge-trial.ts';
import { detailOf, openOrder, whyExpired, type OrderContext } from './open-order.ts';

/** What {@link judgeDirective} needs to know. */
export interface DirectiveContext extends OrderContext, TrialContext {
  readonly journal: AgentJournal;
}

/** Whether a directive is to be followed. */
export type DirectiveJudgement =
  | {
      readonly kind: 'accepted';
      readonly directive: AgentDirective;
      readonly freshness: AgentFreshness | null;
      /** A permit lets it go below what was accepted, up to this sequence. */
      readonly floor: number | undefined;
    }
  /** It was accepted before: nothing changes. */
  | { readonly kind: 'known' }
  | { readonly kind: 'refused'; readonly epoch: number; readonly toplevel: StorePath | null; readonly detail: AgentDetail };

const DIRECTIVE = { code: 'DIRECTIVE', name: 'the directive' } as const;

const NOT_TRIED = { kind: 'fine', trial: null } as const;

/** How far an epoch may be ahead of the last one. It bounds how many epochs a stolen key or a wrong restore can use up. */
const MAX_EPOCH_STEP = 1_000_000;
/** Refusals because of what the system itself pins: every directive of this server would meet them. */
const PIN_MISMATCH_CODES: ReadonlySet<string> = new Set([
  'DIRECTIVE_KEY_UNKNOWN',
  'DIRECTIVE_SIGNATURE_WRONG',
  'RELEASE_KEY_UNKNOWN',
  'RELEASE_SIGNATURE_WRONG',
  'WRONG_HOST',
  'RELEASE_WRONG_HOST',
  'RELEASE_WRONG_REPOSITORY',
  'RELEASE_WRONG_REF',
  'RELEASE_REJECTED_BEFORE',
]);

/** False: the system pins keys, a host, a repository or a lowest sequence with which it would refuse every directive of this server. */
export function isTrusted(admission: DirectiveJudgement): boolean {
  return admission.kind !== 'refused' || !PIN_MISMATCH_CODES.has(admission.detail.code);
}

/**
 * Whether a directive may be followed: it is signed by the pinned keys, meant for this machine and this connection, and neither
 * expired nor older than what was accepted before. Pure. The server alone cannot choose a system: the release names it, and the
 * server cannot sign releases.
 */
export function judgeDirective(envelope: SealedDirective, context: DirectiveContext): DirectiveJudgement {
  const { journal } = context;
  const opened = openOrder(openDirective(envelope, context.serverKeys, context.verify, context.sha256), DIRECTIVE, context);
  if (opened.kind === 'refused') return { kind: 'refused', epoch: opened.order?.epoch ?? 0, toplevel: opened.toplevel, detail: opened.detail };
  const { order } = opened;
  const { repository, ref, commit, sequence, toplevel, closureSizeBytes, expiresAt } = opened.release;
  const refuse = (code: string, message: string, about: StorePath | null = null): DirectiveJudgement => refusal(order.epoch, about, code, message);

  const freshness = judgeFreshness(order, repository, ref, context);
  if (freshness.kind === 'refused') return refuse(freshness.code, freshness.message, toplevel);
  const asOf = freshness.statement?.asOf ?? 0;
  const expired = whyExpired(expiresAt, asOf, context);
  if (expired !== undefined) return refuse('RELEASE_EXPIRED', expired, toplevel);

  // What it accepted before is not asked for its permit again: that may have expired since.
  const isKnown = order.epoch === journal.epoch;
  const now = Math.max(context.serverNow, asOf);
  const tried = isKnown ? NOT_TRIED : judgeTrial(order, opened.release, now, context);
  if (tried.kind === 'refused') return refuse(tried.code, tried.message, toplevel);
  const { trial } = tried;
  // A trial accepts no sequence, so that it goes below none.
  const permit = isKnown || trial !== null ? NO_PERMIT_NEEDED : judgePermit(order, opened.release, now, context);
  if (permit.kind === 'refused') return refuse(permit.code, permit.message, toplevel);
  if (order.epoch < journal.epoch)
    return refuse('EPOCH_LOWER', `the directive has the epoch ${order.epoch}, but ${journal.epoch} was accepted before`, toplevel);
  if (order.epoch > journal.epoch + MAX_EPOCH_STEP) {
    return refuse(
      'EPOCH_TOO_FAR',
      `the directive has the epoch ${order.epoch}, far ahead of ${journal.epoch}, which was accepted last: does somebody else have the server's key?`,
      toplevel,
    );
  }
  if (isKnown) return sameEpoch(journal, toplevel, refuse);
  if (journal.quarantined.includes(toplevel) && (!order.isRetry || trial !== null)) {
    return refuse('QUARANTINED', 'this system was rolled back on this machine before: push another one, or ask for a retry', toplevel);
  }
  const directive: AgentDirective = {
    epoch: order.epoch,
    trial,
    mode: order.mode,
    isRetry: order.isRetry,
    ...(order.urgent === undefined ? {} : { urgent: { ...order.urgent, noticedAt: null } }),
    release: { repository, ref, commit, sequence, toplevel, closureSizeBytes },
    envelope: JSON.stringify(envelope),
  };
  return { kind: 'accepted', directive, freshness: freshness.statement, floor: permit.floor };
}

/** An epoch names one directive. The server repeats it on each connection, and the agent does not begin it again. */
function sameEpoch(
  journal: AgentJournal,
  toplevel: StorePath,
  refuse: (code: string, message: string, toplevel: StorePath) => DirectiveJudgement,
): DirectiveJudgement {
  const newest = newestDirective(journal);
  if (newest === null || newest.epoch !== journal.epoch || newest.release.toplevel === toplevel) return { kind: 'known' };
  return refuse('EPOCH_REUSED', `the epoch ${journal.epoch} named another system before`, toplevel);
}

type FreshnessJudgement =
  | { readonly kind: 'fine'; readonly statement: AgentFreshness | null }
  | { readonly kind: 'refused'; readonly code: string; readonly message: string };

/**
 * An older statement than the known one changes nothing; a forged or foreign one makes the directive invalid. The sequence
 * decides first which is older, since it only grows, while a clock may have been ahead for a time.
 */
function judgeFreshness(order: Directive, repository: string, ref: string, context: DirectiveContext): FreshnessJudgement {
  const { freshness } = context.journal;
  const known = freshness?.repository === repository && freshness.ref === ref ? freshness : null;
  // A directive without a statement does not erase the known one.
  if (order.freshness === undefined) return { kind: 'fine', statement: known };
  const opened: Opened<FreshnessStatement> = open(order.freshness, 'floe/freshness', FreshnessStatement, context.releaseKeys, context.verify);
  if (opened.kind === 'refused')
    return { kind: 'refused', code: `FRESHNESS_${WHY_CODES[opened.why]}`, message: `the freshness statement: ${opened.message}` };
  const { sequence, asOf } = opened.statement;
  if (opened.statement.repository !== repository || opened.statement.ref !== ref) {
    return {
      kind: 'refused',
      code: 'FRESHNESS_WRONG_REPOSITORY',
      message: 'the freshness statement is of another repository or branch than the release',
    };
  }
  const isOlder = known !== null && (known.sequence > sequence || (known.sequence === sequence && known.asOf >= asOf));
  return { kind: 'fine', statement: isOlder ? known : { repository, ref, sequence, asOf } };
}

function refusal(epoch: number, toplevel: StorePath | null, code: string, message: string): DirectiveJudgement {
  return { kind: 'refused', epoch, toplevel, detail: detailOf(code, message) };
}
