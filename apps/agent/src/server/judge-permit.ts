import { acceptedSequence, type AgentJournal, type HostName } from '@floe/model';
import { open, PermitStatement, type Directive, type ReleaseStatement, type TrustedKey, type VerifySignature } from '@floe/protocol';
import { isForThisOrder } from './is-for-this-order.ts';

interface PermitContext {
  readonly host: HostName;
  readonly machineId: string;
  /** The nonce of the connection that brought the directive. */
  readonly nonce: string;
  readonly bootId: string;
  readonly journal: AgentJournal;
  readonly releaseKeys: readonly TrustedKey[];
  readonly verify: VerifySignature;
}

type PermitJudgement =
  /** `floor`: the accepted sequence that the release may go below; undefined: it does not. */
  { readonly kind: 'fine'; readonly floor: number | undefined } | { readonly kind: 'refused'; readonly code: string; readonly message: string };

export const NO_PERMIT_NEEDED: PermitJudgement = { kind: 'fine', floor: undefined };

/** The ends of the codes of a refusal. */
export const WHY_CODES = {
  'wrong-type': 'WRONG_TYPE',
  'unknown-key': 'KEY_UNKNOWN',
  'bad-signature': 'SIGNATURE_WRONG',
  malformed: 'MALFORMED',
} as const;

/**
 * Whether the release may be taken by its sequence: one below what was accepted needs a permit for this machine, this connection and exactly
 * this release, signed by a pinned release key after the host accepted what it leaves. `now`: the time by which releases expire, too. Pure.
 */
export function judgePermit(order: Directive, release: ReleaseStatement, now: number, context: PermitContext): PermitJudgement {
  const { permit } = order;
  const { repository, ref, sequence, toplevel } = release;
  const accepted = acceptedSequence(context.journal, repository, ref);
  // A machine that lost its journal knows no floor: a permit that is there tells it, by the release key, what it had accepted.
  const hasForgotten = accepted === 0 && permit !== undefined;
  if (sequence >= accepted && !hasForgotten) return NO_PERMIT_NEEDED;
  if (permit === undefined) {
    const message = `the release has the sequence ${sequence}, but ${accepted} was accepted before: the agent does not go back to an older release without a permit`;
    return { kind: 'refused', code: 'SEQUENCE_LOWER', message };
  }
  const opened = open(permit, 'floe/permit', PermitStatement, context.releaseKeys, context.verify);
  if (opened.kind === 'refused') return { kind: 'refused', code: `PERMIT_${WHY_CODES[opened.why]}`, message: `the permit: ${opened.message}` };
  const { host, machineId, nonce, floor, expiresAt, onlyFor, ...named } = opened.statement;
  if (host !== context.host) return { kind: 'refused', code: 'PERMIT_WRONG_HOST', message: `the permit is for ${host}, this is ${context.host}` };
  if (machineId !== context.machineId) {
    return { kind: 'refused', code: 'PERMIT_WRONG_MACHINE', message: 'the permit is for another machine of this name' };
  }
  if (nonce !== context.nonce) return { kind: 'refused', code: 'PERMIT_REPLAYED', message: 'the permit was made for another connection' };
  // Without this, a stolen server key could have a host go back again and again by a permit that was heard once.
  if (!isForThisOrder(onlyFor, order, context.bootId)) {
    const message = 'the permit was signed for another directive, or by a server from before permits were signed for one each';
    return { kind: 'refused', code: 'PERMIT_REPLAYED', message };
  }
  if (named.repository !== repository || named.ref !== ref || named.sequence !== sequence || named.toplevel !== toplevel) {
    const message = `the permit is for another release (sequence ${named.sequence}) than the one to go back to (sequence ${sequence})`;
    return { kind: 'refused', code: 'PERMIT_WRONG_RELEASE', message };
  }
  if (expiresAt <= now) {
    return { kind: 'refused', code: 'PERMIT_EXPIRED', message: `the permit to go back expired at ${new Date(expiresAt).toISOString()}` };
  }
  if (floor < accepted) {
    const message = `the permit was made for a host that had accepted the sequence ${floor} at most, and ${accepted} was accepted since`;
    return { kind: 'refused', code: 'PERMIT_OUTDATED', message };
  }
  return { kind: 'fine', floor };
}
