import type { AgentEffect, AgentEvent, AgentEventOf, AgentWait } from './events.ts';
import type { AgentDetail, AgentJournal } from './journal.ts';
import {
  block,
  download,
  end,
  enter,
  ignore,
  reportOf,
  startJob,
  startOver,
  TRIAL_NEEDS_RESTART,
  TRIAL_OVER,
  waitingForRestart,
  waitingSince,
  type AgentStep,
} from './step.ts';

const TRIAL_HAS_NO_WAY_BACK: AgentDetail = {
  code: 'TRIAL_HAS_NO_WAY_BACK',
  message: 'this machine has no earlier system to return to at the end of a trial',
};

/** How often a download is tried that only an administrator can fix. */
const MAX_DOWNLOADS = 3;

export function inspected(journal: AgentJournal, event: AgentEventOf<'inspected'>, now: number): AgentStep {
  if (journal.directive?.mode === 'hold') {
    return enter(journal, 'IDLE', now, { detail: { code: 'HELD', message: 'the directive is to change nothing' }, effects: [{ type: 'tidy' }] });
  }
  if (event.isOnTarget && journal.directive?.trial != null)
    return end(journal, 'IDLE', now, {
      detail: { code: TRIAL_OVER, message: 'the machine already runs and boots this system: there is nothing to try' },
    });
  // No switch: it would restart units of a system that runs already.
  if (event.isOnTarget)
    return end(journal, 'SUCCEEDED', now, { detail: { code: 'ALREADY_ON_IT', message: 'the machine already runs and boots this system' } });
  return download(journal, now);
}

function isActivated(journal: AgentJournal): boolean {
  const mode = journal.directive?.mode;
  return mode === 'activate' || mode === 'boot';
}

export function downloaded(journal: AgentJournal, event: AgentEventOf<'downloaded'>, now: number): AgentStep {
  // A user's "now" of a download that was held is about the network: the switch asks again.
  const deferral = { ...waitingSince(journal, now), isOverruled: false };
  return enter(journal, 'STAGED', now, {
    timings: { downloadMs: event.tookMs },
    changes: { deferral },
    effects: isActivated(journal) ? [startJob('assess')] : [],
  });
}

export function downloadFailed(journal: AgentJournal, event: AgentEventOf<'download-failed'>, now: number): AgentStep {
  const attempt = journal.attempt + 1;
  if (!event.isRetryable) {
    // An administrator may fix it meanwhile, but the agent does not try forever.
    if (attempt >= MAX_DOWNLOADS) return end(journal, 'REJECTED', now, { detail: event.detail });
    return enter(journal, 'BLOCKED', now, {
      detail: event.detail,
      changes: { attempt },
      effects: [{ type: 'retry-later', pace: 'slowly', attempt }],
    });
  }
  const next: AgentJournal = { ...journal, attempt, detail: event.detail };
  const retry: AgentEffect = { type: 'retry-later', pace: 'soon', attempt };
  // Retries have no end: report each reason once, not each try.
  return { journal: next, effects: journal.detail?.code === event.detail.code ? [retry] : [reportOf(next), retry] };
}

/** The download waits as an activation does: with a reason, a deadline, and users who may say "now". */
export function downloadHeld(journal: AgentJournal, event: AgentEventOf<'download-held'>, now: number): AgentStep {
  return defer({ ...journal, deferral: waitingSince(journal, now), impact: null }, event.wait, now);
}

export function downloadDue(journal: AgentJournal, _event: AgentEventOf<'download-due'>, now: number): AgentStep {
  return download(journal, now);
}

export function downloadAgain(journal: AgentJournal): AgentStep {
  return { journal, effects: [startJob('download')] };
}

/** The result of checking the conditions: when staged, while deferred, and once more before the first change. */
export function assessed(journal: AgentJournal, event: AgentEventOf<'assessed'>, now: number): AgentStep {
  const { impact, wait } = event;
  if (wait === null) {
    const ask: AgentEffect[] = [{ type: 'ask' }];
    return journal.state === 'STAGED'
      ? { journal: { ...journal, impact }, effects: ask }
      : enter(journal, 'STAGED', now, { changes: { impact }, effects: ask });
  }
  return defer({ ...withNotice(journal, now), impact }, wait, now);
}

/** The users are told now what an administrator asks for: the time until it begins counts from here, whatever else is waited for. */
function withNotice(journal: AgentJournal, now: number): AgentJournal {
  const { directive } = journal;
  if (directive?.urgent === undefined || directive.urgent.noticedAt !== null) return journal;
  return { ...journal, directive: { ...directive, urgent: { ...directive.urgent, noticedAt: now } } };
}

function defer(journal: AgentJournal, wait: AgentWait, now: number): AgentStep {
  const look: AgentEffect = { type: 'look-again', until: wait.until };
  if (journal.state !== 'DEFERRED') return enter(journal, 'DEFERRED', now, { detail: wait.detail, effects: [look] });
  const next: AgentJournal = { ...journal, detail: wait.detail };
  // Reported when the reason changes, not with each check.
  return { journal: next, effects: journal.detail?.message === wait.detail.message ? [look] : [reportOf(next), look] };
}

export function assessAgain(journal: AgentJournal): AgentStep {
  return { journal, effects: [startJob('assess')] };
}

export function goAhead(journal: AgentJournal, _event: AgentEventOf<'go'>, now: number): AgentStep {
  if (!isActivated(journal)) return ignore(journal);
  return enter(journal, 'PRECHECK', now, { effects: [startJob('precheck')] });
}

export function notClear(journal: AgentJournal, event: AgentEventOf<'not-clear'>, now: number): AgentStep {
  if (event.isGone) return download(journal, now, event.detail);
  return block(journal, now, event.detail);
}

export function cleared(journal: AgentJournal, event: AgentEventOf<'cleared'>, now: number): AgentStep {
  if (journal.directive?.trial != null) {
    if (event.how === 'boot') return end(journal, 'REJECTED', now, { detail: TRIAL_NEEDS_RESTART });
    if (event.before.toplevel === null) return end(journal, 'REJECTED', now, { detail: TRIAL_HAS_NO_WAY_BACK });
  }
  const changes = { before: event.before, verdict: null, activation: journal.activation + 1 };
  return event.how === 'boot'
    ? enter(journal, 'BOOT_STAGED', now, {
        changes: { ...changes, ...waitingForRestart(journal, now), boot: { misses: 0 } },
        detail: { code: 'STAGING', message: 'staging the system for the next start' },
        effects: [startJob('stage-boot')],
      })
    : enter(journal, 'ACTIVATING', now, { changes, effects: [startJob('activate')] });
}

export function inspectAgain(journal: AgentJournal, _event: AgentEvent, now: number): AgentStep {
  return startOver(journal, now);
}

export function prepareAgain(journal: AgentJournal, _event: AgentEvent, now: number): AgentStep {
  return download(journal, now);
}
