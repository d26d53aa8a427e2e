import type { AgentEffect, AgentEvent, AgentEventOf, AgentWait } from './events.ts';
import type { AgentJournal } from './journal.ts';
import { block, download, end, enter, ignore, reportOf, waitingForRestart, waitingSince, startJob, type AgentStep } from './step.ts';

/** So often a download is tried that only people can mend. */
const MAX_DOWNLOADS = 3;

export function inspected(journal: AgentJournal, event: AgentEventOf<'inspected'>, now: number): AgentStep {
  if (journal.directive?.mode === 'hold') {
    return enter(journal, 'IDLE', now, { detail: { code: 'HELD', message: 'told to stay as it is' }, effects: [{ type: 'tidy' }] });
  }
  // Nothing is left to be done, so nothing is switched: to restart units of a system that runs already helps nobody.
  if (event.isOnTarget)
    return end(journal, 'SUCCEEDED', now, { detail: { code: 'ALREADY_ON_IT', message: 'the machine already runs and boots this system' } });
  return download(journal, now);
}

function isActivated(journal: AgentJournal): boolean {
  const mode = journal.directive?.mode;
  return mode === 'activate' || mode === 'boot';
}

export function downloaded(journal: AgentJournal, event: AgentEventOf<'downloaded'>, now: number): AgentStep {
  const deferral = waitingSince(journal, now);
  return enter(journal, 'STAGED', now, {
    timings: { downloadMs: event.tookMs },
    changes: { deferral },
    effects: isActivated(journal) ? [startJob('assess')] : [],
  });
}

export function downloadFailed(journal: AgentJournal, event: AgentEventOf<'download-failed'>, now: number): AgentStep {
  const attempt = journal.attempt + 1;
  if (!event.isRetryable) {
    // A person may have mended it meanwhile; but nothing is downloaded for ever that cannot be had.
    if (attempt >= MAX_DOWNLOADS) return end(journal, 'REJECTED', now, { detail: event.detail });
    return enter(journal, 'BLOCKED', now, {
      detail: event.detail,
      changes: { attempt },
      effects: [{ type: 'retry-later', pace: 'slowly', attempt }],
    });
  }
  const next: AgentJournal = { ...journal, attempt, detail: event.detail };
  const retry: AgentEffect = { type: 'retry-later', pace: 'soon', attempt };
  // Tries go on for as long as it takes: said once per reason, not once per try.
  return { journal: next, effects: journal.detail?.code === event.detail.code ? [retry] : [reportOf(next), retry] };
}

/** It waits, as one does that is here already: with a reason, a deadline, and people who may say "now". */
export function downloadHeld(journal: AgentJournal, event: AgentEventOf<'download-held'>, now: number): AgentStep {
  return defer({ ...journal, deferral: waitingSince(journal, now), impact: null }, event.wait, now);
}

export function downloadDue(journal: AgentJournal, _event: AgentEventOf<'download-due'>, now: number): AgentStep {
  return download(journal, now);
}

export function downloadAgain(journal: AgentJournal): AgentStep {
  return { journal, effects: [startJob('download')] };
}

/** The conditions, looked at when staged, while deferred, and once more before the first change. */
export function assessed(journal: AgentJournal, event: AgentEventOf<'assessed'>, now: number): AgentStep {
  const { impact, wait } = event;
  if (wait === null) {
    const asking: AgentEffect[] = [{ type: 'ask' }];
    return journal.state === 'STAGED'
      ? { journal: { ...journal, impact }, effects: asking }
      : enter(journal, 'STAGED', now, { changes: { impact }, effects: asking });
  }
  return defer({ ...journal, impact }, wait, now);
}

function defer(journal: AgentJournal, wait: AgentWait, now: number): AgentStep {
  const look: AgentEffect = { type: 'look-again', until: wait.until };
  if (journal.state !== 'DEFERRED') return enter(journal, 'DEFERRED', now, { detail: wait.detail, effects: [look] });
  const next: AgentJournal = { ...journal, detail: wait.detail };
  // Said when the reason changes, not with every look.
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
  const changes = { before: event.before, verdict: null, activation: journal.activation + 1 };
  return event.how === 'boot'
    ? enter(journal, 'BOOT_STAGED', now, {
        changes: { ...changes, ...waitingForRestart(journal, now), boot: { misses: 0 } },
        detail: { code: 'STAGING', message: 'being made the system of the next start' },
        effects: [startJob('stage-boot')],
      })
    : enter(journal, 'ACTIVATING', now, { changes, effects: [startJob('activate')] });
}

export function prepareAgain(journal: AgentJournal, _event: AgentEvent, now: number): AgentStep {
  return download(journal, now);
}
