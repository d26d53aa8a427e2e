import { and, desc, eq, isNull } from 'drizzle-orm';
import type { Database } from './database.ts';
import type { StoredHost } from './host-rows.ts';
import type { HostPresence } from './records.ts';
import { releases } from './tables/index.ts';
import { isReadableCounter } from './unreadable.ts';

type Handed = Partial<
  Pick<StoredHost, 'toldSequence' | 'desiredReleaseId' | 'desiredToplevel' | 'desiredSequence' | 'desiredSince' | 'desiredMode' | 'desiredPermit'>
>;

/**
 * What a host was told by a database that is gone, as far as its hello proves that: it accepted a higher sequence than it was told here, and the
 * statement log has releases for it up to there. It never goes below that. If it is about that very release, this is what it was told last.
 */
export async function handedBefore(db: Database, row: StoredHost, { sequence, stateToplevel, at }: HostPresence): Promise<Handed> {
  if (sequence <= Math.max(row.toldSequence, row.desiredSequence ?? 0)) return {};
  const ofHost = and(eq(releases.repositoryId, row.repositoryId), eq(releases.host, row.host), isReadableCounter(releases.sequence));
  const [newest] = await db.select({ sequence: releases.sequence }).from(releases).where(ofHost).orderBy(desc(releases.sequence)).limit(1);
  // Of another repository, a lie, or of a log that is lost, too: a host must not close itself off by what it says.
  if (newest === undefined || sequence > newest.sequence) return {};
  const [accepted] = await db
    .select({ id: releases.id, toplevel: releases.toplevel })
    .from(releases)
    .where(and(ofHost, eq(releases.sequence, sequence), isNull(releases.revisionId)));
  const toldSequence = sequence;
  // Also where it was brought back from that release since, by a permit: then it is about another system.
  if (accepted === undefined || accepted.toplevel !== stateToplevel) return { toldSequence };
  return {
    toldSequence,
    desiredReleaseId: accepted.id,
    desiredToplevel: accepted.toplevel,
    desiredSequence: sequence,
    desiredSince: at,
    desiredMode: null,
    desiredPermit: null,
  };
}
