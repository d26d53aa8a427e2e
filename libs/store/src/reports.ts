import { AGENT_STATES, NOTHING_OBSERVED, storableText, TRIAL_ENDS, TRIAL_OVER, VERDICTS, type HostName } from '@floe/model';
import { and, desc, eq, isNotNull, sql } from 'drizzle-orm';
import * as v from 'valibot';
import { deleteInBatches } from './batches.ts';
import type { Database } from './database.ts';
import { notifyHosts, type HintOrigin } from './hints.ts';
import { lockHosts } from './host-rows.ts';
import type { ListedReport, StoredReport, Timestamp } from './records.ts';
import { RowReader } from './row-reader.ts';
import { asOneText, DetailColumn, HostNameText, isOneOf, ObservedColumn, readNumbers, readRows, TimingsColumn } from './rows.ts';
import type { ReportStore } from './report-contract.ts';
import { hosts, reports } from './tables/index.ts';

/** As many as an agent queues for an unreachable server: no report with an older number can arrive. */
const KEEP_REPORTS = 1_000;
/** A series begins with an enrolment, or with a disk that was restored to an older day. */
const KEEP_SERIES = 4;
/** Logs of reports that are this far behind the newest are removed. */
const KEEP_LOGS = 200;

/** A report as a row of the statement. */
function toJson(report: StoredReport): Record<string, unknown> {
  const { host, seq, epoch, state, toplevel, observed, detail, timings, log, at, receivedAt } = report;
  const cleanDetail = detail && { code: storableText(detail.code), message: storableText(detail.message) };
  return { host, seq, epoch, state, toplevel, observed, detail: cleanDetail, timings, log: log && storableText(log), at, received_at: receivedAt };
}

/**
 * Stores the batch by three statements, whatever its size: a statement per report costs 30 to 50 times as much.
 * The hosts' rows are locked first, in the order of their names: two servers with the same hosts in their batches then wait for
 * each other instead of deadlocking, and the second statement sees what the first of them wrote. A report is new by (host,
 * series, seq). Only a new one updates its host's row, and only if no newer one did before, so batches may arrive late, twice, or
 * in any order. A toplevel that a host rolled back from is quarantined in the same statement, so that nothing offers it in
 * between. Only systems that were released to the host count: reports about others have no meaning, and would fill the table.
 * What a host can fill is bounded: the newest reports of each series, of a few series, and fewer logs are kept. A report older
 * than those counts as stored. Outdated ones are found by two ranges of the primary key per host: because of the limits the
 * planner cannot use a join, which would read all reports of the hosts.
 */
async function storeBatch(db: Database, origin: HintOrigin, batch: readonly StoredReport[]): Promise<ReadonlyMap<HostName, number>> {
  if (batch.length === 0) return new Map();
  const names = [...new Set(batch.map(({ host }) => host))];
  const rows = JSON.stringify(batch.map(toJson));
  const verdicts = JSON.stringify(VERDICTS);
  const trialEnds = JSON.stringify(TRIAL_ENDS);
  // More than a batch adds, so that the rest shrinks with each batch.
  const most = KEEP_REPORTS + batch.length;
  return await db.transaction(async (tx) => {
    await lockHosts(tx, isOneOf(hosts.host, names));
    const stored = await tx.execute(sql`
      with batch as (
        select distinct on (b.host, b.seq) b.*, h.report_series as series
        from jsonb_to_recordset(${rows}::text::jsonb) as b (
          host text, seq bigint, epoch bigint, state text, toplevel text, observed jsonb, detail jsonb, timings jsonb, log text, at bigint, received_at bigint
        )
        join hosts h on h.host = b.host
        where b.seq > h.report_seq - ${KEEP_REPORTS}
      ), added as (
        insert into reports (host, series, seq, epoch, state, toplevel, observed, detail, timings, log, at, received_at)
        select host, series, seq, epoch, state, toplevel, observed, detail, timings, log, at, received_at from batch
        on conflict do nothing
        returning *
      ), put_back as (
        insert into quarantines (host, toplevel, reason, created_at)
        select distinct on (host, toplevel) host, toplevel, coalesce(detail ->> 'message', 'the host rolled this system back'), received_at
        from added where state = 'ROLLED_BACK' and exists (select from releases r where r.host = added.host and r.toplevel = added.toplevel)
        order by host, toplevel, seq desc
        on conflict do nothing
      ), newest as (
        select distinct on (host) * from added order by host, seq desc
      ), last_words as (
        -- As isLastWord() of the model.
        select a.*, t.toplevel as tried_toplevel, t.ended_at from added a join trials t on t.host = a.host
        where a.epoch >= t.epoch and a.state = any(array(select jsonb_array_elements_text(${trialEnds}::text::jsonb)))
          and (a.toplevel = t.toplevel or (a.toplevel is null and a.state = 'REJECTED'))
      ), tried as (
        -- The agent's last word about a trial ends it: the host gets what the fleet has under a new epoch.
        update trials t set ended_at = a.received_at, result = left(coalesce(a.detail ->> 'message', a.state), 1000),
          has_failed = a.state <> 'IDLE' or coalesce(a.detail ->> 'code' <> ${TRIAL_OVER}, false)
        from (select distinct on (host) * from last_words order by host, seq desc) a
        where t.host = a.host and t.ended_at is null
        returning t.host
      ), judged as (
        -- A verdict ends the go, whatever the host reports after it: under its next directive it would seem to be in flight. So does the
        -- beginning of a later directive. And the last word about a trial, also when that was ended before it came: the
        -- host has another epoch since: wentAfterTrial() of the model.
        select h.host from hosts h join added a on a.host = h.host where h.went_toplevel is not null and (
          (a.toplevel = h.went_toplevel and a.state = any(array(select jsonb_array_elements_text(${verdicts}::text::jsonb))))
          or (a.state = 'OFFERED' and a.epoch > h.went_epoch)
          or exists (
            select from last_words l
            where l.host = h.host and l.tried_toplevel = h.went_toplevel and (l.ended_at is null or l.epoch < h.epoch)))
      ), outdated as (
        delete from reports where ctid = any(array(
          select o.id from newest n cross join lateral (
            (select r.ctid as id from reports r where r.host = n.host and r.series = n.series and r.seq <= n.seq - ${KEEP_REPORTS} limit ${most})
            union all
            (select r.ctid from reports r where r.host = n.host and r.series <= n.series - ${KEEP_SERIES} limit ${most})
          ) as o))
      ), silenced as (
        update reports r set log = null from newest n
        where r.host = n.host and r.series = n.series and r.log is not null and r.seq <= n.seq - ${KEEP_LOGS} and r.seq > n.seq - ${KEEP_REPORTS}
      ), moved as (
        update hosts h set
          report_seq = greatest(h.report_seq, n.seq),
          epoch = case when h.host in (select host from tried) then h.epoch + 1 else h.epoch end,
          last_seen_at = greatest(h.last_seen_at, n.received_at),
          observed = case when n.seq >= h.state_seq then n.observed else h.observed end,
          state = case
            when n.seq < h.state_seq then h.state
            -- stateAfterTrial() of the model.
            when n.state = 'REJECTED' and exists (
              select from last_words l where l.host = h.host and l.seq = n.seq and (l.ended_at is null or l.epoch < h.epoch)) then 'IDLE'
            else n.state
          end,
          state_toplevel = case when n.seq >= h.state_seq then n.toplevel else h.state_toplevel end,
          state_since = case
            when n.seq < h.state_seq or (h.state_since is not null and n.state = h.state and n.toplevel is not distinct from h.state_toplevel)
            then h.state_since else n.received_at
          end,
          detail = case when n.seq >= h.state_seq then n.detail else h.detail end,
          timings = case when n.seq >= h.state_seq then n.timings else h.timings end,
          retry_epoch = case when n.epoch >= h.retry_epoch then null else h.retry_epoch end,
          went_toplevel = case when h.host in (select host from judged) then null else h.went_toplevel end,
          went_until = case when h.host in (select host from judged) then null else h.went_until end,
          went_epoch = case when h.host in (select host from judged) then null else h.went_epoch end,
          state_seq = greatest(h.state_seq, n.seq)
        from newest n where h.host = n.host
        returning h.host, h.report_seq
      )
      ${asOneText(
        sql`h.host`,
        sql`coalesce(m.report_seq, h.report_seq)`,
        sql`hosts h left join moved m on m.host = h.host where ${isOneOf(sql`h.host`, names)}`,
      )}`);
    const acknowledged = readNumbers(stored, 'report_seq');
    await notifyHosts(tx, [...acknowledged.keys()], origin);
    return acknowledged;
  });
}

/** Without the logs, which are long and rarely read. */
const LISTED = {
  host: reports.host,
  series: reports.series,
  seq: reports.seq,
  epoch: reports.epoch,
  state: reports.state,
  toplevel: reports.toplevel,
  observed: reports.observed,
  detail: reports.detail,
  timings: reports.timings,
  hasLog: sql<boolean>`${isNotNull(reports.log)}`,
  at: reports.at,
  receivedAt: reports.receivedAt,
};

async function list(db: Database, host: HostName, limit: number): Promise<ListedReport[]> {
  const rows = await db.select(LISTED).from(reports).where(eq(reports.host, host)).orderBy(desc(reports.series), desc(reports.seq)).limit(limit);
  return rows.map((row) => {
    const reader = new RowReader();
    const read = {
      host: row.host,
      series: reader.counter('series', row.series),
      seq: reader.counter('seq', row.seq),
      epoch: reader.counter('epoch', row.epoch),
      state: reader.one('state', row.state, AGENT_STATES, 'IDLE'),
      toplevel: reader.path('toplevel', row.toplevel) ?? null,
      observed: reader.json('observed', row.observed, ObservedColumn) ?? NOTHING_OBSERVED,
      detail: reader.json('detail', row.detail, DetailColumn),
      timings: reader.json('timings', row.timings, TimingsColumn),
      hasLog: row.hasLog,
      at: reader.time('at', row.at),
      receivedAt: reader.time('received_at', row.receivedAt),
    };
    return reader.problem === undefined ? read : { ...read, detail: { code: 'ROW_UNREADABLE', message: reader.problem } };
  });
}

async function readLog(db: Database, { host, series, seq }: Parameters<ReportStore['log']>[0]): Promise<string | undefined> {
  const [row] = await db
    .select({ log: reports.log })
    .from(reports)
    .where(and(eq(reports.host, host), eq(reports.series, series), eq(reports.seq, seq)));
  return row?.log == null ? undefined : storableText(row.log);
}

/** Of a log, so much of its end is shown where several are. */
const MAX_LOG_END = 1_500;
const LogEnd = v.object({ host: HostNameText, log: v.string() });

async function readFailureLogs(db: Database, failures: Parameters<ReportStore['failureLogs']>[0]): Promise<ReadonlyMap<HostName, string>> {
  if (failures.length === 0) return new Map();
  const rows = JSON.stringify(failures.map(({ host, toplevel }) => ({ host, toplevel })));
  const found = await db.execute(sql`
    select w.host, right(l.log, ${MAX_LOG_END}) as log
    from jsonb_to_recordset(${rows}::text::jsonb) as w (host text, toplevel text)
    cross join lateral (
      select r.log from reports r where r.host = w.host and r.toplevel = w.toplevel and r.log is not null
      order by r.series desc, r.seq desc limit 1
    ) l`);
  return new Map(readRows(LogEnd, found).map(({ host, log }) => [host, storableText(log)]));
}

async function prune(db: Database, before: Timestamp): Promise<number> {
  const isNewest = sql`not exists (
    select from reports newer where newer.host = reports.host and (newer.series, newer.seq) > (reports.series, reports.seq))`;
  return await deleteInBatches(db, reports, sql`reports.received_at < ${before} and not (${isNewest})`);
}

export function createReportStore(db: Database, origin: HintOrigin): ReportStore {
  return {
    store: async (batch) => await storeBatch(db, origin, batch),
    list: async (host, limit) => await list(db, host, limit),
    log: async (report) => await readLog(db, report),
    failureLogs: async (failures) => await readFailureLogs(db, failures),
    prune: async (before) => await prune(db, before),
  };
}
