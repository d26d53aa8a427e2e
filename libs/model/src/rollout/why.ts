import type { AgentState } from '../agent/state.ts';
import type { CommitSha, HostName, StorePath } from '../brands.ts';
import { isStopped, type Desired, type HostSituation, type LabelStop, type OrderedQuarantine } from '../resolve.ts';
import { hasArrived, isWaiting, type HostFacts, type Offer, type ReportedState } from '../standing.ts';
import type { AdmitAnswer } from './admit.ts';
import { approvalsToCome, type MissingApprovals } from './approvals.ts';
import { isFrozen, type Freeze, type RolloutCourse, type RolloutPause } from './course.ts';
import { awaitedHosts, isAwaited } from './decide.ts';
import type { RolloutFacts } from './facts.ts';
import { overviewOfRings, type RingOverview } from './overview.ts';
import type { RingHost } from './progress.ts';

/** What a commit waits for before it is evaluated: `until` at the latest (SPEC R7). */
export interface WaitsForCommit {
  readonly after: CommitSha;
  readonly until: number;
}

/** One rule that stands between a host and the newest revision. */
export type WhyNot =
  /** The revision has no release for it. */
  | { readonly rule: 'no-commit' | 'revision-failed' | 'host-failed' | 'removed' }
  /** `waits`: an older commit is finished before it is evaluated. */
  | { readonly rule: 'unfinished'; readonly waits?: WaitsForCommit | undefined }
  | { readonly rule: 'not-enrolled' | 'not-ours' | 'not-built' | 'revoked' | 'cloned' }
  | { readonly rule: 'trial'; readonly endsAt: number }
  | { readonly rule: 'pin' | 'hold'; readonly sequence: number }
  /** It has not run this release yet, which comes before anything newer. */
  | { readonly rule: 'stepping-stone'; readonly name: string; readonly sequence: number; readonly isQuarantined: boolean }
  | { readonly rule: 'freeze'; readonly freeze: Freeze }
  /** For all hosts of one of its labels. */
  | { readonly rule: 'label-stop'; readonly stop: LabelStop }
  /** Its rollout has not begun: the one of `after` is finished first. */
  | { readonly rule: 'train'; readonly after: CommitSha | undefined; readonly until: number }
  | { readonly rule: 'paused'; readonly ring: string; readonly pause: RolloutPause | undefined }
  /** `isRevert`: hosts that were told it go back to stable. */
  | { readonly rule: 'aborted'; readonly isRevert: boolean }
  | { readonly rule: 'superseded' }
  /** Its ring's turn has not come: `before` is the ring that the rollout is at. */
  | { readonly rule: 'ring'; readonly ring: string; readonly before: RingOverview }
  /** The ring that the rollout is at waits for hosts that are still built, or evaluated; then for the approvals of `missing`. */
  | {
      readonly rule: 'coming';
      readonly ring: string;
      readonly building: number;
      readonly evaluating: number;
      readonly missing: MissingApprovals | undefined;
    }
  /** `isAuthorUnknown`: an approval of somebody who is not an author is missing, and nobody is known to be that. */
  | { readonly rule: 'approval'; readonly ring: string; readonly missing: MissingApprovals; readonly isAuthorUnknown: boolean }
  /** `opensAt`: next for this host; undefined: not in sight, or its own ring's turn has not come. `timeZone`: the one that the host goes by. */
  | { readonly rule: 'window'; readonly ring: string; readonly opensAt?: number | undefined; readonly timeZone?: string | undefined }
  /** It was told a release of a higher sequence before: nothing falls back by itself. */
  | { readonly rule: 'sequence'; readonly told: number }
  | { readonly rule: 'quarantined' }
  /** A person said that it does not run there. */
  | { readonly rule: 'ordered-quarantine'; readonly order: OrderedQuarantine }
  /** Another host failed with the very same system. */
  | { readonly rule: 'failed-elsewhere'; readonly host: HostName; readonly why: string | undefined }
  | { readonly rule: 'retry-pending' }
  | { readonly rule: 'failed'; readonly state: AgentState }
  | { readonly rule: 'override' | 'away' | 'drifted' }
  | { readonly rule: 'deferred'; readonly state: AgentState }
  | { readonly rule: 'in-flight'; readonly limit: number; readonly of: 'fleet' | 'ring' | { readonly label: string } }
  /** Nothing: it is on its way. */
  | { readonly rule: 'under-way'; readonly state: AgentState };
export type WhyRule = WhyNot['rule'];

/** The facts about one host, which `resolve()`, `decideRollout()` and `admit()` have, too. */
export interface WhyFacts extends ReportedState {
  readonly host: HostName;
  readonly enrolment: HostFacts['enrolment'];
  readonly isConnected: boolean;
  /** What the newest revision has for it. */
  readonly newest:
    | { readonly kind: 'none' }
    | { readonly kind: 'unfinished'; readonly waits?: WaitsForCommit | undefined }
    | { readonly kind: 'ended'; readonly offer: Offer };
  readonly situation: HostSituation;
  /** The answer of `resolve()` for the situation. */
  readonly desired: Desired;
  /** The rollout that hosts follow, with the index of the host's ring. */
  readonly rollout: { readonly course: RolloutCourse; readonly facts: RolloutFacts; readonly ring: number } | undefined;
  /** The newest revision waits for that rollout; undefined: it does not, or it is no other one. */
  readonly train: { readonly after: CommitSha | undefined; readonly until: number } | undefined;
  /** The next opening of its ring's windows, in its own time zone where they go by that. */
  readonly window?: { readonly opensAt: number | undefined; readonly timeZone: string | undefined } | undefined;
  /** What `admit()` would answer now; undefined: it has nothing to ask for. */
  readonly admitted: AdmitAnswer | undefined;
}

/**
 * The rules that stand between the host and the newest revision, in the order in which they are asked. Empty exactly when it runs that
 * revision's system, and its enrolment holds. Pure.
 */
export function whyNot(facts: WhyFacts, now: number): readonly WhyNot[] {
  const { newest } = facts;
  const toplevel = newest.kind === 'ended' && newest.offer.kind === 'release' ? newest.offer.toplevel : undefined;
  if (toplevel !== undefined && hasArrived(facts, toplevel)) return ofEnrolment(facts);
  const found = [
    ...ofCommit(newest),
    ...ofEnrolment(facts),
    ...ofPins(facts, toplevel),
    ...ofStone(facts, toplevel),
    ...(toplevel === undefined ? ofOlderRollout(facts, now) : [...ofRollout(facts, toplevel, now), ...ofMachine(facts, toplevel)]),
  ];
  return found.length === 0 ? [{ rule: 'under-way', state: facts.state }] : found;
}

/** While the newest revision has no release for it, the host follows the rollout of an older one, which may wait for a person, too. */
function ofOlderRollout(facts: WhyFacts, now: number): readonly WhyNot[] {
  const { newest, situation, enrolment, rollout } = facts;
  const hasNone = newest.kind === 'unfinished' || (newest.kind === 'ended' && newest.offer.kind === 'none');
  const older = situation.rollout?.toplevel;
  if (rollout === undefined || older === undefined || !hasNone || enrolment !== 'enrolled' || hasArrived(facts, older)) return [];
  const isHeld =
    isStopped(situation) || rollout.course.state === 'PAUSED' || rollout.course.state === 'WAITING_APPROVAL' || isFrozen(rollout.facts.orders, now);
  return isHeld ? ofRollout(facts, older, now) : [];
}

function ofCommit(newest: WhyFacts['newest']): readonly WhyNot[] {
  if (newest.kind === 'none') return [{ rule: 'no-commit' }];
  if (newest.kind === 'unfinished') return [{ rule: 'unfinished', waits: newest.waits }];
  switch (newest.offer.kind) {
    case 'release':
      return [];
    case 'none':
      return [{ rule: newest.offer.because === 'host' ? 'host-failed' : 'revision-failed' }];
    case 'not-ours':
    case 'not-built':
      return [{ rule: newest.offer.kind }];
    case 'removed':
    case 'unknown':
      return [{ rule: 'removed' }];
  }
}

function ofEnrolment({ enrolment }: WhyFacts): readonly WhyNot[] {
  switch (enrolment) {
    case 'enrolled':
      return [];
    case 'none':
      return [{ rule: 'not-enrolled' }];
    case 'revoked':
    case 'cloned':
      return [{ rule: enrolment }];
  }
}

/** Those that keep it on another system. */
function ofPins(facts: WhyFacts, toplevel: StorePath | undefined): readonly WhyNot[] {
  const { trial, pin, hold } = facts.situation;
  return [
    // Also when it tries the newest system: that is not what it runs for the fleet.
    ...(trial === undefined ? [] : [{ rule: 'trial', endsAt: trial.endsAt } as const]),
    ...(pin === undefined || pin.toplevel === toplevel ? [] : [{ rule: 'pin', sequence: pin.sequence } as const]),
    // It counts when the pin has ended.
    ...(hold === undefined || (hold.toplevel === toplevel && !isHeldBeforeTurn(facts)) ? [] : [{ rule: 'hold', sequence: hold.sequence } as const]),
  ];
}

/** What a hold keeps it on is what it would wait for without the hold, too: its ring's turn, or the end of a pause (`mayBeginBy()`). */
function isHeldBeforeTurn({ desired, admitted }: WhyFacts): boolean {
  if (desired.kind !== 'release' || desired.because !== 'hold' || admitted?.kind !== 'wait') return false;
  return admitted.for === 'ring' || admitted.for === 'newer' || admitted.for === 'pause' || admitted.for === 'freeze';
}

function ofStone({ situation: { stone, quarantined } }: WhyFacts, toplevel: StorePath | undefined): readonly WhyNot[] {
  if (stone === undefined || toplevel === undefined || stone.toplevel === toplevel) return [];
  return [{ rule: 'stepping-stone', name: stone.name, sequence: stone.sequence, isQuarantined: quarantined.has(stone.toplevel) }];
}

function ofRollout(given: WhyFacts, toplevel: StorePath, now: number): readonly WhyNot[] {
  const { rollout, train, situation, desired, admitted, window } = given;
  const ofStops = (situation.stops ?? []).map((stop) => ({ rule: 'label-stop', stop }) as const);
  // Where the rollout before it is says nothing of this one.
  if (train !== undefined) return [...ofStops, { rule: 'train', ...train }];
  if (rollout === undefined) return ofStops;
  const { course, facts, ring } = rollout;
  const { freeze } = facts.orders;
  const ofFreeze: readonly WhyNot[] = [
    ...(freeze !== undefined && isFrozen(facts.orders, now) ? [{ rule: 'freeze', freeze } as const] : []),
    ...ofStops,
  ];
  const directed = desired.kind === 'nothing' ? undefined : desired.release;
  const isKept = desired.kind === 'release' && desired.because === 'kept';
  // What it was told stays, even if that is the newest one: then its `go` is what waits.
  const isTold = directed?.toplevel === toplevel && !isKept && !isHeldBeforeTurn(given);
  const own = nameOf(facts, ring);
  if (isTold)
    return [...ofFreeze, ...(admitted?.kind === 'wait' && admitted.for === 'window' ? [{ rule: 'window', ring: own, ...window } as const] : [])];
  const keptBy: readonly WhyNot[] =
    situation.isRingPromoted && situation.pin === undefined && situation.hold === undefined && !isStopped(situation) && isKept
      ? [{ rule: 'sequence', told: desired.release.sequence }]
      : [];
  return [...ofFreeze, ...(situation.isRingPromoted ? keptBy : ofCourse(course, facts, { ring, window }))];
}

function ofCourse(
  course: RolloutCourse,
  facts: RolloutFacts,
  { ring, window }: { readonly ring: number; readonly window: WhyFacts['window'] },
): readonly WhyNot[] {
  const current = nameOf(facts, course.ring);
  const overviews = overviewOfRings(course, facts);
  const before = overviews[course.ring];
  const ofRing: readonly WhyNot[] = ring === course.ring || before === undefined ? [] : [{ rule: 'ring', ring: nameOf(facts, ring), before }];
  switch (course.state) {
    case 'PAUSED':
      return course.pause?.cause === 'freeze' ? ofRing : [{ rule: 'paused', ring: current, pause: course.pause }, ...ofRing];
    case 'ABORTED':
      return [{ rule: 'aborted', isRevert: facts.orders.abort?.isRevert === true }];
    case 'SUPERSEDED':
      return [{ rule: 'superseded' }];
    case 'WAITING_APPROVAL':
      return [...ofRing, ...ofApprovals(course, facts, { ring: current, missing: before?.missingApprovals, isOwn: ofRing.length === 0 })];
    case 'READY':
      return [...ofRing, { rule: 'window', ring: current, ...(ring === course.ring ? window : undefined) }];
    case 'NEXT':
    case 'ROLLING':
    case 'SOAKING':
    case 'COMPLETE':
      return ofRing;
  }
}

/** Nobody is asked to approve while hosts are evaluated, nor an empty ring while hosts of it are built. Of another ring, `ring` says so. */
function ofApprovals(
  course: RolloutCourse,
  facts: RolloutFacts,
  { ring, missing, isOwn }: { readonly ring: string; readonly missing: MissingApprovals | undefined; readonly isOwn: boolean },
): readonly WhyNot[] {
  if (missing !== undefined) {
    const { count, notAuthor, weaker } = missing;
    return [{ rule: 'approval', ring, missing, isAuthorUnknown: facts.hasUnknownAuthor && notAuthor && count > 0 && weaker.length === 0 }];
  }
  if (!isOwn || !isAwaited(course, facts)) return [];
  const building = awaitedHosts(course, facts).length;
  return [{ rule: 'coming', ring, building, evaluating: facts.evaluating ?? 0, missing: approvalsToCome(course, facts) }];
}

function nameOf({ policy }: RolloutFacts, ring: number): string {
  return policy.rings[ring]?.name ?? policy.rings.at(-1)?.name ?? '';
}

/** What the machine, its agent or its user says about the system. */
function ofMachine(facts: WhyFacts, toplevel: StorePath): readonly WhyNot[] {
  const { situation, state, subject, isRetryPending, isOverridden, isConnected, admitted, enrolment } = facts;
  const isAboutIt = subject === toplevel;
  const said: WhyNot[] = [];
  const order = situation.ordered?.get(toplevel);
  if (order !== undefined) said.push({ rule: 'ordered-quarantine', order });
  if (situation.quarantined.has(toplevel)) said.push({ rule: 'quarantined' });
  if (isRetryPending) said.push({ rule: 'retry-pending' });
  else {
    const isFailure = state === 'ROLLED_BACK' || state === 'ROLLBACK_FAILED' || state === 'BLOCKED' || state === 'REJECTED';
    if (isFailure && (isAboutIt || (state === 'REJECTED' && subject === undefined)) && said.length === 0) said.push({ rule: 'failed', state });
    if (isOverridden) said.push({ rule: 'override' });
    if (isAboutIt && state === 'SUCCEEDED') said.push({ rule: 'drifted' });
  }
  const twin = failedElsewhere(facts, toplevel);
  if (twin !== undefined && said.length === 0) said.push({ rule: 'failed-elsewhere', host: twin.host, why: twin.failure });
  if (enrolment === 'enrolled' && !isConnected) said.push({ rule: 'away' });
  if (!isRetryPending && isAboutIt && isWaiting(state)) said.push({ rule: 'deferred', state });
  if (admitted?.kind === 'wait' && admitted.for === 'in-flight') said.push({ rule: 'in-flight', limit: admitted.limit, of: admitted.of });
  return said;
}

function failedElsewhere({ rollout, host }: WhyFacts, toplevel: StorePath): RingHost | undefined {
  return rollout?.facts.hosts.find((each) => each.host !== host && each.toplevel === toplevel && each.progress === 'failed');
}
