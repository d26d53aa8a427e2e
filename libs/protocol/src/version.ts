/** The version of the socket messages. The server also accepts the previous one. History: 1 = first version. */
export const PROTOCOL_VERSION = 1;
export const OLDEST_PROTOCOL_VERSION = 1;

/** The largest socket frame that either side accepts, in bytes. A larger one closes the socket with 1009. */
export const MAX_FRAME_BYTES = 256 * 1024;
/** The most that the server reads from an agent before its welcome, in bytes. A hello is small. */
export const MAX_HELLO_BYTES = 16 * 1024;

/**
 * Interval of each side's pings. The server pings only agents that sent nothing since the last one. A socket that was silent for three
 * intervals counts as dead.
 */
export const HEARTBEAT_MS = 15_000;

/** Why the server closes a socket. The agent decides by it whether and when to reconnect. */
export const CLOSE_CODES = {
  /** The server stops: reconnect with jitter. */
  restarting: 1012,
  /** A frame does not follow the protocol, by a bug or an attack: reconnect slowly. */
  badMessage: 4400,
  /** The key is unknown or revoked, or the signature is wrong. Only an administrator can fix it: reconnect slowly. */
  unauthorized: 4401,
  /** The server does not support the protocol version: upgrade the agent (or the server). */
  protocolUnsupported: 4406,
  /** A newer session of this machine replaced this one: do not reconnect. */
  replaced: 4409,
  /** Two machines use this key. Both are refused until an administrator decides. */
  cloned: 4423,
  /** The other side does not read fast enough. */
  tooSlow: 4429,
} as const;
