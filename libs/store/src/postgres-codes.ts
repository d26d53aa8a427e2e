/** What an error of the server means for its connection, and for the call. */
interface Meaning {
  /** SQLSTATEs, a dot for any character. */
  readonly codes: string;
  /** The session is unusable: the next call gets a new connection, perhaps to another server. */
  readonly condemns: boolean;
  /** The same call may succeed later. */
  readonly passes: boolean;
}

/**
 * The errors that mean more than "this statement was refused", by postgresql.org/docs/current/errcodes-appendix.html. The first
 * matching line counts. All others are about the statement: a bug, or a constraint.
 */
const MEANINGS: readonly Meaning[] = [
  // Connection exceptions. 08P01 is also a pooler's error for something that it does not forward.
  { codes: '08...', condemns: true, passes: true },
  // A write to a standby, or to a server that was made read-only. The session stays read-only as long as it lives, even after the
  // server is promoted or its setting changed, and its name or proxy may lead to another server by now.
  { codes: '25006', condemns: true, passes: true },
  // The transaction had failed before, or its session was idle in it for too long.
  { codes: '25P0[1234]', condemns: true, passes: true },
  // A prepared statement exists or is missing unexpectedly: the session is not the same as before (a pooler).
  { codes: '26000', condemns: true, passes: true },
  { codes: '42P05', condemns: true, passes: true },
  // "Feature not supported", and also "cached plan must not change result type": a column's type changed under a session that
  // prepared statements on it. A new session prepares them again; what is really not supported is found by the tests.
  { codes: '0A000', condemns: true, passes: true },
  // Serialization failure and deadlock: the transaction was ended so that another goes on.
  { codes: '40001', condemns: false, passes: true },
  { codes: '40P01', condemns: false, passes: true },
  // Statement completion unknown: only the end of the connection settles it.
  { codes: '40003', condemns: true, passes: true },
  // Disk full: the same session works again once there is space. Out of memory, or of connections: one session less helps.
  { codes: '53100', condemns: false, passes: true },
  { codes: '53...', condemns: true, passes: true },
  // A lock that could not be taken, and a statement that took too long or was cancelled.
  { codes: '55P03', condemns: false, passes: true },
  { codes: '57014', condemns: false, passes: true },
  // Shutdown, crash, start, a dropped database, the end of an idle session.
  { codes: '57P0[12345]', condemns: true, passes: true },
  // Errors of the server's operating system: input and output, missing or unreadable files.
  { codes: '58...', condemns: true, passes: true },
  // A broken configuration file, and internal errors, such as damaged data or indexes.
  { codes: 'F0...', condemns: true, passes: true },
  { codes: 'XX...', condemns: true, passes: true },
];

const PATTERNS = MEANINGS.map((meaning) => ({ ...meaning, pattern: new RegExp(`^${meaning.codes}$`) }));

function meaningOf(sqlState: string): Meaning | undefined {
  return PATTERNS.find(({ pattern }) => pattern.test(sqlState));
}

/** True when a connection with this error must not be used again, even if the server left it open. */
export function condemnsConnection(sqlState: string): boolean {
  return meaningOf(sqlState)?.condemns ?? false;
}

/** True when the same call may succeed later without a change. */
export function isPassing(sqlState: string): boolean {
  return meaningOf(sqlState)?.passes ?? false;
}

/** Protocol violation. At the start of a session: a parameter that a pooler does not forward. */
export const PROTOCOL_VIOLATION = '08P01';
