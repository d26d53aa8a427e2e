import type { AgentJournal, AgentState } from '@floe/model';
import { revisionOf, type Agent, type Host, type State } from './state.ts';

// Two states are the same when nothing that can still happen depends on what differs. Left out of the agent's journal: times and
// timings (time stands still), the wording of details (only a code is ever compared), the number of an activation and of reports, what
// a user's rollback would go to, and freshness. Of waiting reports: all but the last, and those that are a failure, or end a trial or a place.

const journals = new WeakMap<AgentJournal, string>();

function journalKey(journal: AgentJournal): string {
  const known = journals.get(journal);
  if (known !== undefined) return known;
  const { state, detail, directive, pending, epoch, sequences, before, verdict, boot, interruptions, attempt, blocks, quarantined, override } =
    journal;
  const directives = [directive, pending].map((each) =>
    each === null ? '-' : `${each.epoch}r${each.release.sequence}${each.isRetry ? '!' : ''}${each.trial === null ? '' : 't'}${each.mode[0]}`,
  );
  const key = [
    state,
    detail?.code === 'SERVER_AWAY' ? 'away' : '',
    ...directives,
    epoch,
    sequences[0]?.sequence ?? 0,
    before === null
      ? '-'
      : `${before.toplevel === null ? '' : revisionOf(before.toplevel)}.${before.profile === null ? '' : revisionOf(before.profile)}`,
    verdict ?? '-',
    boot?.misses ?? '-',
    interruptions,
    attempt,
    blocks,
    quarantined.map(revisionOf).join('.'),
    override === null ? '-' : 'o',
  ].join(',');
  journals.set(journal, key);
  return key;
}

/** A failure, or what may end a trial or a place. */
const ENDING: ReadonlySet<AgentState> = new Set<AgentState>(['ROLLED_BACK', 'IDLE', 'REJECTED', 'TRYING', 'OFFERED']);

function agentKey({ isRunning, journal, queue, job, wait }: Agent): string {
  const last = queue.at(-1);
  const said =
    last === undefined
      ? ''
      : `${last.epoch}${last.state}${last.subject && revisionOf(last.subject)}${revisionOf(last.runs)}${revisionOf(last.profile)}${last.isOverridden}`;
  const failed = queue.flatMap(({ state, subject, epoch }) =>
    ENDING.has(state) && subject !== undefined ? [`${state}${epoch}.${revisionOf(subject)}`] : [],
  );
  return `${isRunning}|${journalKey(journal)}|${said}|${failed.join('.')}|${job}|${wait}`;
}

const hosts = new WeakMap<Host, string>();

function hostKey(host: Host): string {
  const known = hosts.get(host);
  if (known !== undefined) return known;
  const { row, agent, machine, session, down, up, verified } = host;
  const { seen, went } = row;
  const key = [
    row.epoch,
    row.directed,
    row.permitted,
    row.told,
    row.isRetry,
    row.isOnlyStaged,
    row.stable,
    seen.state,
    seen.subject && revisionOf(seen.subject),
    seen.isLong,
    revisionOf(seen.runs),
    revisionOf(seen.profile),
    row.isOverridden,
    row.quarantined.map(revisionOf).join('.'),
    row.acknowledged.map(revisionOf).join('.'),
    row.held ?? '-',
    row.pinned ?? '-',
    row.trial === undefined ? '-' : `${row.trial.revision}e${row.trial.epoch}${row.trial.isEnded}`,
    row.ordered.map(revisionOf).join('.'),
    row.stones.join('.'),
    went === undefined ? '-' : `${revisionOf(went.toplevel)}e${went.epoch}${went.isExpired}`,
    agentKey(agent),
    revisionOf(machine.runs),
    revisionOf(machine.profile),
    machine.watchdog,
    machine.staged && revisionOf(machine.staged),
    session?.offered ?? '-',
    down
      .map((each) => (each.type === 'go' ? `g${each.epoch}` : `d${each.epoch}${each.isRetry}${each.isTrial}${each.isOnlyStaged}${each.floor ?? ''}`))
      .toSorted()
      .join('.'),
    up.toSorted((one, other) => one - other).join('.'),
    verified.map(revisionOf).join('.'),
  ].join(';');
  hosts.set(host, key);
  return key;
}

function probeKey({ answers, asked, isAskedAtEnd, isGoodAtEnd }: State['probe']): string {
  const said = answers.map(({ ring, verdict, number, askedAt, tries, isAcknowledged }) =>
    [ring, verdict, number, askedAt, tries, isAcknowledged].join(','),
  );
  return `${said.join('.')} ${asked?.ring},${asked?.at} ${isAskedAtEnd} ${isGoodAtEnd}`;
}

export function keyOf({ hosts: all, newest, next, course, isFrozen, stopped, approvals, builds, probe, resumeOf, isReverted, left }: State): string {
  const at =
    course &&
    [
      course.state,
      course.ring,
      course.since,
      course.pause?.cause,
      course.pause?.cause === 'failures' && course.pause.failures.map(({ host }) => host).join('.'),
      course.provedRing,
      course.unapproved,
      course.isReopened,
    ].join(',');
  return `${all.map(hostKey).join('\n')}\n${newest} ${next?.revision}${next?.isDue} ${at} ${isFrozen} ${stopped.join('.')} ${approvals.map(({ by, ring, binds }) => `${by}${ring}${binds}`).join('.')} ${builds} ${probeKey(probe)} ${resumeOf} ${isReverted} ${Object.values(left).join(',')}`;
}

/** 53 bits of a state's key. Among ten million states, two that differ have the same with a chance of 1 in 180. */
export function fingerprint(text: string): number {
  let one = 0x811c9dc5;
  let other = 0x9747b28c;
  for (let index = 0; index < text.length; index += 1) {
    const code = text.charCodeAt(index);
    one = Math.imul(one ^ code, 0x01000193);
    other = Math.imul(other ^ code, 0x5bd1e995);
    other ^= other >>> 13;
  }
  return (one >>> 0) * 0x20_0000 + ((other >>> 0) & 0x1f_ffff);
}
