import {
  acceptedSequence,
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

/** What a directive is judged by. */
export interface AdmissionContext {
  readonly host: HostName;
  readonly machineId: string;
  /** Nix's platform of this machine, e.g. `x86_64-linux`. */
  readonly system: string;
  /** Of the challenge of the connection that the directive came on. */
  readonly nonce: string;
  /**
   * The server's clock: the time of its welcome and what has passed since by a clock that does not jump. A machine's
   * own clock may be years off (an empty battery), and would shut it out or let everything in.
   */
  readonly serverNow: number;
  readonly releaseKeys: readonly TrustedKey[];
  readonly serverKeys: readonly TrustedKey[];
  readonly repository: string | undefined;
  readonly journal: AgentJournal;
  readonly verify: VerifySignature;
}

/** What is done about a directive. */
export type Admission =
  | { readonly kind: 'accepted'; readonly directive: AgentDirective; readonly freshness: AgentFreshness | null }
  /** The one that is under way or done: goes on where it is. */
  | { readonly kind: 'known' }
  | { readonly kind: 'refused'; readonly epoch: number; readonly toplevel: StorePath | null; readonly detail: AgentDetail };

/** Refusals that come of what the system itself pins: they would meet every directive. */
const OF_PINS: ReadonlySet<string> = new Set([
  'DIRECTIVE_KEY_UNKNOWN',
  'DIRECTIVE_SIGNATURE_WRONG',
  'RELEASE_KEY_UNKNOWN',
  'RELEASE_SIGNATURE_WRONG',
  'WRONG_HOST',
  'RELEASE_WRONG_HOST',
  'RELEASE_WRONG_REPOSITORY',
]);

/** Whether a system that judges like this would ever take a directive of this server. */
export function isBelieved(admission: Admission): boolean {
  return admission.kind !== 'refused' || !OF_PINS.has(admission.detail.code);
}

const WHY_CODES = { 'wrong-type': 'WRONG_TYPE', 'unknown-key': 'KEY_UNKNOWN', 'bad-signature': 'SIGNATURE_WRONG', malformed: 'MALFORMED' } as const;

/**
 * Whether a directive may be acted on: signed by the pinned keys, for this machine and this connection, and neither
 * expired nor older than what was accepted before. Pure. The server's word alone moves nothing: what to run is in the
 * release, which it cannot sign.
 */
export function judgeDirective(envelope: Envelope, context: AdmissionContext): Admission {
  const { journal } = context;
  const opened = open(envelope, 'floe/directive', Directive, context.serverKeys, context.verify);
  if (opened.kind === 'refused') return refusal(0, null, `DIRECTIVE_${WHY_CODES[opened.why]}`, `the directive: ${opened.message}`);
  const order = opened.statement;
  const refuse = (code: string, message: string, toplevel: StorePath | null = null): Admission => refusal(order.epoch, toplevel, code, message);

  if (order.host !== context.host) return refuse('WRONG_HOST', `the directive is for ${order.host}, this is ${context.host}`);
  if (order.machineId !== context.machineId) return refuse('WRONG_MACHINE', 'the directive is for another machine of this name');
  if (order.nonce !== context.nonce) return refuse('DIRECTIVE_REPLAYED', 'the directive was made for another connection');
  if (order.expiresAt <= context.serverNow) return refuse('DIRECTIVE_EXPIRED', `the directive expired at ${new Date(order.expiresAt).toISOString()}`);

  const release = open(order.release, 'floe/release', ReleaseStatement, context.releaseKeys, context.verify);
  if (release.kind === 'refused') return refuse(`RELEASE_${WHY_CODES[release.why]}`, `the release: ${release.message}`);
  const { repository, ref, commit, sequence, toplevel, closureSizeBytes, host, system, expiresAt } = release.statement;
  if (host !== context.host) return refuse('RELEASE_WRONG_HOST', `the release is for ${host}, this is ${context.host}`, toplevel);
  if (system !== context.system) return refuse('RELEASE_WRONG_SYSTEM', `the release is for ${system}, this machine is ${context.system}`, toplevel);
  if (context.repository !== undefined && repository !== context.repository) {
    return refuse('RELEASE_WRONG_REPOSITORY', `the release is of ${repository}, this machine follows ${context.repository}`, toplevel);
  }
  const freshness = judgeFreshness(order, repository, ref, context);
  if (freshness.kind === 'refused') return refuse(freshness.code, freshness.message, toplevel);
  // What the release key itself dated is a lower bound of the time, whatever the server says that it is.
  if (expiresAt <= Math.max(context.serverNow, freshness.statement?.asOf ?? 0)) {
    return refuse(
      'RELEASE_EXPIRED',
      `the release expired at ${new Date(expiresAt).toISOString()}: push a commit, or let the builder sign again`,
      toplevel,
    );
  }

  const accepted = acceptedSequence(journal, repository, ref);
  if (sequence < accepted) {
    return refuse(
      'SEQUENCE_LOWER',
      `the release has the sequence ${sequence}, but ${accepted} was accepted before: going back needs a permit`,
      toplevel,
    );
  }
  if (order.epoch < journal.epoch)
    return refuse('EPOCH_LOWER', `the directive has the epoch ${order.epoch}, but ${journal.epoch} was accepted before`, toplevel);
  if (order.epoch === journal.epoch) return sameEpoch(journal, toplevel, refuse);
  if (journal.quarantined.includes(toplevel) && !order.isRetry) {
    return refuse('QUARANTINED', 'this system was put back here before: push another one, or ask for a retry', toplevel);
  }
  const directive: AgentDirective = {
    epoch: order.epoch,
    mode: order.mode,
    isRetry: order.isRetry,
    release: { repository, ref, commit, sequence, toplevel, closureSizeBytes },
    envelope: JSON.stringify(envelope),
  };
  return { kind: 'accepted', directive, freshness: freshness.statement };
}

/** An epoch names one directive for ever. It comes again on each connection, and is not begun anew. */
function sameEpoch(journal: AgentJournal, toplevel: StorePath, refuse: (code: string, message: string, toplevel: StorePath) => Admission): Admission {
  const newest = newestDirective(journal);
  if (newest === null || newest.epoch !== journal.epoch || newest.release.toplevel === toplevel) return { kind: 'known' };
  return refuse('EPOCH_REUSED', `the epoch ${journal.epoch} was another system before`, toplevel);
}

type FreshnessVerdict =
  | { readonly kind: 'fine'; readonly statement: AgentFreshness | null }
  | { readonly kind: 'refused'; readonly code: string; readonly message: string };

/** A statement that is older than one seen before says nothing new; a forged or foreign one discredits the directive. */
function judgeFreshness(order: Directive, repository: string, ref: string, context: AdmissionContext): FreshnessVerdict {
  const { freshness } = context.journal;
  const known = freshness?.repository === repository && freshness.ref === ref ? freshness : null;
  // A server that leaves it out does not make the machine forget what it knows.
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
  return { kind: 'fine', statement: known !== null && known.asOf >= asOf ? known : { repository, ref, sequence, asOf } };
}

function refusal(epoch: number, toplevel: StorePath | null, code: string, message: string): Admission {
  return { kind: 'refused', epoch, toplevel, detail: { code, message: message.slice(0, 1000) } };
}
