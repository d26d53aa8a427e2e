/**
 * The version of the socket messages. The server also speaks the one before it.
 * History: 1 = first form.
 */
export const PROTOCOL_VERSION = 1;
export const OLDEST_PROTOCOL_VERSION = 1;

/** The largest socket frame either side accepts, in bytes. Larger ones close the socket with 1009. */
export const MAX_FRAME_BYTES = 256 * 1024;
/** All that the server reads from an agent before it is welcome, in bytes: a hello is small. */
export const MAX_HELLO_BYTES = 16 * 1024;

/** Both sides ping this often, and take a socket that was silent for three times as long for dead. */
export const HEARTBEAT_MS = 15_000;

/** Why the server closes a socket; the agent decides from it whether and when to come back. */
export const CLOSE_CODES = {
  /** The server stops; come back with jitter. */
  restarting: 1012,
  /** A frame that is not of the protocol. A bug or an attack; come back slowly. */
  badMessage: 4400,
  /** Key unknown, revoked, or signature wrong; only an administrator helps; come back slowly. */
  unauthorized: 4401,
  /** The protocol version is not spoken here; upgrade the agent (or the server). */
  protocolUnsupported: 4406,
  /** A newer session of this machine replaced this one; do not come back. */
  replaced: 4409,
  /** The same key from two machines: both are quarantined until an administrator decides. */
  cloned: 4423,
  /** The other side does not read fast enough. */
  tooSlow: 4429,
} as const;
