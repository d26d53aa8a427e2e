import { CLOSE_CODES, type Refusal } from '@floe/protocol';

/** How a connection ended. */
export type Ending =
  /** `stranger`: who answered in the server's place; undefined: nobody, as far as is known. */
  | { readonly kind: 'not-reached'; readonly why: string; readonly stranger?: string | undefined }
  | { readonly kind: 'lost'; readonly closeCode: number; readonly wasWelcomed: boolean }
  /** The server broke the protocol, and this agent closed the connection. */
  | { readonly kind: 'not-understood' }
  /** The server refuses this agent until an administrator changes something. */
  | { readonly kind: 'refused'; readonly closeCode: number; readonly code: string; readonly message: string };

const NO_SERVER = 'something answered that does not speak as a Floe server does: a captive portal, a proxy, or another host';

const REFUSALS: ReadonlyMap<number, string> = new Map([
  [CLOSE_CODES.unauthorized, 'the enrolment of this machine is not valid: run "floe enrol HOST", and enrol it again'],
  [CLOSE_CODES.cloned, 'the key of this machine was used by two machines: an administrator has to decide'],
  [CLOSE_CODES.protocolUnsupported, 'the server does not speak the protocol of this agent: upgrade the older of the two'],
  [CLOSE_CODES.replaced, 'another agent with the same key is connected: stop one of them'],
  [CLOSE_CODES.badMessage, 'the server could not read a message of this agent'],
]);

/** What the end of a socket means. Pure. */
export function endingOf(facts: {
  readonly code: number;
  readonly reason: string;
  readonly refusal: Refusal | undefined;
  /** By a server of Floe, which does so before anything else. */
  readonly wasChallenged: boolean;
  readonly wasWelcomed: boolean;
  readonly isUnderstood: boolean;
  readonly failure: string;
  /** As of {@link describeStranger}. */
  readonly stranger: string | undefined;
}): Ending {
  const { code, refusal } = facts;
  if (!facts.wasChallenged) {
    const stranger = facts.stranger ?? (facts.isUnderstood ? undefined : NO_SERVER);
    return { kind: 'not-reached', why: stranger ?? (facts.failure || 'the connection was closed'), stranger };
  }
  if (!facts.isUnderstood) return { kind: 'not-understood' };
  const meaning = REFUSALS.get(code);
  if (meaning !== undefined)
    return { kind: 'refused', closeCode: code, code: refusal?.code ?? (facts.reason || 'REFUSED'), message: refusal?.message ?? meaning };
  if (facts.failure.startsWith('the server did not welcome')) return { kind: 'not-reached', why: facts.failure };
  return { kind: 'lost', closeCode: code, wasWelcomed: facts.wasWelcomed };
}
