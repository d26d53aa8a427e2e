import { MAX_SIGNER_CHARACTERS, storableText } from '@floe/model';
import { and, desc, eq, gt, inArray, isNotNull, lt, lte, ne, or, sql, type SQL } from 'drizzle-orm';
import * as v from 'valibot';
import { isInForce, personOf } from './api-tokens.ts';
import type { Database } from './database.ts';
import { pushersOf, type CommitsOf } from './pushers.ts';
import type { RolloutAuthors, RolloutPeople } from './records.ts';
import { apiTokens, handovers, revisions, rollouts } from './tables/index.ts';
import { isReadableCounter } from './unreadable.ts';

/** More than so many authors of one rollout are not told apart: then nobody is known to be somebody else. */
export const MAX_AUTHORS = 200;
/** So many complete rollouts are looked at for one in which the ring was asked. */
const MAX_LOOKED_AT = 200;
/** As a revision or a rollout has them. They are compared, so none is cut or cleaned. */
const Signer = v.pipe(
  v.string(),
  v.check((text) => storableText(text, MAX_SIGNER_CHARACTERS) === text),
);
export const SignersColumn = v.pipe(v.array(Signer), v.maxLength(MAX_AUTHORS));
/** Rings of a complete rollout that were passed over without their approvals. */
export const UnapprovedColumn = v.pipe(v.array(v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(1_000))), v.maxLength(1_000));

/** See `RolloutStore.authorsOf`. */
export async function authorsOf(
  db: Database,
  revisionId: string,
  forge: string,
  ring: { readonly index: number; readonly name: string },
): Promise<RolloutAuthors | undefined> {
  const [revision] = await db
    .select({ repositoryId: revisions.repositoryId, sequence: revisions.sequence })
    .from(revisions)
    .where(and(eq(revisions.id, revisionId), isReadableCounter(revisions.sequence)));
  if (revision === undefined) return undefined;
  const before = { ...revision, revisionId };
  const asked = await askedLast(db, before, ring.name);
  // Who brought the rest of what the ring has not had is not known, but those are who brought the newest.
  const since = asked ?? (await askedLast(db, before, undefined));
  if (since === undefined) return undefined;
  const commits: CommitsOf = { ...revision, since };
  const pushers = await pushersOf(db, commits, forge);
  const signers = pushers === undefined ? undefined : await signersOf(db, revisionId, commits);
  if (pushers === undefined || signers === undefined) return undefined;
  const { logins, isUntold } = pushers;
  return {
    ring: ring.index,
    since,
    pushers: logins.slice(0, MAX_AUTHORS),
    isUntold: isUntold || asked === undefined || logins.length > MAX_AUTHORS,
    signers,
  };
}

const Names = v.fallback(v.array(v.unknown()), []);

/**
 * The sequence of the newest complete rollout in which a ring of this name was not passed over without its approvals; of the newest one whatever
 * it passed over, where no ring is named. One of which that cannot be read is not it: an older one only makes more people authors.
 */
async function askedLast(
  db: Database,
  { repositoryId, revisionId, sequence }: { readonly repositoryId: string; readonly revisionId: string; readonly sequence: number },
  ring: string | undefined,
): Promise<number | undefined> {
  let below: number | undefined;
  for (let looked = 0; looked < MAX_LOOKED_AT; looked += 1) {
    const [complete] = await db
      .select({
        sequence: revisions.sequence,
        unapproved: rollouts.unapproved,
        names: sql<unknown>`jsonb_path_query_array(coalesce(${revisions.policy}, 'null'), '$.rings[*].name')`,
      })
      .from(rollouts)
      .innerJoin(revisions, eq(revisions.id, rollouts.revisionId))
      .where(
        and(
          eq(revisions.repositoryId, repositoryId),
          eq(rollouts.state, 'COMPLETE'),
          ne(revisions.id, revisionId),
          isReadableCounter(revisions.sequence),
          lt(revisions.sequence, below ?? sequence),
        ),
      )
      .orderBy(desc(revisions.sequence))
      .limit(1);
    if (complete === undefined || ring === undefined) return complete?.sequence;
    const unapproved = v.safeParse(UnapprovedColumn, complete.unapproved ?? []);
    const names = v.parse(Names, complete.names);
    if (unapproved.success && !unapproved.output.some((index) => names[index] === ring)) return complete.sequence;
    below = complete.sequence;
  }
  return undefined;
}

/** Undefined: what was noted cannot be read, or there are too many. */
async function signersOf(db: Database, revisionId: string, { repositoryId, since, sequence }: CommitsOf): Promise<readonly string[] | undefined> {
  const isNew = and(gt(revisions.sequence, since), lte(revisions.sequence, sequence));
  // The commits of one that was not published are those of a later one, too, or of none.
  const counts = or(isNotNull(revisions.publishedAt), eq(revisions.id, revisionId));
  const rows = await db
    .select({ signers: revisions.signers })
    .from(revisions)
    .where(and(eq(revisions.repositoryId, repositoryId), isNew, counts, isNotNull(revisions.signers)));
  const found = new Set<string>();
  for (const row of rows) {
    const read = v.safeParse(SignersColumn, row.signers);
    if (!read.success) return undefined;
    for (const signer of read.output) found.add(signer);
  }
  return found.size > MAX_AUTHORS ? undefined : [...found].toSorted();
}

/** Adds to those who are noted: when a revision is asked again, the branch's newest published commit may be its own. */
export async function noteSigners(db: Database, id: string, signers: readonly string[]): Promise<void> {
  const texts = JSON.stringify(signers);
  await db.execute(sql`
    update ${revisions} set signers = (
      select jsonb_agg(distinct s.signer) from jsonb_array_elements_text(coalesce(${revisions.signers}, '[]') || ${texts}::text::jsonb) s(signer)
    ) where ${revisions.id} = ${id}
      and not (coalesce(${revisions.signers}, '[]') @> ${texts}::text::jsonb and ${revisions.signers} is not null)`);
}

/** The people who submitted what a revision has, and the rollout with the sequence `since` had not. */
function submittersOf({ repositoryId, since, sequence }: CommitsOf): SQL {
  return sql`(
    select json_agg(distinct ${handovers.person}) from ${revisions} join ${handovers} on ${handovers.id} = ${revisions.handoverId}
    where ${revisions.repositoryId} = ${repositoryId} and ${revisions.sequence} > ${since}::bigint and ${revisions.sequence} <= ${sequence}::bigint)`;
}

const Submitters = v.nullable(v.array(v.string()));

/** The people with these logins and signatures, by the tokens that name them, those included that have ended; and those who submitted. */
export async function readPeople(
  db: Database,
  { pushers, isUntold, signers }: Pick<RolloutAuthors, 'pushers' | 'isUntold' | 'signers'>,
  submitted: CommitsOf,
  now: number,
): Promise<RolloutPeople> {
  const { name, person, forgeLogin, signer, role, expiresAt } = apiTokens;
  const isOfAuthor = [
    ...(pushers.length === 0 ? [] : [inArray(forgeLogin, [...pushers])]),
    ...(signers.length === 0 ? [] : [inArray(signer, [...signers])]),
  ];
  const token = { name, person, forgeLogin, signer, role, expiresAt };
  // Of one row at least: there may be nobody with such a token.
  const found = await db
    .select({ token, submitters: sql<unknown>`${submittersOf(submitted)}` })
    .from(sql`(select 1) as one`)
    .leftJoin(apiTokens, or(...isOfAuthor, and(eq(role, 'administrator'), isInForce(now))));
  const rows = found.flatMap((row) => row.token ?? []);
  const submitters = v.parse(Submitters, found[0]?.submitters ?? null) ?? [];
  const isIn = (text: string | null, known: readonly string[]): boolean => text !== null && known.includes(text);
  const known = rows.filter((row) => isIn(row.forgeLogin, pushers) || isIn(row.signer, signers));
  const authors = [...new Set([...known.map(personOf), ...submitters])].toSorted();
  const isOver = (end: number | null): boolean => end !== null && end <= now;
  return {
    authors,
    isUntold,
    unmapped: pushers.filter((login) => !known.some((row) => row.forgeLogin === login)),
    unmappedSigners: signers.filter((each) => !known.some((row) => row.signer === each)),
    hasOtherAdministrator: rows.some((row) => row.role === 'administrator' && !isOver(row.expiresAt) && !authors.includes(personOf(row))),
  };
}
