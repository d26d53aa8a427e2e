import { highestBelieved, MAX_COUNTER } from '@floe/model';
import { and, eq, gt, isNull, lte, max, not } from 'drizzle-orm';
import * as v from 'valibot';
import type { Database } from './database.ts';
import { missingRow } from './errors.ts';
import { highestSequence } from './highest-sequence.ts';
import { Int8 } from './rows.ts';
import { hosts, releases, repositories } from './tables/index.ts';
import { isReadableCounter } from './unreadable.ts';

const Highest = v.nullable(Int8);

/**
 * The next sequence of a repository, which is given by that. Its row is locked: of two who ask at once, none gets the other's.
 *
 * A host that accepted a sequence which was never given was told it by a database that is gone, and refuses everything below. So the next one is
 * above that, too. What a host says is asked for here, and not when it says it: nothing signs that, and it counts only for as long as the host says so.
 */
export async function giveSequence(tx: Database, repositoryId: string): Promise<number> {
  const [repository] = await tx.select({ given: highestSequence }).from(repositories).where(eq(repositories.id, repositoryId)).for('no key update');
  if (repository === undefined) throw missingRow('repository', repositoryId);
  const given = v.parse(Int8, repository.given);
  const sequence = ((await acceptedAbove(tx, repositoryId, given)) ?? given) + 1;
  await tx.update(repositories).set({ sequence }).where(eq(repositories.id, repositoryId));
  return sequence;
}

/** The highest that is believed of what hosts accepted, if that is above `given`. */
async function acceptedAbove(tx: Database, repositoryId: string, given: number): Promise<number | undefined> {
  const isAbove = and(eq(hosts.repositoryId, repositoryId), isNull(hosts.revokedAt), gt(hosts.acceptedSequence, given));
  const highest = async (most: number): Promise<number | undefined> => {
    const rows = await tx
      .select({ highest: max(hosts.acceptedSequence) })
      .from(hosts)
      .where(and(isAbove, lte(hosts.acceptedSequence, most)));
    return v.parse(Highest, rows[0]?.highest ?? null) ?? undefined;
  };
  // Most of the time there is none, and no release has to be looked for.
  if ((await highest(MAX_COUNTER)) === undefined) return undefined;
  const ofFleet = and(eq(releases.repositoryId, repositoryId), not(releases.isSubmitted), isReadableCounter(releases.sequence));
  const [newest] = await tx
    .select({ sequence: max(releases.sequence) })
    .from(releases)
    .where(ofFleet);
  return await highest(highestBelieved(v.parse(Highest, newest?.sequence ?? null) ?? undefined));
}
