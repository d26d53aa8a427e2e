import { CLOSE_CODES, helloBytes, OLDEST_PROTOCOL_VERSION, PROTOCOL_VERSION, type Hello } from '@floe/protocol';
import { verifySignature } from '@floe/runtime';
import type { HostRow } from '@floe/store';

/**
 * How far an agent's epoch may be above the stored one. A restored database lacks the epochs since its backup: one per release or
 * retry, so a million is decades of pushes. A higher epoch is false, and continuing above it would leave no room below 2^53.
 */
export const MAX_EPOCH_JUMP = 1_000_000;
export const EPOCH_TOO_FAR = 'EPOCH_TOO_FAR';

export type HelloVerdict =
  | { readonly kind: 'welcome' }
  | { readonly kind: 'refused'; readonly closeCode: number; readonly code: string; readonly message: string }
  /** A second machine uses the host's key. */
  | { readonly kind: 'cloned'; readonly closeCode: number; readonly code: string; readonly message: string };

/** Whether the hello was signed with the key of this host, for its connection. */
export type IsSignedBy = (row: HostRow | undefined) => boolean;

/** Each key is tried once: a hello is judged several times, and a signature costs more than all the rest of that. */
export function signatureOf({ host, machineId, bootId, signature }: Hello, nonce: string, verify = verifySignature): IsSignedBy {
  const tried = new Map<string, boolean>();
  return (row) => {
    if (row?.publicKey === undefined) return false;
    const isSigned = tried.get(row.publicKey) ?? verify(row.publicKey, helloBytes({ nonce, host, machineId, bootId }), signature);
    tried.set(row.publicKey, isSigned);
    return isSigned;
  };
}

/** Whether a hello is admitted. Pure: the host's row and the hello's signature decide. */
export function judgeHello(hello: Hello, row: HostRow | undefined, isSignedBy: IsSignedBy): HelloVerdict {
  const refuse = (closeCode: number, code: string, message: string): HelloVerdict => ({ kind: 'refused', closeCode, code, message });
  if (hello.protocol > PROTOCOL_VERSION || hello.protocol < OLDEST_PROTOCOL_VERSION) {
    return refuse(
      CLOSE_CODES.protocolUnsupported,
      'PROTOCOL_UNSUPPORTED',
      `this server speaks protocol ${OLDEST_PROTOCOL_VERSION} to ${PROTOCOL_VERSION}, the agent ${hello.protocol}: upgrade the ${hello.protocol > PROTOCOL_VERSION ? 'server' : 'agent'}`,
    );
  }
  if (row?.publicKey === undefined) {
    return refuse(
      CLOSE_CODES.unauthorized,
      'HOST_NOT_ENROLLED',
      `no agent is enrolled for ${hello.host}: run "floe enrol ${hello.host}" and enrol this machine`,
    );
  }
  if (!isSignedBy(row)) {
    return refuse(
      CLOSE_CODES.unauthorized,
      'HOST_KEY_UNKNOWN',
      `the key of this agent is not the one enrolled for ${hello.host}: run "floe enrol ${hello.host}" and enrol this machine again`,
    );
  }
  if (row.unreadable !== undefined) {
    return refuse(CLOSE_CODES.restarting, 'HOST_ROW_UNREADABLE', `the server cannot serve ${hello.host}: ${row.unreadable}`);
  }
  if (row.revokedAt !== undefined) {
    return refuse(
      CLOSE_CODES.unauthorized,
      'HOST_REVOKED',
      `the enrolment of ${hello.host} was revoked: to bring this machine back, run "floe enrol ${hello.host}" and enrol it again`,
    );
  }
  if (row.machineId !== hello.machineId) {
    return {
      kind: 'cloned',
      closeCode: CLOSE_CODES.cloned,
      code: 'HOST_CLONED',
      message: `the key of ${hello.host} came from a second machine (a cloned disk, a stolen key), or from the same one with another machine id: it is refused from everywhere until an administrator enrols the right machine again with "floe enrol ${hello.host}"`,
    };
  }
  if (row.clonedAt !== undefined) {
    return refuse(
      CLOSE_CODES.cloned,
      'HOST_CLONED',
      `the key of ${hello.host} was used by two machines: enrol this machine again with "floe enrol ${hello.host}", or, if only the right machine has the key, run: floe retry ${hello.host} --reason "…"`,
    );
  }
  if (hello.epoch > row.epoch + MAX_EPOCH_JUMP) {
    return {
      kind: 'refused',
      closeCode: CLOSE_CODES.unauthorized,
      code: EPOCH_TOO_FAR,
      message: `the agent of ${hello.host} accepted epoch ${hello.epoch}, far above the last one of this server (${row.epoch}): by a stolen server key, or from another database; when that is fixed, run on the machine: systemctl stop floe-agent, then: floe-agent forget epoch, then: systemctl start floe-agent`,
    };
  }
  return { kind: 'welcome' };
}
