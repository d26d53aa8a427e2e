import type { AdmitAnswer, AgentState, WhyNot } from '@floe/model';
import { describePause } from './describe-course.ts';
import { hotfixCommand, nextWords, olderWords } from './next-words.ts';
import { probeWords } from './probe-words.ts';
import { missingApprovalWords, stillMade } from './rollout-words.ts';
import { liftCommand } from './host-orders.ts';
import { shortSha, words } from './text.ts';
import { renameCommand } from './todo.ts';

/** What the sentences about one host are made with. */
export interface WhyContext {
  readonly host: string;
  /** What its agent last said, or why it was quarantined. */
  readonly said: string | undefined;
  /** What the newest commit failed with for it. */
  readonly error: string | undefined;
  /** Its machine waits for a rename: from this name to that. */
  readonly rename?: { readonly from: string; readonly to: string } | undefined;
  /** The newest commit, in full. */
  readonly commit?: string | undefined;
  /** The server would take `floe retry` of it now, or `floe resume`. */
  readonly mayRetry: boolean;
  readonly mayResume: boolean;
  /** Why it is not known who the authors of the rollout's commits are, and what helps. */
  readonly unknownAuthor: string;
  /** It has the newest commit's system in its store, ahead of its turn. */
  readonly isDownloaded: boolean;
  /** Its release of a revision, as people know it: by its commit, where that is known. */
  readonly release: (sequence: number) => string;
  /** Writes a time for whoever reads it. */
  readonly time: (at: number) => string;
}

/** A rule that stands between a host and the newest commit, and what ends it. */
export interface WhyWords {
  readonly text: string;
  readonly end: string;
}

/** "the window of ring all is closed until 28 Nov 22:00 UTC, by its own time zone (Asia/Tokyo)" */
function windowWords({ ring, opensAt, timeZone }: Extract<WhyNot, { rule: 'window' }>, time: WhyContext['time']): WhyWords {
  const until = opensAt === undefined ? '' : ` until ${time(opensAt)}`;
  const own = timeZone === undefined ? '' : `, by its own time zone (${timeZone})`;
  return { text: `the window of ring ${ring} is closed${until}${own}`, end: 'when it opens; see: floe rollout' };
}

function because(what: string, why: string | undefined): string {
  return why === undefined || why === '' ? what : `${what}: ${why}`;
}

const WAIT_FOR_TURN: ReadonlySet<WhyNot['rule']> = new Set<WhyNot['rule']>(['ring', 'coming', 'approval', 'window']);

/** "ring all waits for canary: 2 of 3 verified, soak until 14:20" */
export function whyWords(reason: WhyNot, context: WhyContext): WhyWords {
  const { text, end } = wordsOf(reason, context);
  return { text: WAIT_FOR_TURN.has(reason.rule) && context.isDownloaded ? `${text}; it has the system downloaded` : text, end };
}

function wordsOf(reason: WhyNot, context: WhyContext): WhyWords {
  const { host, said, error, rename, unknownAuthor, release, time } = context;
  const newest = context.commit === undefined ? 'COMMIT' : shortSha(context.commit);
  const fix = context.mayRetry ? `push a fix, or: floe retry ${host} --reason "…"` : 'push a fix';
  switch (reason.rule) {
    case 'no-commit':
      return { text: 'no commit was taken in yet', end: 'push one to the tracked branch' };
    case 'unfinished':
      if (reason.waits !== undefined)
        return { text: `the newest commit ${olderWords(reason.waits, time)}`, end: `by itself, or: ${hotfixCommand(newest)}` };
      return { text: 'the newest commit is still evaluated and built', end: 'nothing to do; see: floe revisions' };
    case 'revision-failed':
      return { text: 'the newest commit failed as a whole', end: 'push a fix' };
    case 'host-failed':
      return { text: because('the newest commit has no release for it', error), end: 'push a fix' };
    case 'removed':
      if (rename !== undefined)
        return {
          text: `its machine is called ${rename.to} in the newest commit, and is not asked before it is renamed`,
          end: renameCommand(rename.from, rename.to),
        };
      return { text: 'the newest commit does not have it', end: 'add it to the flake again' };
    case 'not-built':
      return {
        text: because('nobody builds for its architecture here', error),
        end: `once a machine does: floe evaluate ${newest} --reason "…", or push`,
      };
    case 'not-ours':
      return {
        text: "its configuration does not run Floe's agent, so it is not built until it is enrolled",
        end: `set services.floe.agent.enable there, or: floe enrol ${host}`,
      };
    case 'not-enrolled':
      if (rename !== undefined)
        return {
          text: `its machine is enrolled as ${rename.from}, and is not asked before it is renamed`,
          end: renameCommand(rename.from, rename.to),
        };
      return { text: 'no machine is enrolled for it', end: `floe enrol ${host}, and what it prints on the machine` };
    case 'revoked':
      return { text: 'its enrolment was revoked', end: `floe enrol ${host}, and its token on the machine` };
    case 'cloned':
      return { text: 'two machines used its key', end: `make sure that only the right one has it, then: floe retry ${host} --reason "…"` };
    case 'trial':
      return { text: 'it tries another system', end: `by itself at ${time(reason.endsAt)}, or: floe try ${host} --end --reason "…"` };
    case 'pin':
      return { text: `pinned to ${release(reason.sequence)}`, end: `its end, or: floe unpin ${host} --reason "…"` };
    case 'hold':
      return { text: `held on ${release(reason.sequence)}`, end: `its end, or: floe unpin ${host} --reason "…"` };
    case 'stepping-stone': {
      const stone = `the stepping stone ${reason.name} (${release(reason.sequence)})`;
      if (!reason.isQuarantined) return { text: `it has to run ${stone} first, which hosts do not skip`, end: 'when it has run it' };
      const end = 'pin it to a newer commit, or take the name out of steppingStones';
      const retry = context.mayRetry ? `floe retry ${host} --reason "…"; or ` : '';
      return { text: `it rolled back ${stone}, which hosts do not skip`, end: `${retry}${end}` };
    }
    case 'freeze': {
      const { by, reason: why, until } = reason.freeze;
      const end = 'floe rollout resume --reason "…"';
      return { text: `${by} paused all rollouts: ${why}`, end: until === undefined ? end : `by itself at ${time(until)}, or: ${end}` };
    }
    case 'label-stop': {
      const { label, by, reason: why, until } = reason.stop;
      const end = `floe rollout resume --label ${label} --reason "…"`;
      return {
        text: `${by} paused the hosts with the label ${label}: ${why}`,
        end: until === undefined ? end : `by itself at ${time(until)}, or: ${end}`,
      };
    }
    case 'train':
      return {
        text: `its rollout ${nextWords({ for: 'train', after: reason.after ?? null, until: reason.until }, time)}`,
        end: `by itself, or: ${hotfixCommand(newest)}`,
      };
    case 'paused': {
      const why = reason.pause === undefined ? undefined : describePause(reason.pause);
      return { text: because(`the rollout is paused at ring ${reason.ring}`, why), end: 'push a fix, or resume or abort it: see floe rollout' };
    }
    case 'aborted':
      return {
        text: `the rollout of the newest commit was aborted${reason.isRevert ? ', and hosts that were told it go back to the system they had before' : ''}`,
        end: 'push another commit',
      };
    case 'superseded':
      return { text: 'its rollout was superseded', end: 'the rollout of the next commit, which begins by itself' };
    case 'ring': {
      const { name, counts, needed, soakUntil, probes } = reason.before;
      const soak = soakUntil === undefined ? '' : `, soak until ${time(soakUntil)}`;
      return {
        text: `ring ${reason.ring} waits for ${name}: ${[`${counts.verified} of ${needed} verified${soak}`, ...stillMade(reason.before), ...probes.flatMap((each) => (each.answer?.verdict === 'good' ? [] : [probeWords(each.name, each.answer)]))].join(', ')}`,
        end: `when ${name} has passed; see: floe rollout`,
      };
    }
    case 'coming': {
      const then = reason.missing === undefined ? '' : `, then for approval: ${missingApprovalWords(reason.missing)}`;
      return { text: `ring ${reason.ring} waits for hosts (${stillMade(reason).join(', ')})${then}`, end: 'nothing to do yet; see: floe rollout' };
    }
    case 'approval':
      return {
        text: `ring ${reason.ring} waits for approval: ${missingApprovalWords(reason.missing)}`,
        end: reason.isAuthorUnknown ? `when it is known who the authors are: ${unknownAuthor}` : 'floe rollout approve --reason "…"',
      };
    case 'window':
      return windowWords(reason, time);
    case 'sequence':
      return { text: `it was told ${release(reason.told)} before, and never goes back by itself`, end: 'push another commit' };
    case 'quarantined':
      return { text: because('it rolled this system back', said), end: fix };
    case 'ordered-quarantine': {
      const { by, commit, isOfAll, reason: why } = reason.order;
      return {
        text: `${by} quarantined the system of ${shortSha(commit)} ${isOfAll ? 'on all hosts' : 'on it'}: ${why}`,
        end: `push another commit, or: ${liftCommand(host, reason.order)}`,
      };
    }
    case 'failed-elsewhere':
      return { text: because(`${reason.host} failed with this very system`, reason.why), end: 'push a fix' };
    case 'retry-pending':
      return { text: 'it was told to try again, and has not answered yet', end: 'when its agent answers' };
    case 'failed':
      return { text: because(FAILED[reason.state] ?? 'it failed', said), end: fix };
    case 'override':
      return {
        text: because('its user keeps another system', said),
        end: `its user says so (floe-agent resume)${context.mayResume ? `, or: floe resume ${host} --reason "…"` : ''}`,
      };
    case 'away':
      return { text: 'it is not connected', end: 'when it comes back' };
    case 'drifted':
      return {
        text: 'it runs something else than it was told, though nothing is under way',
        end: context.mayResume ? `floe resume ${host} --reason "…"` : 'when it is told that again',
      };
    case 'deferred':
      return {
        text: because('it has the system, and waits', said),
        end: reason.state === 'BOOT_STAGED' ? 'its next start' : 'its policy or its user, by itself',
      };
    case 'in-flight': {
      const { of, limit } = reason;
      const whose = of === 'fleet' ? 'the fleet' : of === 'ring' ? 'its ring' : `the label ${of.label}`;
      return { text: `${limit} of ${whose} change already, which is the limit`, end: 'when one of them has its verdict' };
    }
    case 'under-way':
      return { text: `it is under way (${words(reason.state)})`, end: 'when it has its verdict' };
  }
}

const FAILED: Readonly<Partial<Record<AgentState, string>>> = {
  ROLLED_BACK: 'it rolled this system back',
  ROLLBACK_FAILED: 'it could not go back to its previous system',
  BLOCKED: 'it cannot take this system',
  REJECTED: 'it refuses this system',
};

const HELD: Readonly<Record<Extract<AdmitAnswer, { kind: 'wait' }>['for'], string>> = {
  freeze: 'a person paused all rollouts; to end that, run: floe rollout resume --reason "…"',
  'label-stop': 'a person paused one of its labels; to end that, run: floe rollout resume --label LABEL --reason "…"',
  pause: 'its rollout is paused; to let it go on, run: floe rollout resume --reason "…"',
  ring: 'its ring has not begun; floe rollout shows what it waits for',
  window: 'the window of its ring is closed; it goes by itself when that opens',
  newer: 'what it was told is of an older rollout that changes no host any more; it goes with the newest commit when its ring begins',
  'in-flight': 'as many hosts change now as the policy allows; it goes by itself when one of them is done',
};

/** A sentence on what the server keeps a host waiting for, where the rules of the newest commit say nothing about it. */
export function heldWords(held: Extract<AdmitAnswer, { kind: 'wait' }>['for']): string {
  return HELD[held];
}
