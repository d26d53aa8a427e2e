import { connect, type Socket } from 'node:net';
import postgres from 'postgres';
import { condemnsConnection, PROTOCOL_VIOLATION } from './postgres-codes.ts';

/** How to reach the server. */
export interface PostgresAddress {
  readonly url: string;
  /** The folder of the unix socket, where the server is reached through one. */
  readonly socketFolder: string | undefined;
}

/** Longer than any statement here takes; a server that hangs is then taken for one that is away. */
const STATEMENT_TIMEOUT_MS = 60_000;
/** The server's own limit comes first; this one is for a server, or a network, that does not even say that. */
const ANSWER_TIMEOUT_MS = STATEMENT_TIMEOUT_MS + 10_000;
const CONNECT_TIMEOUT_MS = 10_000;

/** The server's own limits, which it takes at the start of a session. */
const SESSION_LIMITS = { statement_timeout: STATEMENT_TIMEOUT_MS, idle_in_transaction_session_timeout: STATEMENT_TIMEOUT_MS };
/** The same for one transaction, where a session is not one's own. */
const TRANSACTION_LIMITS = Object.entries(SESSION_LIMITS).map(([name, value]) => `set local ${name} = ${value}`);

/**
 * A prepared statement stays in the session and in the driver's memory. Longer ones are inserts of many rows: each number of rows
 * is another statement.
 */
const MAX_PREPARED_CHARACTERS = 4_000;
const MAX_PREPARED = 300;

/** json and jsonb: Drizzle has made the text already. */
const JSON_TYPES = [114, 3802];

type OnNotify = (channel: string, payload: string) => void;

/**
 * One connection to Postgres, used by one at a time, that is thrown away when it is lost.
 *
 * It is a client of postgres.js that never gets to queue, to pool or to reconnect: in 3.4.9 whatever is sent on a
 * connection that was just lost, like the `rollback` of a transaction, throws outside of every promise and ends the
 * process (porsager/postgres#1154, #1208), or is never answered. So nothing is sent after the loss, and every answer
 * that is still awaited then fails here.
 */
export class PostgresLine {
  readonly #client: postgres.Sql;
  readonly #awaited = new Set<(reason: Error) => void>();
  readonly #hasLimits: boolean;
  readonly #prepared = new Set<string>();
  #isDirect = false;
  #loss: Error | undefined;

  private constructor(address: PostgresAddress, onNotify: OnNotify, hasLimits: boolean) {
    this.#hasLimits = hasLimits;
    const options = {
      ...(address.socketFolder === undefined ? {} : { host: address.socketFolder }),
      max: 1,
      max_lifetime: null,
      fetch_types: false,
      connect_timeout: CONNECT_TIMEOUT_MS / 1000,
      socket: oneSocket(),
      connection: { application_name: 'floe', ...(hasLimits ? SESSION_LIMITS : {}) },
      onnotice: () => undefined,
      onclose: () => this.lose(lossOf('CONNECTION_CLOSED', 'the connection was closed')),
      // What postgres.js hands notifications to; its own `listen` would open a client that reconnects.
      onnotify: onNotify,
    };
    this.#client = postgres(address.url, options);
    for (const type of JSON_TYPES) this.#client.options.serializers[type] = (text: unknown) => text;
  }

  /**
   * Connects. Throws the driver's error when that fails. A pooler such as PgBouncer refuses a session that asks for more
   * than it forwards; then the limits go with each transaction, since a session there is not one's own.
   */
  static async open(address: PostgresAddress, onNotify: OnNotify = () => undefined): Promise<PostgresLine> {
    try {
      return await PostgresLine.#connect(address, onNotify, true);
    } catch (error) {
      if (!(error instanceof postgres.PostgresError) || error.code !== PROTOCOL_VIOLATION) throw error;
      return await PostgresLine.#connect(address, onNotify, false);
    }
  }

  static async #connect(address: PostgresAddress, onNotify: OnNotify, hasLimits: boolean): Promise<PostgresLine> {
    const line = new PostgresLine(address, onNotify, hasLimits);
    try {
      const rows = await line.run(async (client) => await client.unsafe('select pg_backend_pid() as pid'), CONNECT_TIMEOUT_MS);
      // A pooler names itself at the start of a session, and the server behind it is another process.
      line.#isDirect = rows[0]?.['pid'] === rows.state.pid;
      return line;
    } catch (error) {
      line.lose(lossOf('CONNECTION_CLOSED', 'the connection was not made'));
      throw error;
    }
  }

  /** What begins a transaction. */
  get begin(): string {
    return this.#hasLimits ? 'begin' : ['begin', ...TRANSACTION_LIMITS].join('; ');
  }

  /**
   * Whether to prepare this statement: then it takes one round trip instead of two, and is parsed once. By default postgres.js
   * prepares nothing that Drizzle sends (porsager/postgres#794). Behind a pooler nothing is prepared: the next transaction may be
   * in another session.
   */
  mayPrepare(statement: string): boolean {
    if (!this.#isDirect || statement.length > MAX_PREPARED_CHARACTERS) return false;
    if (this.#prepared.size < MAX_PREPARED) this.#prepared.add(statement);
    return this.#prepared.has(statement);
  }

  get isLost(): boolean {
    return this.#loss !== undefined;
  }

  /** Sends what `send` sends, unless the line is lost; fails when it is lost before the answer, or after `timeoutMs`. */
  async run<Result>(send: (client: postgres.Sql) => Promise<Result>, timeoutMs: number | undefined = ANSWER_TIMEOUT_MS): Promise<Result> {
    if (this.#loss !== undefined) throw this.#loss;
    const { promise, resolve, reject } = Promise.withResolvers<Result>();
    this.#awaited.add(reject);
    const late =
      timeoutMs === Infinity ? undefined : setTimeout(() => this.lose(lossOf('CONNECT_TIMEOUT', 'the database gave no answer')), timeoutMs);
    // Not a race with one long promise for the loss: that would keep every answer in memory as long as the line lives.
    send(this.#client).then(resolve, (error: unknown) => {
      reject(error);
      if (!isAnswer(error)) this.lose(error instanceof Error ? error : lossOf('CONNECTION_CLOSED', String(error)));
    });
    try {
      return await promise;
    } finally {
      clearTimeout(late);
      this.#awaited.delete(reject);
    }
  }

  /** Resolves when the line is lost. */
  async untilLost(): Promise<void> {
    if (this.#loss !== undefined) return;
    await new Promise<void>((resolve) => this.#awaited.add(() => resolve()));
  }

  /** Gives the line up: all that is awaited on it fails with `reason`. */
  lose(reason: Error): void {
    if (this.#loss !== undefined) return;
    this.#loss = reason;
    for (const reject of this.#awaited) reject(reason);
    this.#awaited.clear();
    void this.#client.end({ timeout: 0 });
  }

  /** Ends the connection; waits until it is closed. */
  async close(): Promise<void> {
    this.#loss ??= lossOf('CONNECTION_ENDED', 'the connection was ended');
    await this.#client.end({ timeout: CONNECT_TIMEOUT_MS / 1000 });
  }
}

/** What postgres.js hands to a function that makes its sockets. */
interface SocketOptions {
  readonly host: readonly string[];
  readonly port: readonly number[];
  /** Of the unix socket, where there is one. */
  readonly path: string | false;
}

/**
 * Makes a socket once. Of itself postgres.js connects again, without a pause, as long as a server takes connections and
 * hangs up, like a proxy whose database is away.
 */
function oneSocket(): (options: SocketOptions) => Socket {
  let isMade = false;
  return ({ host: [host = 'localhost'], port: [port = 5432], path }) => {
    if (isMade) throw lossOf('CONNECTION_CLOSED', 'the database closed the connection before it answered');
    isMade = true;
    const socket = typeof path === 'string' ? connect({ path }) : connect({ host, port });
    // Where postgres.js looks for the name that the server's certificate is to have.
    return Object.assign(socket, { host });
  };
}

/**
 * True when Postgres refused the statement, and the session goes on as it was. Any other error is, or is about to be,
 * the end of the session, or says that it should be; the socket's own error comes some turns of the event loop before
 * its end is noticed.
 */
function isAnswer(error: unknown): boolean {
  return error instanceof postgres.PostgresError && error.severity === 'ERROR' && !condemnsConnection(error.code);
}

/** An error as postgres.js makes them. */
function lossOf(code: string, message: string): Error {
  return Object.assign(new Error(message), { code });
}
