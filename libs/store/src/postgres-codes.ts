/** What an error of the server means for the connection that it came on, and for the call. */
interface Meaning {
  /** SQLSTATEs, a dot for any character. */
  readonly codes: string;
  /** The session is of no more use: the next call gets a new connection, perhaps to another server. */
  readonly condemns: boolean;
  /** The same call may succeed later. */
  readonly passes: boolean;
}

/**
 * The errors that say more than "this statement was refused", by postgresql.org/docs/current/errcodes-appendix.html.
 * The first line that a code fits counts. All others are about the statement: a bug, or a constraint.
 */
const MEANINGS: readonly Meaning[] = [
  // Connection exceptions. 08P01 is also a pooler's word for something that it does not forward.
  { codes: '08...', condemns: true, passes: true },
  // A write to a standby, or to a server that was made read-only. The session keeps that for as long as it lives, also
  // when the server is promoted or its setting changed back, and a name or proxy may lead to another server by now.
  { codes: '25006', condemns: true, passes: true },
  // The transaction had failed before, or its session was idle in it for too long.
  { codes: '25P0[1234]', condemns: true, passes: true },
  // A prepared statement that is there or is not, unlike it should: the session is not the one that it was (a pooler).
  { codes: '26000', condemns: true, passes: true },
  { codes: '42P05', condemns: true, passes: true },
  // Serialization failure and deadlock: the transaction was ended so that another goes on.
  { codes: '40001', condemns: false, passes: true },
  { codes: '40P01', condemns: false, passes: true },
  // Statement completion unknown: only the connection's end says so.
  { codes: '40003', condemns: true, passes: true },
  // Disk full: room comes back under the same session. Out of memory, or of connections: a session less helps.
  { codes: '53100', condemns: false, passes: true },
  { codes: '53...', condemns: true, passes: true },
  // A lock that could not be taken, and a statement that took too long or was cancelled.
  { codes: '55P03', condemns: false, passes: true },
  { codes: '57014', condemns: false, passes: true },
  // Shutdown, crash, start, a dropped database, an idle session's end.
  { codes: '57P0[12345]', condemns: true, passes: true },
  // Errors of the system under the server: input and output, files that are not there or cannot be read.
  { codes: '58...', condemns: true, passes: true },
  // A broken configuration file, and internal errors: damaged data or indexes among them.
  { codes: 'F0...', condemns: true, passes: true },
  { codes: 'XX...', condemns: true, passes: true },
];

const PATTERNS = MEANINGS.map((meaning) => ({ ...meaning, pattern: new RegExp(`^${meaning.codes}$`) }));

function meaningOf(sqlState: string): Meaning | undefined {
  return PATTERNS.find(({ pattern }) => pattern.test(sqlState));
}

/** True when a connection on which the server said this is not to be used again, though the server left it open. */
export function condemnsConnection(sqlState: string): boolean {
  return meaningOf(sqlState)?.condemns ?? false;
}

/** True when the call that got this may succeed later, without anyone changing it. */
export function isPassing(sqlState: string): boolean {
  return meaningOf(sqlState)?.passes ?? false;
}

/** Protocol violation. At the start of a session: a parameter that a pooler in between does not forward. */
export const PROTOCOL_VIOLATION = '08P01';
