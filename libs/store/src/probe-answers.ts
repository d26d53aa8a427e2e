import { MAX_COUNTER, MAX_TIME_MS, PROBE_VERDICTS, storableText, TARGET_NAME_FORM, type StoredAnswer } from '@floe/model';
import { and, eq, sql, type SQL } from 'drizzle-orm';
import type { PgColumn } from 'drizzle-orm/pg-core';
import * as v from 'valibot';
import type { Database } from './database.ts';
import { notify } from './hints.ts';
import type { AskedAnswer, ProbeOfRing } from './rollout-records.ts';
import type { RolloutStore } from './store.ts';
import { probeAnswers } from './tables/index.ts';

const MAX_DETAIL_CHARACTERS = 1_000;
const MAX_VALUE_CHARACTERS = 64;

const CounterValue = v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(MAX_COUNTER));
const Bound = v.nullable(v.pipe(v.number(), v.finite()));
const Text = v.pipe(
  v.string(),
  v.transform((text) => storableText(text)),
);
/** A row as `json_agg` writes it. */
const Row = v.pipe(
  v.object({
    name: v.pipe(v.string(), v.regex(TARGET_NAME_FORM)),
    ring: CounterValue,
    number: v.pipe(CounterValue, v.minValue(1)),
    acknowledged: v.number(),
    asked_at: v.pipe(CounterValue, v.maxValue(MAX_TIME_MS)),
    verdict: v.picklist(PROBE_VERDICTS),
    value: v.nullable(v.pipe(v.string(), v.maxLength(MAX_VALUE_CHARACTERS), Text)),
    max: Bound,
    min: Bound,
    detail: v.pipe(v.string(), v.maxLength(MAX_DETAIL_CHARACTERS), Text),
    tries: CounterValue,
  }),
  v.transform(({ acknowledged, asked_at: askedAt, value, max, min, ...row }): StoredAnswer => ({
    ...row,
    askedAt,
    value: value ?? undefined,
    max: max ?? undefined,
    min: min ?? undefined,
    isAcknowledged: acknowledged === row.number,
  })),
);

/** The last answers of all probes of a rollout, as a column of another query: each look at the fleet reads them. */
export function answersColumn(rolloutId: string | PgColumn): SQL {
  return sql`(select json_agg(p order by p.ring, p.name) from ${probeAnswers} p where p.rollout_id = ${rolloutId})`;
}

/** A row without an answer, or one that cannot be read, is left out: its probe is asked again. */
export function toAnswers(column: unknown): readonly StoredAnswer[] {
  const rows = v.safeParse(v.array(v.unknown()), column);
  return (rows.success ? rows.output : []).flatMap((row) => {
    const read = v.safeParse(Row, row);
    return read.success ? [read.output] : [];
  });
}

function isProbe({ rolloutId, ring, name }: ProbeOfRing) {
  return and(eq(probeAnswers.rolloutId, rolloutId), eq(probeAnswers.ring, ring), eq(probeAnswers.name, name));
}

/**
 * Of two servers that want to ask at once one gets a claim, and asks; the other gets undefined. A claim ends by itself, since who has it
 * may have died; one from a clock that was ahead does not hold until that date.
 */
async function claimProbe(db: Database, probe: ProbeOfRing, now: number, leaseMs: number): Promise<number | undefined> {
  const until = probeAnswers.claimedUntil;
  const isFree = sql`${until} is null or ${until} < ${now}::bigint or ${until} > ${now + leaseMs}::bigint`;
  const [claimed] = await db
    .insert(probeAnswers)
    .values({ ...probe, claim: 1, claimedUntil: now + leaseMs })
    .onConflictDoUpdate({
      target: [probeAnswers.rolloutId, probeAnswers.ring, probeAnswers.name],
      set: { claim: sql`${probeAnswers.claim} + 1`, claimedUntil: now + leaseMs },
      setWhere: isFree,
    })
    .returning({ claim: probeAnswers.claim });
  return claimed?.claim;
}

/** Stored only under the newest claim: the answer of a server that was too slow is older than the one that is there. */
async function answerProbe(db: Database, probe: ProbeOfRing, claim: number, { askedAt, ...result }: AskedAnswer): Promise<boolean> {
  const { verdict, value, max, min, detail } = result;
  return await db.transaction(async (tx) => {
    const [stored] = await tx
      .update(probeAnswers)
      .set({
        claimedUntil: null,
        number: sql`${probeAnswers.number} + 1`,
        // What a person acknowledged is over: the row of tries begins again.
        tries:
          verdict === 'unknown' ? sql`case when ${probeAnswers.acknowledged} = ${probeAnswers.number} then 1 else ${probeAnswers.tries} + 1 end` : 0,
        askedAt,
        verdict,
        value: value === undefined ? null : storableText(value, MAX_VALUE_CHARACTERS),
        max: max ?? null,
        min: min ?? null,
        detail: storableText(detail, MAX_DETAIL_CHARACTERS),
      })
      .where(and(isProbe(probe), eq(probeAnswers.claim, claim)))
      .returning({ number: probeAnswers.number });
    if (stored !== undefined) await notify(tx, { topic: 'host', host: '*' });
    return stored !== undefined;
  });
}

/** A person saw these answers. One that has come since is not among them. */
export async function acknowledgeAnswers(tx: Database, answers: readonly (ProbeOfRing & { readonly number: number })[]): Promise<void> {
  for (const { number, ...probe } of answers)
    await tx
      .update(probeAnswers)
      .set({ acknowledged: number })
      .where(and(isProbe(probe), eq(probeAnswers.number, number)));
}

export function createProbeAnswers(db: Database): Pick<RolloutStore, 'claimProbe' | 'answerProbe'> {
  return {
    claimProbe: async (probe, now, leaseMs) => await claimProbe(db, probe, now, leaseMs),
    answerProbe: async (probe, claim, answer) => await answerProbe(db, probe, claim, answer),
  };
}
