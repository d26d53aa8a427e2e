import { MAX_COUNTER } from '@floe/model';
import { getTableColumns, is, sql, type SQL } from 'drizzle-orm';
import { getTableConfig, PgTable } from 'drizzle-orm/pg-core';
import * as v from 'valibot';
import type { Database } from './database.ts';
import { readRows } from './rows.ts';
import * as tables from './tables/index.ts';

/** A number for each host, and others for all that is not about one host. Another number: something is not as it was. */
export interface FleetMarks {
  /** Which rollout hosts follow, wherever it is, and which labels are stopped. */
  readonly followed: string;
  readonly general: string;
  /** By the host's name as it is stored, in the order of names. */
  readonly byHost: ReadonlyMap<string, string>;
}

/** They only grow, and decide nothing. */
const HISTORY: ReadonlySet<unknown> = new Set([tables.reports, tables.directives, tables.hostStatements]);
/** So many revisions, the newest ones, with their rollouts and what people asked of those. */
const REVISIONS = 20;
/** Of so many rollouts, the newest ones, what their revisions came to for each host: hosts may follow one that is not the newest. */
const ROLLOUTS = 3;

const ALL: readonly PgTable[] = Object.values(tables).filter((table) => is(table, PgTable));
/** The tables with rows about a host, by their references to it: a new one is in the marks by itself. One outlives its host, and has none. */
const OF_HOSTS = ALL.filter(
  (table) =>
    table === tables.quarantines ||
    (table !== tables.hosts &&
      !HISTORY.has(table) &&
      getTableConfig(table).foreignKeys.some((key) => key.reference().foreignTable === tables.hosts) &&
      'host' in getTableColumns(table)),
);

/** Whether each of its times has passed: an end that comes changes no row. */
function passed(table: PgTable, alias: string, now: number): SQL {
  const times = Object.values(getTableColumns(table)).filter(({ name }) => /(?:^|_)(?:at|until)$/.test(name));
  return sql.join(
    times.map(({ name }) => sql`, ${sql.raw(`${alias}."${name}"`)} > ${now}::bigint`),
    sql.empty(),
  );
}

function rowsOf(table: PgTable, now: number): SQL {
  return sql`, (select string_agg(concat_ws('|', t::text ${passed(table, 't', now)}), ',' order by t::text) from ${table} t where t.host = h.host)`;
}

/** The limit keeps a plan from reading all rollouts that there ever were for the few that are asked for. */
function rolloutOf(revision: SQL): SQL {
  return sql`select * from rollouts r where r.revision_id = ${revision} limit 1`;
}

const Row = v.object({ followed: v.string(), general: v.string(), hosts: v.string() });
/** Of thousands of hosts, at each look: one check, and not a schema for each value. */
const Hosts = v.pipe(
  v.string(),
  v.parseJson(),
  v.custom<readonly (readonly [string, string])[]>((hosts) => Array.isArray(hosts) && hosts.every(isMark)),
);

function isMark(entry: unknown): boolean {
  return Array.isArray(entry) && typeof entry[0] === 'string' && typeof entry[1] === 'string';
}

/**
 * The marks of all hosts of a repository, by one statement that returns little: Postgres compares, and the server reads what changed.
 */
export async function readMarks(db: Database, { repositoryId, now }: { readonly repositoryId: string; readonly now: number }): Promise<FleetMarks> {
  const ofHosts = OF_HOSTS.map((table) => rowsOf(table, now));
  const newest = (which: SQL): SQL => sql`
    left join lateral (
      select to_jsonb(r) - 'envelope' as newest from releases r
      where r.repository_id = ${repositoryId} and r.host = h.host and not r.is_submitted and r.sequence between 0 and ${MAX_COUNTER}::bigint and ${which}
      order by r.sequence desc limit 1
    )`;
  const found = await db.execute(sql`
    with recent as (select v.id, v.sequence, v from revisions v where v.repository_id = ${repositoryId} order by v.sequence desc limit ${REVISIONS}),
    rolling as (
      select v.id, v.sequence from revisions v cross join lateral (${rolloutOf(sql`v.id`)}) o
      where v.repository_id = ${repositoryId} and v.sequence between 0 and ${MAX_COUNTER}::bigint order by v.sequence desc limit ${ROLLOUTS}
    ),
    ordered as (
      select e.host, string_agg(concat_ws('|', o::text, v.sequence, e.toplevel), ',' order by o.created_at, o.subject, o.commit) as list
      from quarantine_orders o join revisions v on v.repository_id = o.repository_id and v.sha = o.commit
      join evaluations e on e.revision_id = v.id and (e.host = o.subject or (o.subject = '*' and e.outcome in ('CHANGED', 'NEW')))
      where o.repository_id = ${repositoryId} and e.toplevel is not null group by e.host
    )
    select
      concat_ws('|', (
        select concat_ws('|', o.id, v.id, v.sequence) from revisions v cross join lateral (${rolloutOf(sql`v.id`)}) o
        where v.repository_id = ${repositoryId} and v.sequence between 0 and ${MAX_COUNTER}::bigint and o.waiting_since is null
        order by v.sequence desc limit 1
      ), (
        select string_agg(concat_ws('|', s::text ${passed(tables.labelStops, 's', now)}), ',' order by s.label) from label_stops s where s.repository_id = ${repositoryId}
      )) as followed,
      (
        select concat_ws('|',
          (select hashtextextended(string_agg(concat_ws('|', c.v::text, o::text), ',' order by c.sequence, c.id), 0)
            from recent c left join lateral (${rolloutOf(sql`c.id`)}) o on true),
          (select hashtextextended(string_agg(a::text, ',' order by a::text), 0)
            from recent c cross join lateral (${rolloutOf(sql`c.id`)}) o join rollout_orders a on a.rollout_id = o.id),
          (select hashtextextended(string_agg(p::text, ',' order by p.rollout_id, p.ring, p.name), 0)
            from recent c cross join lateral (${rolloutOf(sql`c.id`)}) o join probe_answers p on p.rollout_id = o.id),
          (select hashtextextended(string_agg(concat_ws('|', (to_jsonb(k) - 'last_used_at')::text ${passed(tables.apiTokens, 'k', now)}), ',' order by k.hash), 0)
            from api_tokens k),
          (select concat_ws('|', f::text ${passed(tables.freezes, 'f', now)}) from freezes f where f.repository_id = ${repositoryId})
        )
      ) as general,
      (
        select coalesce(json_agg(json_build_array(h.host, hashtextextended(concat_ws('|', h::text ${passed(tables.hosts, 'h', now)},
            one.newest::text, to_jsonb(s)::text, d.commit, concat('o', ordered.list), (
              select string_agg(e::text, ',' order by e.revision_id) from evaluations e where e.host = h.host and e.revision_id in (select id from rolling)
            ) ${sql.join(ofHosts, sql.empty())}
          ), 0)::text) order by h.host), '[]')::text
        from hosts h
        ${newest(sql`r.sequence <= (select max(sequence) from rolling)`)} as one on true
        left join releases s on s.id = h.stable_release_id
        left join releases d on d.id = h.desired_release_id
        left join ordered on ordered.host = h.host
        where h.repository_id = ${repositoryId}
      ) as hosts`);
  const [row] = readRows(Row, found);
  return { followed: row?.followed ?? '', general: row?.general ?? '', byHost: new Map(v.parse(Hosts, row?.hosts ?? '[]')) };
}
