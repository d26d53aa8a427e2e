import {
  newestDirective,
  type AgentDetail,
  type AgentDirective,
  type AgentFreshness,
  type AgentJournal,
  type HostName,
  type StorePath,
} from '@floe/model';
import {
  Directive,
  FreshnessStatement,
  open,
  ReleaseStatement,
  type Envelope,
  type Opened,
  type TrustedKey,
  type VerifySignature,
} from '@floe/protocol';
import { judgePermit, NO_PERMIT_NEEDED, WHY_CODES } from './judge-permit.ts';

/** What {@link judgeDirective} needs to know. */
export interface DirectiveContext {
  readonly host: HostName;
  readonly machineId: string;
  /** Nix's platform of this machine, e.g. `x86_64-linux`. */
  readonly system: string;
  /** The nonce of the connection that brought the directive. */
  readonly nonce: string;
  /**
   * The server's clock: the time of its welcome and what has passed since by a clock that does not jump. The machine's own
   * clock may be years off (an empty battery), and would make everything expired or nothing.
   */
  readonly serverNow: number;
  /** This machine's own clock. It decides nothing; messages name it where one of the two clocks may be wrong. */
  readonly machineNow: number;
  readonly releaseKeys: readonly TrustedKey[];
  readonly serverKeys: readonly TrustedKey[];
  readonly repository: string | undefined;
  readonly journal: AgentJournal;
  readonly verify: VerifySignature;
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

/** How far an epoch may be ahead of the last one. It bounds how many epochs a stolen key or a wrong restore can use up. */
const MAX_EPOCH_STEP = 1_000_000;
/** Clocks that differ by less than this agree. */
const CLOCK_SLACK_MS = 3600_000;

/** Refusals because of what the system itself pins: every directive of this server would meet them. */
const PIN_MISMATCH_CODES: ReadonlySet<string> = new Set([
  'DIRECTIVE_KEY_UNKNOWN',
  'DIRECTIVE_SIGNATURE_WRONG',
  'RELEASE_KEY_UNKNOWN',
  'RELEASE_SIGNATURE_WRONG',
  'WRONG_HOST',
  'RELEASE_WRONG_HOST',
  'RELEASE_WRONG_REPOSITORY',
]);

/** False: the system pins keys, a host or a repository with which it would refuse every directive of this server. */
export function isTrusted(admission: DirectiveJudgement): boolean {
  return admission.kind !== 'refused' || !PIN_MISMATCH_CODES.has(admission.detail.code);
}

/**
 * Whether a directive may be followed: it is signed by the pinned keys, meant for this machine and this connection, and neither
 * expired nor older than what was accepted before. Pure. The server alone cannot choose a system: the release names it, and the
 * server cannot sign releases.
 */
export function judgeDirective(envelope: Envelope, context: DirectiveContext): DirectiveJudgement {
  const { journal } = context;
  const opened = open(envelope, 'floe/directive', Directive, context.serverKeys, context.verify);
  if (opened.kind === 'refused') return refusal(0, null, `DIRECTIVE_${WHY_CODES[opened.why]}`, `the directive: ${opened.message}`);
  const order = opened.statement;
  const refuse = (code: string, message: string, toplevel: StorePath | null = null): DirectiveJudgement =>
    refusal(order.epoch, toplevel, code, message);

  if (order.host !== context.host) return refuse('WRONG_HOST', `the directive is for ${order.host}, this is ${context.host}`);
  if (order.machineId !== context.machineId) return refuse('WRONG_MACHINE', 'the directive is for another machine of this name');
  if (order.nonce !== context.nonce) return refuse('DIRECTIVE_REPLAYED', 'the directive was made for another connection');
  const release = open(order.release, 'floe/release', ReleaseStatement, context.releaseKeys, context.verify);
  if (release.kind === 'refused') return refuse(`RELEASE_${WHY_CODES[release.why]}`, `the release: ${release.message}`);
  const { repository, ref, commit, sequence, toplevel, closureSizeBytes, host, system, expiresAt } = release.statement;
  if (host !== context.host) return refuse('RELEASE_WRONG_HOST', `the release is for ${host}, this is ${context.host}`, toplevel);
  if (system !== context.system) return refuse('RELEASE_WRONG_SYSTEM', `the release is for ${system}, this machine is ${context.system}`, toplevel);
  if (context.repository !== undefined && repository !== context.repository) {
    return refuse('RELEASE_WRONG_REPOSITORY', `the release is of ${repository}, this machine follows ${context.repository}`, toplevel);
  }
  // The directive was made for this connection: if it has expired, the server's clock was set.
  if (order.expiresAt <= context.serverNow) {
    const now = `by the server's clock, as it was when this machine connected, it is ${dateOf(context.serverNow)}`;
    return refuse('DIRECTIVE_EXPIRED', `the directive expired at ${dateOf(order.expiresAt)}, but ${now}: was the server's clock set back?`, toplevel);
  }
  const freshness = judgeFreshness(order, repository, ref, context);
  if (freshness.kind === 'refused') return refuse(freshness.code, freshness.message, toplevel);
  // The newest date that the release key signed is a lower bound of the time, whatever the server's clock says.
  const asOf = freshness.statement?.asOf ?? 0;
  if (expiresAt <= Math.max(context.serverNow, asOf)) return refuse('RELEASE_EXPIRED', expiredBy(expiresAt, asOf, context), toplevel);

  // What it accepted before is not asked for its permit again: that may have expired since.
  const isKnown = order.epoch === journal.epoch;
  const permit = isKnown ? NO_PERMIT_NEEDED : judgePermit(order, release.statement, Math.max(context.serverNow, asOf), context);
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
  if (journal.quarantined.includes(toplevel) && !order.isRetry) {
    return refuse('QUARANTINED', 'this system was rolled back on this machine before: push another one, or ask for a retry', toplevel);
  }
  const directive: AgentDirective = {
    epoch: order.epoch,
    mode: order.mode,
    isRetry: order.isRetry,
    release: { repository, ref, commit, sequence, toplevel, closureSizeBytes },
    envelope: JSON.stringify(envelope),
  };
  return { kind: 'accepted', directive, freshness: freshness.statement, floor: permit.floor };
}

/** Why a release counts as expired, and which clock says so. */
function expiredBy(expiresAt: number, asOf: number, { serverNow, machineNow }: DirectiveContext): string {
  const expired = `the release expired at ${dateOf(expiresAt)}`;
  if (asOf > serverNow + CLOCK_SLACK_MS) {
    return `${expired}, by the newest date that the release key signed: ${dateOf(asOf)}. The server's clock says ${dateOf(serverNow)}: it was ahead before. The next commit corrects this, or run "floe-agent forget date" on this machine`;
  }
  if (Math.abs(serverNow - machineNow) > CLOCK_SLACK_MS) {
    return `${expired}, by the server's clock, which says ${dateOf(serverNow)}; this machine's says ${dateOf(machineNow)}: set the server's clock, if that is wrong, or push a commit`;
  }
  return `${expired}: push a commit, or have the builder sign it again`;
}

function dateOf(ms: number): string {
  return new Date(ms).toISOString();
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
  return { kind: 'refused', epoch, toplevel, detail: { code, message: message.slice(0, 1000) } };
}
