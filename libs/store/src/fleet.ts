import {
  boundedTime,
  hasArrived,
  isTerminalAgentState,
  NO_COMMIT,
  pendingStone,
  promotedIn,
  resolve,
  revertOf,
  storableText,
  URGENCIES,
  type HostName,
  type HostSituation,
  type PermittedRelease,
  type ReleaseRef,
  type SteppingStone,
  type StorePath,
} from '@floe/model';
import { and, asc, eq, gt, or, sql, type SQL } from 'drizzle-orm';
import * as v from 'valibot';
import type { Database } from './database.ts';
import { lastWordOf } from './host-facts.ts';
import { nestedPins, toPinsOfHost } from './host-pins.ts';
import { toHostRows } from './host-rows.ts';
import { readStopped } from './label-stops.ts';
import { hasNext, readNext } from './next-rollouts.ts';
import type { CurrentRollout, Deploy, Fleet, FleetHost, HostRow, Quarantine } from './records.ts';
import { releasesInForce, toReleasesInForce, type ReleasesInForce } from './release-rows.ts';
import { hasOrdered, readOrdered } from './quarantine-orders.ts';
import { readPeople } from './authors.ts';
import { saidColumns, type Said } from './rollout-orders.ts';
import { newestRolloutWith, type RolloutOfRevision } from './rollouts.ts';
import { RowReader } from './row-reader.ts';
import { isOneOf } from './rows.ts';
import { nested, readAsText } from './rows-as-text.ts';
import { acknowledgements, deploys, evaluations, hosts, quarantines, releases, revisions, rollouts, submissions, trials } from './tables/index.ts';
import { stonesByHost, toSteppingStones } from './stepping-stones.ts';
import { toSubmission } from './submissions.ts';
import { isToBeBuilt } from './to-be-built.ts';
import { toTrialOfHost } from './trials.ts';
import { isReadableCounter, type LeftOutRows } from './unreadable.ts';

type Hosts = readonly HostName[] | undefined;

export interface FleetQuery {
  readonly repositoryId: string;
  /** Also what waits for the rollout that hosts follow; undefined: where all hosts are read. */
  readonly isNextAsked?: boolean;
  /** Undefined: all hosts. */
  readonly names?: Hosts;
  /** Pins that ended before this time do not count. */
  readonly now: number;
}

/**
 * The hosts of a repository, by name, with the inputs of `resolve()` for each. Reads without a transaction: the hint of a
 * concurrent write leads to another read. The rows are read last, so that no host seems to be kept from what it has.
 */
export async function readFleet(db: Database, query: FleetQuery, leftOut?: LeftOutRows): Promise<Fleet> {
  const { repositoryId, names } = query;
  const { current, newest, next, ordered } = await readFollowed(db, query);
  const situationOf = await readSituations(db, query, current);
  const inForce = releasesInForce(db, repositoryId, newest);
  const stones = stonesByHost(db);
  const ofHosts = nestedOf(query.now);
  const fields = {
    row: hosts,
    commit: releases.commit,
    stones: stones.list,
    deploy: ofHosts.deploys.column,
    submission: ofHosts.submissions.column,
    trial: ofHosts.trials.column,
    pins: ofHosts.pins.column,
    ...inForce.columns,
    ...OF_HOST,
  };
  const rows = await readAsText(db, fields, (selected) =>
    selected
      .from(hosts)
      .leftJoin(stones, eq(stones.host, hosts.host))
      .leftJoin(releases, eq(releases.id, hosts.desiredReleaseId))
      .leftJoinLateral(inForce.newest, sql`true`)
      .leftJoin(evaluations, inForce.isEvaluation)
      .leftJoinLateral(inForce.stable, sql`true`)
      .where(and(eq(hosts.repositoryId, repositoryId), names === undefined ? undefined : isOneOf(hosts.host, names)))
      .orderBy(asc(hosts.host)),
  );
  const ofHost = new Map(rows.map((each) => [each.row.host, each]));
  const read = toHostRows(
    rows.map(({ row }) => row),
    (bad) => (names === undefined ? leftOut?.set('hosts', bad) : undefined),
  );
  return {
    rollout: current,
    next,
    hosts: read.flatMap((row): FleetHost[] => {
      const of = ofHost.get(row.host);
      if (of === undefined) return [];
      const own = toQuarantines(row.host, of.quarantines);
      const quarantinesOfHost = { own, ordered: ordered.get(row.host) };
      const trial = toTrialOfHost(ofHosts.trials.read(of.trial)[0]?.row);
      const floor = row.toldSequence ?? 0;
      const stone = stoneOf(row, of.stones === null ? [] : toSteppingStones(row.host, of.stones));
      const { pin, hold, seen } = toPinsOfHost(ofHosts.pins.read(of.pins));
      const { timeZone, ...ofCommits } = toReleasesInForce(row.host, of);
      const situation = {
        ...situationOf(row.host, quarantinesOfHost, ofCommits),
        pin,
        hold,
        trial: trial.open,
        stone,
        directed: directedOf(row),
        floor,
      };
      return [
        {
          row,
          situation,
          desired: resolve(situation),
          trial: trial.open,
          endedTrial: trial.ended,
          submission: toSubmission(ofHosts.submissions.read(of.submission)[0]?.row),
          quarantines: own,
          wentSequence: toSequence(of.wentSequence),
          acknowledged: toAcknowledged(of.acknowledged),
          desiredCommit: of.commit === NO_COMMIT ? undefined : new RowReader().commit('commit', of.commit),
          deploy: deployOf(row, ofHosts.deploys.read(of.deploy)[0]?.row),
          pins: seen,
          timeZone,
        },
      ];
    }),
  };
}

function stoneOf(row: HostRow, stones: readonly SteppingStone[]): SteppingStone | undefined {
  if (stones.length === 0) return undefined;
  const lastWord = lastWordOf(row);
  const floor = Math.max(row.toldSequence ?? 0, row.acceptedSequence);
  // What it was told last it may not have run: the stone itself is passed when it has arrived there.
  return pendingStone(stones, { floor, hasArrived: (toplevel) => hasArrived(lastWord, toplevel) });
}

/** Undefined also once the agent came to a verdict. */
function deployOf({ desired, state, stateToplevel }: HostRow, stored: typeof deploys.$inferSelect | undefined): Deploy | undefined {
  if (stored === undefined || desired === undefined) return undefined;
  if (isTerminalAgentState(state) && stateToplevel === desired.toplevel) return undefined;
  const { host, epoch, level, reason, by, createdAt, expiresAt } = stored;
  // An agent refuses a directive with a word that it does not know.
  if (!URGENCIES.includes(level)) return undefined;
  return {
    host,
    epoch,
    level,
    reason: storableText(reason, 500),
    by: storableText(by, 200),
    at: boundedTime(createdAt),
    expiresAt: boundedTime(expiresAt),
  };
}

/** The rollout that hosts follow, and what waits for it. */
export async function readCurrent(db: Database, query: FleetQuery): Promise<Pick<Fleet, 'rollout' | 'next'>> {
  const { current, next } = await readFollowed(db, { ...query, names: [] });
  return { rollout: current, next };
}

/** What is not about one host, with what there are rows of most of the time no other statement asks. */
async function readFollowed(db: Database, query: FleetQuery) {
  const { repositoryId, names, isNextAsked = names === undefined } = query;
  const said = saidColumns(repositoryId, rollouts.id);
  const columns = { ...said.columns, hasNext: hasNext(repositoryId), hasOrdered: hasOrdered(repositoryId) };
  const found = await newestRolloutWith(db, eq(revisions.repositoryId, repositoryId), columns);
  return {
    newest: found?.rollout,
    current: found === undefined ? undefined : await currentOf(db, query, found.rollout, said.read(found.row)),
    next: isNextAsked && found?.row.hasNext !== false ? await readNext(db, repositoryId) : undefined,
    ordered: found?.row.hasOrdered === false ? NOTHING_ORDERED : await readOrdered(db, repositoryId, names),
  };
}

const NOTHING_ORDERED: Awaited<ReturnType<typeof readOrdered>> = new Map();

/** What of the revision is still built, and evaluated; most of the time no revision is. */
async function readComing(db: Database, { revisionId, revisionState }: RolloutOfRevision): Promise<Pick<CurrentRollout, 'coming' | 'evaluating'>> {
  if (revisionState !== 'BUILDING') return {};
  const { host: name, outcome, toplevel: system } = evaluations;
  // One statement: a host that is evaluated at this moment is one or the other.
  const rows = await db
    .select({ host: name, outcome, toplevel: system })
    .from(evaluations)
    .where(and(eq(evaluations.revisionId, revisionId), or(eq(outcome, 'NOT_EVALUATED'), isToBeBuilt(db, revisionId))));
  const reader = new RowReader();
  const evaluating = new Set<HostName>();
  const coming = new Map<HostName, StorePath>();
  for (const { host, outcome: found, toplevel } of rows) {
    const path = reader.path('toplevel', toplevel);
    if (found === 'NOT_EVALUATED') evaluating.add(host);
    else if (path !== undefined) coming.set(host, path);
  }
  return { coming, ...(evaluating.size === 0 ? {} : { evaluating }) };
}

async function readSituations(db: Database, query: FleetQuery, current: CurrentRollout | undefined) {
  const isPromoted = current === undefined ? () => false : promotedIn(current);
  const revert = current === undefined ? undefined : revertOf(current);
  const stopped = await readStopped(db, query, current);
  const stopsOf = (host: HostName): Pick<HostSituation, 'stops'> => (stopped.has(host) ? { stops: stopped.get(host) } : {});
  return (
    host: HostName,
    { own, ordered }: InQuarantine,
    { stable, inRollout }: Pick<ReleasesInForce, 'stable' | 'inRollout'>,
  ): Omit<HostSituation, 'pin' | 'hold' | 'directed' | 'floor'> => ({
    isRingPromoted: isPromoted(host),
    rollout: notBefore(stable, inRollout),
    stable,
    revert,
    quarantined: new Set(own.map(({ toplevel }) => toplevel)),
    ...(ordered === undefined ? {} : { ordered }),
    ...stopsOf(host),
  });
}

/** In a database from an older backup a later rollout, which is lost, was complete with the host: this one is over for it. */
function notBefore(stable: ReleaseRef | undefined, rolling: ReleaseRef | undefined): ReleaseRef | undefined {
  return stable !== undefined && rolling !== undefined && rolling.sequence < stable.sequence ? undefined : rolling;
}

async function currentOf(
  db: Database,
  { repositoryId, now }: FleetQuery,
  current: RolloutOfRevision,
  { orders, probes }: Said,
): Promise<CurrentRollout> {
  const { sequence, revisionState: _, ...rollout } = current;
  const people = await peopleOf(db, { ...rollout, repositoryId, sequence, now });
  return { ...rollout, orders, people, probes, ...(await readComing(db, current)) };
}

async function peopleOf(
  db: Database,
  { authors, repositoryId, sequence, now }: Pick<RolloutOfRevision, 'authors' | 'sequence'> & FleetQuery,
): Promise<CurrentRollout['people']> {
  if (authors === undefined) return undefined;
  return await readPeople(db, authors, { repositoryId, since: authors.since, sequence }, now);
}

function directedOf({ host, desired }: HostRow): PermittedRelease | undefined {
  if (desired === undefined) return undefined;
  const { releaseId, sequence, toplevel, permit } = desired;
  return { id: releaseId, host, sequence, toplevel, ...(permit === undefined ? {} : { permit }) };
}

/** What must not run on a host: what it rolled back, and what people ordered. */
interface InQuarantine {
  readonly own: readonly Quarantine[];
  readonly ordered: HostSituation['ordered'];
}

/** Of the last commit that had this system for the host. */
function sequenceOf(toplevel: SQL): SQL {
  const { host, sequence, isSubmitted } = releases;
  return sql`select max(${sequence}) from ${releases}
    where ${host} = ${hosts.host} and ${releases.toplevel} = ${toplevel} and not ${isSubmitted} and ${isReadableCounter(sequence)}`;
}

/** Rows of other tables that belong to each host. */
function nestedOf(now: number) {
  const isOf = (table: typeof deploys | typeof submissions | typeof trials) => sql`${table} where ${table.host} = ${hosts.host}`;
  return {
    deploys: nested({ row: deploys }, sql`${isOf(deploys)} and ${deploys.epoch} = ${hosts.epoch} and ${gt(deploys.expiresAt, now)}`),
    submissions: nested({ row: submissions }, sql`${isOf(submissions)} and ${submissions.repositoryId} = ${hosts.repositoryId}`),
    trials: nested({ row: trials }, isOf(trials)),
    pins: nestedPins(now),
  };
}

/** What belongs to each host, read with its row: a statement of its own for each would cost as much again. */
const OF_HOST = {
  quarantines: sql<unknown>`(
    select json_agg(json_build_array(${quarantines.toplevel}, ${quarantines.reason}, ${quarantines.createdAt},
      (${sequenceOf(sql`${quarantines.toplevel}`)})) order by ${quarantines.createdAt})
    from ${quarantines} where ${quarantines.host} = ${hosts.host})`,
  wentSequence: sql<unknown>`(${sequenceOf(sql`${hosts.wentToplevel}`)})`,
  acknowledged: sql<unknown>`(select json_agg(${acknowledgements.toplevel}) from ${acknowledgements} where ${acknowledgements.host} = ${hosts.host})`,
};
const Path = v.pipe(
  v.string(),
  v.transform((text) => text as StorePath),
);
const Quarantines = v.array(v.tuple([Path, v.string(), v.number(), v.nullable(v.number())]));
const Acknowledged = v.array(Path);

/** The oldest first. */
function toQuarantines(host: HostName, stored: unknown): readonly Quarantine[] {
  if (stored === null || stored === undefined) return [];
  return v.parse(Quarantines, stored).map(([toplevel, reason, at, sequence]) => ({
    host,
    toplevel,
    ...(sequence === null ? {} : { sequence }),
    reason: storableText(reason),
    at: boundedTime(at),
  }));
}

/** The driver gives a bigint as text. */
function toSequence(stored: unknown): number | undefined {
  return stored === null || stored === undefined ? undefined : Number(stored);
}

function toAcknowledged(stored: unknown): ReadonlySet<StorePath> {
  return stored === null || stored === undefined ? NOTHING_ACKNOWLEDGED : new Set(v.parse(Acknowledged, stored));
}

const NOTHING_ACKNOWLEDGED: ReadonlySet<StorePath> = new Set();
