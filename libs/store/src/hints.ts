import type { HostName } from '@floe/model';
import type { Logger } from '@floe/runtime';
import { sql } from 'drizzle-orm';
import * as v from 'valibot';
import { CHANNEL, type Connection, type Database } from './database.ts';
import { HostNameText } from './rows.ts';
import type { Hint, HintChannel } from './store.ts';

const Hints = v.pipe(
  v.string(),
  v.parseJson(),
  v.array(
    v.variant('topic', [
      v.object({ topic: v.literal('repository'), id: v.string() }),
      v.object({ topic: v.literal('host'), host: HostNameText }),
      v.object({ topic: v.literal('revision'), id: v.string() }),
      v.object({ topic: v.literal('outbox') }),
    ]),
  ),
);

/** Postgres refuses a notification of 8000 bytes, and with it the whole transaction. Host names are ASCII. */
const MAX_PAYLOAD_BYTES = 7_900;

/** Sends hints when the transaction commits; nothing is sent when it rolls back. */
export async function notify(db: Database, ...hints: readonly Hint[]): Promise<void> {
  if (hints.length > 0) await db.execute(sql`select pg_notify(${CHANNEL}, ${JSON.stringify(hints)})`);
}

/** One notification for many hosts: by name while they fit, else `*`. */
export async function notifyHosts(db: Database, hosts: readonly HostName[]): Promise<void> {
  const hints: readonly Hint[] = hosts.map((host) => ({ topic: 'host', host }));
  await notify(db, ...(JSON.stringify(hints).length > MAX_PAYLOAD_BYTES ? [{ topic: 'host', host: '*' } as const] : hints));
}

export function createHintChannel(connection: Connection, logger: Logger): HintChannel {
  return {
    isHeard: async () => await Promise.resolve(!connection.isDeaf()),
    listen: async (onHint) =>
      await connection.listen((payload) => {
        const parsed = v.safeParse(Hints, payload);
        // A newer version may hint at what is not known here; polling finds it.
        if (!parsed.success) logger.debug('a hint was not understood', { why: v.summarize(parsed.issues) });
        else parsed.output.forEach(onHint);
      }),
  };
}
