import {
  isBoundTo,
  failuresOf,
  failuresSince,
  hasAsked,
  isEndedRollout,
  isFrozen,
  mayLoosen,
  missingApprovals,
  missingForNow,
  pausedFailures,
  personOf,
  ROLES,
  type Approval,
  type HostName,
  type Order,
  type RolloutCourse,
  type RolloutFacts,
  type RolloutFailure,
  type RolloutOrders,
  type Word,
  type LabelStop,
  type Freeze,
} from '@floe/model';
import type { CurrentRollout, NewRolloutOrder, NextOfFleet } from '@floe/store';
import { count, describePause, nameMany, missingApprovalWords, ringName, rolloutStateWords, shortSha, utcTime } from '@floe/views';
import { deadEndWords } from './dead-end.ts';
import { seenApproval } from './seen-approval.ts';

/** The rollout that hosts follow, as somebody asks something of it. */
export interface AskedRollout {
  readonly sha: string;
  readonly rollout: CurrentRollout;
  readonly facts: RolloutFacts;
  /** The revision that waits for it. */
  readonly next?: NextOfFleet | undefined;
}

/** What somebody asks, with the person whose token it is. */
export interface OrderOfPerson extends Order {
  readonly person: string;
}

/** Whom a revert is about. */
export interface RevertScope {
  /** So many hosts were told a release of the rollout, and go back. */
  readonly count: number;
  /** Those that have no stable release to go back to. */
  readonly without: readonly HostName[];
}

function revertWords({ count: going, without }: RevertScope): string {
  const back = `${going === 0 ? 'no host goes' : going === 1 ? '1 host goes' : `${going} hosts go`} back to what the last complete rollout gave them, within the limits and over windows.`;
  if (without.length === 0) return back;
  return `${back} ${nameMany(without)} ${without.length === 1 ? 'has' : 'have'} no such release, and ${without.length === 1 ? 'keeps' : 'keep'} this one: push a commit that reverts.`;
}

/** What comes of it, with the sentence for whoever asks. */
export type Judged =
  | {
      readonly kind: 'order';
      readonly order: Pick<NewRolloutOrder, 'kind' | 'subject' | 'acknowledged' | 'answers' | 'binds' | 'loosens'>;
      /** Undefined: of the rollout that hosts follow. */
      readonly of?: Pick<NextOfFleet, 'id' | 'sha' | 'version'>;
      readonly message: string;
      /** What the log of decisions says besides the reason. */ readonly openly?: string;
    }
  /** It has been asked already: nothing is stored. */
  | { readonly kind: 'repeat'; readonly message: string }
  | { readonly kind: 'refused'; readonly code: string; readonly message: string };

function refused(code: string, message: string): Extract<Judged, { kind: 'refused' }> {
  return { kind: 'refused', code, message };
}

function nameOf({ sha, rollout }: AskedRollout): string {
  const { rings } = rollout.policy;
  return `the rollout of ${shortSha(sha)}${rings.length === 1 ? '' : ` at ring ${ringName(rollout.policy, rollout.course.ring)}`}`;
}

/** It is over, or cannot be read; undefined: it goes on. */
function refusalOfEnded(asked: AskedRollout): Extract<Judged, { kind: 'refused' }> | undefined {
  const { sha, rollout } = asked;
  if (rollout.unreadable !== undefined)
    return refused(
      'ROLLOUT_UNREADABLE',
      `the rollout of ${shortSha(sha)} cannot be read (${rollout.unreadable}), and stands still: push another commit`,
    );
  return isEndedRollout(rollout.course.state)
    ? refused(
        'ROLLOUT_ENDED',
        `the rollout of ${shortSha(sha)} ${rolloutStateWords(rollout.course.state)}: there is nothing to decide about it any more`,
      )
    : undefined;
}

/** What was asked is about the rollout that hosts follow; else undefined. */
function refusalOfOther(asked: AskedRollout, commit: string): Extract<Judged, { kind: 'refused' }> | undefined {
  if (commit === asked.next?.sha)
    return refused(
      'ROLLOUT_WAITS',
      `the rollout of ${shortSha(commit)} has not begun: it waits for the one of ${shortSha(asked.sha)}. To begin with it now: floe rollout hotfix ${shortSha(commit)}`,
    );
  return commit === asked.sha
    ? undefined
    : refused(
        'ROLLOUT_SUPERSEDED',
        `hosts do not follow ${shortSha(commit)}, but ${shortSha(asked.sha)}. If ${shortSha(commit)} is newer, ask again when floe revisions shows it published; else look at ${shortSha(asked.sha)}, and decide again`,
      );
}

/** `floe rollout resume`, where no person paused all rollouts. `since`: the pause that the person saw. Pure. */
export function judgeResume(asked: AskedRollout, since: number | undefined): Judged {
  const ended = refusalOfEnded(asked);
  if (ended !== undefined) return ended;
  const { course, orders, policy } = asked.rollout;
  if (course.state !== 'PAUSED' || course.pause === undefined) {
    const by = orders.resume === undefined ? '' : `; ${orders.resume.by} resumed it last`;
    return refused('NOT_PAUSED', `there is nothing to resume: ${nameOf(asked)} ${rolloutStateWords(course.state)}${by}`);
  }
  // Its end is not seen by the engine yet.
  if (course.pause.cause === 'freeze') return refused('NOT_PAUSED', `the pause of ${course.pause.by} has just ended: there is nothing to resume`);
  if (since !== undefined && since !== course.since)
    return refused('PAUSE_CHANGED', `it is paused for something else by now: ${describePause(course.pause)}. Look at that, and decide again`);
  if (orders.resume?.of === course.since) return { kind: 'repeat', message: `${orders.resume.by} has resumed it already: ${orders.resume.reason}` };
  const acknowledged = acknowledgedBy(asked);
  const names =
    acknowledged.length === 0
      ? ''
      : ` This commit's failure on ${nameMany(acknowledged.map(({ host }) => host))} counts no more: the next hosts get it, and only other failures pause it again.`;
  const next = course.pause.cause === 'after-ring' ? policy.rings[course.ring + 1]?.name : undefined;
  const where = next === undefined ? nameOf(asked) : `the rollout of ${shortSha(asked.sha)}, now with ring ${next},`;
  return {
    kind: 'order',
    order: { kind: 'resume', subject: course.since, acknowledged, answers: answersOf(course) },
    message: `${where} goes on.${next === undefined ? nextRingWords(asked) : ''}${names}${answersWords(course)}${laterWords(asked)}${deadEndWords(asked, acknowledged)}`,
  };
}

/** The answers of probes that the person saw. */
function answersOf({ pause, ring }: RolloutCourse): NonNullable<NewRolloutOrder['answers']> {
  return pause?.cause === 'probe' ? pause.answers.map(({ name, number }) => ({ ring, name, number })) : [];
}

function answersWords({ pause }: RolloutCourse): string {
  const names = pause?.cause === 'probe' ? pause.answers.map(({ name }) => name) : [];
  if (names.length === 0) return '';
  return ` What ${nameMany(names)} answered counts no more: ${names.length === 1 ? 'it is' : 'they are'} asked again, and another answer like it pauses it again.`;
}

/** Which ring gets it after the one that it is at. */
function nextRingWords({ rollout: { course, policy } }: AskedRollout): string {
  const next = policy.rings[course.ring + 1]?.name;
  return next === undefined ? '' : ` Ring ${next} gets it next.`;
}

/** What the person did not see, and so does not acknowledge. */
function laterWords({ rollout, facts }: AskedRollout): string {
  const later = failuresSince(rollout.course, facts).map(({ host }) => host);
  return later.length === 0 ? '' : ` ${nameMany(later)} failed since it was paused, which you may not have seen: that can pause it again.`;
}

/**
 * The failures that the pause is about, as it was when it began: those that it names, or of more than it can name, all that there are in the
 * rings reached. Of another pause none: it says nothing of them.
 */
function acknowledgedBy({ rollout, facts }: AskedRollout): readonly Pick<RolloutFailure, 'host' | 'toplevel'>[] {
  const paused = pausedFailures(rollout.course.pause);
  if (paused === undefined) return [];
  if (paused.count <= paused.failures.length) return paused.failures.map(({ host, toplevel }) => ({ host, toplevel }));
  return failuresOf(rollout.course, facts).map(({ host, toplevel }) => ({ host, toplevel }));
}

/**
 * `floe rollout abort`. `revert`: the hosts that were told its releases are to go back to stable, which an aborted one can still be asked
 * for; undefined: they keep them. Pure.
 */
export function judgeAbort(asked: AskedRollout, commit: string, revert?: RevertScope): Judged {
  const { orders, course } = asked.rollout;
  const isAbortedOnly = course.state === 'ABORTED' && orders.abort?.isRevert !== true;
  const other = refusalOfOther(asked, commit) ?? (revert !== undefined && isAbortedOnly ? undefined : refusalToAbort(asked));
  if (other !== undefined) return other;
  if (revert !== undefined && orders.abort?.isRevert !== true) {
    const order = { kind: 'abort', subject: 1 } as const;
    return { kind: 'order', order, message: `the rollout of ${shortSha(commit)} is aborted permanently, and ${revertWords(revert)}` };
  }
  if (orders.abort !== undefined) return { kind: 'repeat', message: `${orders.abort.by} has aborted it already: ${orders.abort.reason}` };
  return {
    kind: 'order',
    order: { kind: 'abort' },
    message: `the rollout of ${shortSha(commit)} is aborted permanently: hosts that run it keep it, and all others keep what they have. The next commit is rolled out as usual: to bring back those that run it, add --revert, or revert ${shortSha(commit)} and push.`,
  };
}

/** What helps instead, where the rollout is over. */
function refusalToAbort(asked: AskedRollout): Extract<Judged, { kind: 'refused' }> | undefined {
  const ended = refusalOfEnded(asked);
  if (ended === undefined) return undefined;
  const short = shortSha(asked.sha);
  const { state } = asked.rollout.course;
  const ways = `revert ${short} and push; to bring one host to another release, or keep it where it is: floe pin HOST COMMIT --reason "…", or: floe hold HOST --reason "…"`;
  if (state === 'COMPLETE')
    return refused(
      ended.code,
      `the rollout of ${short} is complete, so that there is nothing to abort: to bring back the hosts that run it, ${ways}`,
    );
  if (state === 'ABORTED')
    return refused(
      ended.code,
      `the rollout of ${short} was aborted already, and hosts that run it keep it: to bring them back, run: floe rollout abort ${short} --revert --reason "…", or ${ways}`,
    );
  return ended;
}

/** `floe rollout hotfix`. `isNow`: it does not wait for verifications either, for which it may take two people. Pure. */
export function judgeHotfix(asked: AskedRollout, commit: string, by: OrderOfPerson, isNow = false): Judged {
  const next = commit === asked.next?.sha ? asked.next : undefined;
  const other = next === undefined ? (refusalOfOther(asked, commit) ?? refusalOfEnded(asked)) : undefined;
  if (other !== undefined) return other;
  const { hotfix } = next?.orders ?? asked.rollout.orders;
  const said = hotfix?.now ?? [];
  if (!isNow && hotfix !== undefined) return { kind: 'repeat', message: `${hotfix.by} has made it a hotfix already: ${hotfix.reason}` };
  const isRepeat = isNow && hasAsked(said, by);
  const now = isNow ? nowWords(asked, next === undefined, isRepeat ? said : [...said, by]) : '';
  if (isRepeat) return { kind: 'repeat', message: `you have asked for that already.${now}` };
  const of = next === undefined ? {} : { of: next };
  const order = isNow ? ({ kind: 'hotfix', subject: 1 } as const) : ({ kind: 'hotfix' } as const);
  const how = next === undefined ? 'its rollout passes over soaks and windows.' : beginsWords(asked);
  const holds = isNow ? 'Approvals, error gates, limits and pauses hold as before.' : 'Approvals, gates, limits and pauses hold as before.';
  return { kind: 'order', order, ...of, message: `${shortSha(commit)} is a hotfix: ${how}${now} ${holds}${pausedWords(asked, next, by.at)}` };
}

/** A commit that was to be built after these is built at once. */
export function builtFirstWords(commit: string, ended: readonly string[]): string {
  const short = shortSha(commit);
  return `${short} is evaluated and built at once: what was being built (${nameMany(ended.map(shortSha))}) is ended, and hosts that have it keep it. When floe revisions shows ${short} published, ask again, so that it passes over soaks and windows.`;
}

/** A pause holds a hotfix, too. */
function pausedWords({ rollout, facts }: AskedRollout, next: NextOfFleet | undefined, now: number): string {
  const end = 'to end that, run: floe rollout resume --reason "…"';
  const { freeze } = facts.orders;
  if (freeze !== undefined && isFrozen(facts.orders, now)) return ` It stays paused, as ${freeze.by} paused all rollouts (${freeze.reason}): ${end}`;
  const { pause } = rollout.course;
  return next !== undefined || rollout.course.state !== 'PAUSED' || pause === undefined ? '' : ` It stays paused (${describePause(pause)}): ${end}`;
}

function beginsWords({ sha }: AskedRollout): string {
  return `it begins now, before the rollout of ${shortSha(sha)} is finished, and passes over soaks and windows.`;
}

function nowWords({ facts }: AskedRollout, isFollowed: boolean, now: readonly Word[]): string {
  const [first] = now;
  if (!isFollowed || first === undefined)
    return ' It does not wait for verified hosts either; where its policy has approvals, as soon as a second administrator asks for the same.';
  const missing = missingForNow({ ...facts, orders: { ...facts.orders, hotfix: { ...first, now } } });
  return missing === 0
    ? ' It does not wait for verified hosts either.'
    : ' It waits for verified hosts until a second administrator, another person, asks for the same: the policy has approvals.';
}

/** What somebody approves. `seen`: the beginning of what it was bound to when the person looked; undefined: of whatever there is. */
export interface WantedApproval {
  readonly commit: string;
  readonly ring: string;
  readonly seen?: string | undefined;
}

/** `floe rollout approve`: one person's word for one ring of one commit. Pure. */
export function judgeApproval(asked: AskedRollout, { commit, ring, seen }: WantedApproval, by: OrderOfPerson): Judged {
  const other = refusalOfOther(asked, commit) ?? refusalOfEnded(asked);
  if (other !== undefined) return other;
  const { rollout, facts } = asked;
  const { course, policy, orders } = rollout;
  const index = policy.rings.findIndex(({ name }) => name === ring);
  if (index < 0) {
    const known = policy.rings.map(({ name }) => name).join(', ');
    return refused('RING_UNKNOWN', `the policy of ${shortSha(commit)} has no ring ${ring}: it has ${known}`);
  }
  if (index !== course.ring)
    return refused(
      'RING_NOT_CURRENT',
      `ring ${ring} ${index < course.ring ? 'has passed' : 'is not reached yet'}: the rollout is at ring ${ringName(policy, course.ring)}`,
    );
  const { evaluating = 0 } = facts;
  if (evaluating > 0)
    return refused(
      'STILL_EVALUATED',
      `${count(evaluating, 'host')} of ${shortSha(commit)} ${evaluating === 1 ? 'is' : 'are'} still evaluated, and an approval is for all that a commit changes: approve when floe rollout asks for it`,
    );
  if (seen !== undefined && facts.binds !== undefined && !seenApproval(facts.binds, ring).startsWith(seen))
    return refused(
      'APPROVAL_CHANGED',
      `since you looked, a host was added, a system changed, or the rollout came to ring ${ring}: look at floe rollout again, and decide again`,
    );
  const before = missingApprovals(course, facts);
  const loosens = mayLoosen(by, facts) ? facts.weaker.map(({ id }) => id) : [];
  const after = missingApprovals(course, { ...facts, orders: withApproval(orders, { ...by, ring: index, binds: facts.binds, loosens }) });
  const isMore = before !== undefined && (after === undefined || after.count < before.count || after.weaker.length < before.weaker.length);
  if (!isMore && hasApproved(asked, by)) {
    const rest = before === undefined ? 'has all that it needs' : `still needs ${missingApprovalWords(before)}`;
    return { kind: 'repeat', message: `${by.person} has approved ring ${ring} already, which counts once: it ${rest}` };
  }
  if (before === undefined) return refused('NOT_WAITING', `ring ${ring} waits for no approval: ${nameOf(asked)} ${rolloutStateWords(course.state)}`);
  if (!isMore) return refused('APPROVAL_DOES_NOT_COUNT', `the approval of ${by.by} does not count for ring ${ring}: ${whyNot(before, by, asked)}`);
  const rest = after === undefined ? 'has all the approvals that it needs' : `still needs ${missingApprovalWords(after)}`;
  const openly = before.weaker.length > 0 ? ownWeakening(asked, by) : '';
  return {
    kind: 'order',
    order: { kind: 'approve', subject: index, binds: facts.binds, loosens },
    openly,
    message: `ring ${ring} of ${shortSha(commit)} is approved by ${by.by}: it ${rest}.${openly}`,
  };
}

/** The ring that the rollout is at, for what there is now, with a role that is not lower. */
function hasApproved({ rollout: { course, orders }, facts }: AskedRollout, by: OrderOfPerson): boolean {
  return orders.approvals.some(
    (each) =>
      each.ring === course.ring && personOf(each) === by.person && isBoundTo(each, facts.binds) && ROLES.indexOf(each.role) >= ROLES.indexOf(by.role),
  );
}

function withApproval(orders: RolloutOrders, approval: Approval): RolloutOrders {
  return { ...orders, approvals: [...orders.approvals, approval] };
}

function whyNot(missing: NonNullable<ReturnType<typeof missingApprovals>>, by: OrderOfPerson, asked: AskedRollout): string {
  const { authors, hasUnknownAuthor, hasOtherAdministrator } = asked.facts;
  const needed = missingApprovalWords(missing);
  const isAuthor = authors.includes(by.person);
  if (missing.weaker.length > 0 && by.role === 'administrator' && hasOtherAdministrator && isAuthor)
    return `${by.person} is an author of its commits, and another administrator has to approve a policy that became weaker`;
  if (ROLES.indexOf(by.role) < ROLES.indexOf(missing.role)) return `it needs ${needed}`;
  if (missing.notAuthor && missing.count > 0) {
    if (isAuthor) return `${by.person} is an author of its commits, and it needs ${needed}`;
    if (hasUnknownAuthor) return `the policy wants somebody who is not an author, and ${unknownAuthorWords(asked.rollout)}`;
  }
  return `it needs ${needed}`;
}

/** Why nobody is known to be somebody else, and what helps. */
export function unknownAuthorWords({ people }: Pick<CurrentRollout, 'people'>): string {
  const [login] = people?.unmapped ?? [];
  const [signer] = people?.unmappedSigners ?? [];
  if (login !== undefined)
    return `whose login ${login} is, who pushed some of its commits, is not known: run: floe token set NAME --forge-login ${login}`;
  if (signer !== undefined) return `who ${signer} is, who signed some of its commits, is not known: run: floe token set NAME --signer ${signer}`;
  return 'who pushed its commits is not known: the forge did not tell of each push, by a webhook, since the last complete rollout that asked this ring';
}

/** Said openly, where nobody else could approve what makes the policy weaker: the log of decisions has it, too. */
function ownWeakening({ facts: { authors, hasUnknownAuthor } }: AskedRollout, { person, role }: OrderOfPerson): string {
  if (role !== 'administrator') return '';
  if (authors.includes(person)) return ` The policy becomes weaker, and ${person} is an author of that: there is no other administrator.`;
  return hasUnknownAuthor ? ' The policy becomes weaker, and who wrote that is not known.' : '';
}

/** What a person's freeze comes to, in words. `before`: it replaces this one. */
export function freezeWords(until: number | undefined, before: Freeze | undefined): string {
  const end = until === undefined ? 'until somebody runs: floe rollout resume --reason "…"' : `until ${utcTime(until)}`;
  const replaced = before === undefined ? '' : ` This replaces the pause of ${before.by}: ${before.reason}`;
  return `All rollouts are paused ${end}, also those of commits to come. Hosts that have begun finish.${replaced}`;
}

/** What the stop of a label comes to, in words. `hosts`: so many have it now. `before`: it replaces this one. */
export function labelStopWords({ label, until }: LabelStop, hosts: number, before: LabelStop | undefined): string {
  const end = until === undefined ? `until somebody runs: floe rollout resume --label ${label} --reason "…"` : `until ${utcTime(until)}`;
  const whose = hosts === 0 ? 'No host has it now, so look at its spelling.' : hosts === 1 ? '1 host has it now.' : `${hosts} hosts have it now.`;
  const replaced = before === undefined ? '' : ` This replaces the pause of ${before.by}: ${before.reason}`;
  return `Hosts with the label ${label} begin nothing ${end}. ${whose} Those that have begun finish, and other hosts go on.${replaced}`;
}

/** What the log of decisions has of a pause: also when it ends by itself, and whose it replaces. */
export function pauseNote(
  pause: Pick<LabelStop, 'reason' | 'until'> & { readonly label?: string },
  before: { readonly by: string } | undefined,
): string {
  const { label, until, reason } = pause;
  const parts = [
    ...(label === undefined ? [] : [`the label ${label}`]),
    ...(until === undefined ? [] : [`until ${utcTime(until)}`]),
    ...(before === undefined ? [] : [`in place of the pause of ${before.by}`]),
  ];
  return parts.length === 0 ? reason : `${parts.join(', ')}: ${reason}`;
}

/** What is left when a freeze has ended. */
export function unfrozenWords(asked: AskedRollout): string {
  const { rollout } = asked;
  const { pause } = rollout.course;
  const other = pause === undefined || pause.cause === 'freeze' ? '' : `, where it is still paused: ${describePause(pause)}`;
  const next = other === '' && !isEndedRollout(rollout.course.state) ? nextRingWords(asked) : '';
  return `The pause of ${rollout.orders.freeze?.by ?? 'somebody'} is over: ${nameOf(asked)} goes on where it was${other}.${next}`;
}
