import { AWAY_GRACE_MS, isBrieflyAway, isLost, isStopped, progressOf, ringIn, VERDICT_MS, type RingHost, type StorePath } from '@floe/model';
import { lastWordOf } from './host-facts.ts';
import type { CurrentRollout, FleetHost } from './records.ts';

/**
 * The hosts of a rollout, as its gates see them: those with a release in it, and those whose name is not in the flake any more, by what
 * failed on them.
 */
export function ringHosts(
  rollout: Pick<CurrentRollout, 'revisionId' | 'policy' | 'rings' | 'coming'>,
  hosts: readonly FleetHost[],
  now: number,
): readonly RingHost[] {
  const ringOf = ringIn(rollout);
  const { revisionId } = rollout;
  return hosts.flatMap((each) => answerOf(each, { ring: ringOf(each.row.host), isGone: isGone(rollout, each), revisionId, now }) ?? []);
}

/** The rollout has nothing for it, and yet it has a ring there: its name is not in the flake any more. */
function isGone({ rings, coming }: Pick<CurrentRollout, 'rings' | 'coming'>, { row: { host }, situation }: FleetHost): boolean {
  return situation.rollout === undefined && rings?.has(host) === true && coming?.has(host) !== true;
}

function answerOf(each: FleetHost, into: In & { readonly isGone: boolean }): RingHost | undefined {
  return into.isGone ? toGoneHost(each, into) : toRingHost(each, into);
}

/** The answer about one host, and when nothing but another fact can change it. */
interface Known {
  readonly each: FleetHost;
  readonly ring: number;
  readonly isGone: boolean;
  readonly from: number;
  readonly until: number;
  readonly answer: RingHost | undefined;
}

/**
 * What {@link ringHosts} answers, for somebody who asks every few seconds: of hosts that were not read again since, and of which no time has
 * come, the answers are those of the last time. A row that was read again is another object.
 */
export class KnownRingHosts {
  #revisionId: string | undefined;
  #known: Known[] = [];

  of(rollout: Parameters<typeof ringHosts>[0], hosts: readonly FleetHost[], now: number): readonly RingHost[] {
    const { revisionId } = rollout;
    const before = this.#revisionId === revisionId ? this.#known : [];
    const ringOf = ringIn(rollout);
    const answers: RingHost[] = [];
    this.#revisionId = revisionId;
    this.#known = hosts.map((each, index): Known => {
      const ring = ringOf(each.row.host);
      const into = { ring, isGone: isGone(rollout, each) };
      const last = before[index];
      const isSame = last?.each === each && last.ring === ring && last.isGone === into.isGone && last.from <= now && now < last.until;
      const known = isSame ? last : { each, ...into, ...lastsAt(each.row, now), answer: answerOf(each, { ...into, revisionId, now }) };
      if (known.answer !== undefined) answers.push(known.answer);
      return known;
    });
    return answers;
  }
}

/** Between which times, of those at which an answer may become another one, `now` is. */
function lastsAt({ went, stateSince, lastSeenAt, enrolledAt }: FleetHost['row'], now: number): Pick<Known, 'from' | 'until'> {
  const heardAt = lastSeenAt ?? enrolledAt;
  let [from, until] = [Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY];
  const note = (at: number | undefined): void => {
    if (at === undefined) return;
    // Some limits are met at their time, and some are over then.
    for (const turn of [at, at + 1]) {
      if (turn <= now) from = Math.max(from, turn);
      else until = Math.min(until, turn);
    }
  };
  note(went?.until);
  note(stateSince === undefined ? undefined : stateSince + VERDICT_MS);
  note(heardAt === undefined ? undefined : heardAt - AWAY_GRACE_MS);
  note(heardAt === undefined ? undefined : heardAt + AWAY_GRACE_MS);
  return { from, until };
}

/** Its enrolment holds: a rollout may ask it. */
export function takesPart({ publicKey, revokedAt, clonedAt, unreadable }: FleetHost['row']): boolean {
  return publicKey !== undefined && revokedAt === undefined && clonedAt === undefined && unreadable === undefined;
}

const LOST = 'came to no verdict in time after it began';

interface In {
  readonly ring: number;
  readonly revisionId: string;
  readonly now: number;
}

function toRingHost(each: FleetHost, { ring, revisionId, now }: In): RingHost | undefined {
  const { row, timeZone, situation, quarantines, acknowledged } = each;
  const { trial, pin, hold, rollout, stable } = situation;
  if (rollout === undefined) return undefined;
  const { toplevel } = rollout;
  const lastWord = lastWordOf(row);
  const isQuarantined = situation.quarantined.has(toplevel);
  const facts = { ...lastWord, since: row.stateSince, isConnected: row.isConnected, toplevel, isQuarantined, went: row.went };
  const isIn = takesPart(row);
  // Nobody gets past a stone that failed on it.
  const { stone } = situation;
  const isStuck =
    stone !== undefined &&
    stone.toplevel !== toplevel &&
    (situation.quarantined.has(stone.toplevel) || situation.ordered?.has(stone.toplevel) === true);
  const progress = progressOf(facts, now);
  // A failure stays one, whatever a person says about the system afterwards.
  const isOrderedAway = situation.ordered?.has(toplevel) === true && progress !== 'failed';
  // What has begun there comes to its verdict, which counts.
  const isStoppedAway = isStopped(situation) && (progress === 'to-come' || progress === 'waiting' || progress === 'away');
  // One that is held with the rollout's own release gets it in its turn (`mayBeginBy()`).
  const isHeldElsewhere = hold !== undefined && hold.id !== rollout.id;
  const isKeptElsewhere =
    isStuck || isOrderedAway || isStoppedAway || trial !== undefined || pin !== undefined || isHeldElsewhere || lastWord.isOverridden;
  const said = row.stateToplevel === toplevel ? row.detail?.message : undefined;
  return {
    host: row.host,
    ring,
    toplevel,
    change: rollout.sequence,
    platform: row.system,
    timeZone,
    isEligible: isIn && !isKeptElsewhere && toplevel !== stable?.toplevel,
    isKept: isKeptElsewhere && toplevel !== stable?.toplevel,
    wasAsked: isIn && !isKeptElsewhere && row.stableBy === revisionId && toplevel === stable?.toplevel,
    progress,
    isBrieflyAway: isBrieflyAway(row.lastSeenAt ?? row.enrolledAt, now),
    failure: progress !== 'failed' ? undefined : isLost(facts, now) ? LOST : (quarantines.find((some) => some.toplevel === toplevel)?.reason ?? said),
    isAcknowledged: acknowledged.has(toplevel),
    failedBefore: isIn && !isKeptElsewhere ? failedBefore(each, rollout, now) : undefined,
  };
}

/** It waits for its rename, or left the flake: it is asked nothing, and is in no count. Undefined: nothing that failed on it counts. */
function toGoneHost(each: FleetHost, { ring, now }: In): RingHost | undefined {
  const { row, timeZone, situation } = each;
  const { trial, pin, hold } = situation;
  const isIn = takesPart(row) && trial === undefined && pin === undefined && hold === undefined && !lastWordOf(row).isOverridden;
  const failed = isIn ? failedBefore(each, undefined, now) : undefined;
  const [newest] = failed ?? [];
  if (newest === undefined) return undefined;
  return {
    host: row.host,
    ring,
    toplevel: newest.toplevel,
    platform: row.system,
    timeZone,
    isEligible: false,
    progress: 'waiting',
    isBrieflyAway: false,
    failure: undefined,
    isAcknowledged: false,
    failedBefore: failed,
  };
}

/**
 * What failed on it and is not counted as its own: of earlier commits, also before what is stable for it, since others may be asked late what it
 * failed with; and with what is stable for it. Also where it was lost after its `go`. `has` is undefined where its name is not in the flake any
 * more. Undefined: nothing failed.
 */
function failedBefore(
  { row, situation: { stable }, quarantines, wentSequence, acknowledged }: FleetHost,
  has: { readonly toplevel: StorePath; readonly sequence: number } | undefined,
  now: number,
): RingHost['failedBefore'] {
  const { went, isConnected, stateSince: since } = row;
  const lost = went !== undefined && isLost({ ...lastWordOf(row), since, isConnected, went, toplevel: went.toplevel }, now);
  const failed = [...quarantines, ...(lost ? [{ toplevel: went.toplevel, sequence: wentSequence, reason: LOST }] : [])].flatMap(
    ({ toplevel: system, sequence: change, reason }) => {
      const isEarlier = has === undefined || (system !== has.toplevel && (change ?? 0) < has.sequence);
      // A rollout asks it no more about what is stable for it, and so counts no failure with that.
      const isOver = has !== undefined && system === has.toplevel && system === stable?.toplevel;
      if (change === undefined || (!isEarlier && !isOver)) return [];
      const when = has === undefined ? ', before its name left the flake' : '';
      const failure = `with ${isOver ? 'the' : 'an earlier'} commit, which other hosts are still to get${when}: ${reason}`;
      return [{ toplevel: system, change, failure, isAcknowledged: acknowledged.has(system) }];
    },
  );
  return failed.length === 0 ? undefined : failed;
}
