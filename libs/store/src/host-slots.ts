import { EVALUATION_OUTCOMES, isConfigurationKnown, type HostName, type Went } from '@floe/model';
import { and, eq, gte, isNotNull, isNull, or, sql } from 'drizzle-orm';
import * as v from 'valibot';
import type { Clock } from '@floe/runtime';
import type { Database } from './database.ts';
import { missingRow } from './errors.ts';
import { readFleet } from './fleet.ts';
import { notify, type HintOrigin } from './hints.ts';
import { toHostRow } from './host-rows.ts';
import { LabelsColumn } from './policy-column.ts';
import type { CurrentRollout, SlotFacts } from './records.ts';
import { RowReader } from './row-reader.ts';
import { HostNameText, readRows } from './rows.ts';
import { evaluations, hosts, repositories } from './tables/index.ts';

/**
 * Decides about one host's `go` while no other server decides about another one: the limits of a fleet hold however many servers
 * there are. The lock is the repository's row, in the mode that lets releases and reports refer to it.
 */
export async function takeSlot(
  db: Database,
  { clock, origin }: { readonly clock: Clock; readonly origin: HintOrigin },
  repositoryId: string,
  host: HostName,
  judge: (facts: SlotFacts) => Went | undefined,
): Promise<Went | undefined> {
  const now = clock.now();
  return await db.transaction(async (tx) => {
    const [locked] = await tx.select({ id: repositories.id }).from(repositories).where(eq(repositories.id, repositoryId)).for('no key update');
    if (locked === undefined) throw missingRow('repository', repositoryId);
    const fleet = await readFleet(tx, { repositoryId, names: [host], now });
    const gone = await tx
      .select()
      .from(hosts)
      .where(
        and(
          eq(hosts.repositoryId, repositoryId),
          isNotNull(hosts.wentToplevel),
          // One that restarted into it long after its `go` has begun just now.
          or(gte(hosts.wentUntil, now), eq(hosts.state, 'BOOT_VERIFYING')),
          isNull(hosts.revokedAt),
          isNull(hosts.clonedAt),
        ),
      );
    const labels = await labelsOf(tx, fleet.rollout, [host, ...gone.map((row) => row.host)]);
    const went = judge({ rollout: fleet.rollout, asking: fleet.hosts[0], gone: gone.map(toHostRow), labels });
    if (went === undefined) return undefined;
    await tx
      .update(hosts)
      .set({ wentToplevel: went.toplevel, wentUntil: went.until, wentEpoch: went.epoch ?? null })
      .where(eq(hosts.host, host));
    await notify(tx, { topic: 'host', host, origin });
    return went;
  });
}

const Row = v.object({ host: HostNameText, labels: v.unknown() });

const KNOWN_CONFIGURATION = EVALUATION_OUTCOMES.filter(isConfigurationKnown);

/**
 * Read under the lock, of these hosts alone: a host is evaluated while others change, and one may have no system in the revision. One whose configuration
 * the revision does not tell keeps the labels that it had: it may be changing, and have left the flake since.
 */
async function labelsOf(tx: Database, rollout: CurrentRollout | undefined, names: readonly HostName[]): Promise<SlotFacts['labels']> {
  if (rollout === undefined || rollout.policy.budgets.length === 0) return new Map();
  // A look-up for each, however many hosts the revision has.
  const evaluation = sql`from ${evaluations} e where e.revision_id = ${rollout.revisionId} and e.host = n.host`;
  const found = await tx.execute(sql`
    select n.host, coalesce(
      (select e.labels ${evaluation}),
      case when (select e.outcome ${evaluation}) in ${KNOWN_CONFIGURATION} then null else (select h.last_labels from ${hosts} h where h.host = n.host) end
    ) as labels
    from jsonb_array_elements_text(${JSON.stringify(names)}::text::jsonb) n(host)`);
  return new Map(readRows(Row, found).map(({ host, labels }) => [host, new RowReader().json('labels', labels, LabelsColumn) ?? []]));
}
