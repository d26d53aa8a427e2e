import { randomBytes } from 'node:crypto';
import type { HostName } from '@floe/model';
import type { Logger } from '@floe/runtime';
import { is, SQL, sql } from 'drizzle-orm';
import * as v from 'valibot';
import { CHANNEL, type Connection, type Database } from './database.ts';
import { HostNameText } from './rows.ts';
import type { Hint, HintChannel } from './store.ts';

/**
 * Names a store of a process. A writer whose caller acts on what it wrote puts it on its hints: the store that they come
 * from does not hear them, or each report would be looked at twice.
 */
export type HintOrigin = string;

type SentHint = Hint & { readonly origin?: HintOrigin | undefined };

const origin = v.optional(v.string());
const SentHints = v.pipe(
  v.string(),
  v.parseJson(),
  v.array(
    v.variant('topic', [
      v.object({ topic: v.literal('repository'), id: v.string(), origin }),
      v.object({ topic: v.literal('host'), host: HostNameText, origin }),
      v.object({ topic: v.literal('revision'), id: v.string(), origin }),
      v.object({ topic: v.literal('outbox'), origin }),
    ]),
  ),
);

/** Short: it is repeated for each host that a notification names. */
export function newHintOrigin(): HintOrigin {
  return randomBytes(4).toString('hex');
}

/** Postgres refuses a notification of 8000 bytes, and with it the whole transaction. Host names are ASCII. */
const MAX_PAYLOAD_BYTES = 7_900;

/** Sends hints when the transaction commits; nothing is sent when it rolls back. */
export async function notify(db: Database, ...hints: readonly SentHint[]): Promise<void> {
  if (hints.length > 0) await db.execute(sql`select pg_notify(${CHANNEL}, ${JSON.stringify(hints)})`);
}

/** One notification for many hosts: by name while they fit, else `*`. */
export async function notifyHosts(db: Database, hosts: readonly HostName[], from?: HintOrigin): Promise<void> {
  await notify(db, ...hintsOf(hosts, from));
}

export function hintsOf(hosts: readonly HostName[], from: HintOrigin | undefined): readonly SentHint[] {
  const hints = hosts.map((host) => ({ topic: 'host', host, origin: from }) as const);
  return JSON.stringify(hints).length > MAX_PAYLOAD_BYTES ? [{ topic: 'host', host: '*', origin: from }] : hints;
}

/**
 * As {@link notify}, as a column of the statement that writes: sent for each of its rows, so it is to have one, or none. SQL: a list of
 * hints, where they name what only the statement knows.
 */
export function notifying(hints: readonly SentHint[] | SQL): SQL {
  const payload = is(hints, SQL) ? sql`${hints}::text` : sql`${JSON.stringify(hints)}`;
  return sql`pg_notify(${CHANNEL}, ${payload})`;
}

function withoutOrigin(sent: SentHint): Hint {
  const { origin: _, ...hint } = sent;
  return hint;
}

export function createHintChannel(connection: Connection, logger: Logger, own: HintOrigin): HintChannel {
  return {
    isHeard: async () => await Promise.resolve(!connection.isDeaf()),
    listen: async (onHints) =>
      await connection.listen((payload) => {
        const parsed = v.safeParse(SentHints, payload);
        // A newer version may hint at what is not known here; polling finds it.
        if (!parsed.success) {
          logger.debug('a hint was not understood', { why: v.summarize(parsed.issues) });
          return;
        }
        const hints = parsed.output.filter((hint) => hint.origin !== own).map(withoutOrigin);
        if (hints.length > 0) onHints(hints);
      }),
  };
}
