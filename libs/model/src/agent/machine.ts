import {
  awaitRebootAgain,
  restage,
  overriddenStaged,
  bootStaged,
  bootStageFailed,
  rebootDue,
  rebootFailed,
  rebootWaits,
  deferReboot,
  replaceStaged,
  restartNeeded,
  restartedVerifying,
  startedStaged,
} from './boot.ts';
import {
  serverMet,
  serverMissed,
  startedCommitting,
  commitFailed,
  committed,
  interrupted,
  rollbackCompleted,
  resumeBlocked,
  rollBackAgain,
  rollbackFailed,
  rolledBack,
  switched,
  switchFailed,
  verified,
  verifyAgain,
  verifyFailed,
  watchdogRolledBack,
} from './changing.ts';
import { keepWaiting, refuse, replace, reportDrift, takeOffered, takePending, wakeUp } from './directives.ts';
import type { AgentEvent, AgentEventOf, AgentEventType } from './events.ts';
import type { AgentJournal } from './journal.ts';
import { changeDeferral, goBack, overridden, overriddenMidway, overriddenWhileRollingBack, resume } from './user-choices.ts';
import {
  assessAgain,
  assessed,
  cleared,
  downloadAgain,
  downloaded,
  downloadDue,
  downloadFailed,
  downloadHeld,
  goAhead,
  inspected,
  notClear,
  prepareAgain,
} from './preparing.ts';
import type { AgentState } from './state.ts';
import { ignore, startOver, type AgentStep } from './step.ts';

type Cell<Type extends AgentEventType> = (journal: AgentJournal, event: AgentEventOf<Type>, now: number) => AgentStep;
type Row = { readonly [Type in AgentEventType]: Cell<Type> };

/**
 * What an agent does about an event: first the journal goes to disk, then the effects run. Pure. SPEC.md, "Agent", has
 * the table in words and its invariants; a missing cell does not compile.
 */
export function decide(journal: AgentJournal, event: AgentEvent, now: number): AgentStep {
  if (isLate(journal, event)) return { journal, effects: [] };
  const cell = TABLE[journal.state][event.type] as Cell<AgentEventType>;
  return cell(journal, event, now);
}

function isLate(journal: AgentJournal, event: AgentEvent): boolean {
  return 'epoch' in event && event.type !== 'refused' && event.epoch !== journal.directive?.epoch;
}

/** Events that a state ignores unless its row says otherwise. */
const NOTHING = {
  overridden: ignore,
  resumed: ignore,
  'rollback-asked': ignore,
  'deferral-changed': ignore,
  'retry-due': ignore,
  'pending-due': ignore,
  inspected: ignore,
  downloaded: ignore,
  'download-failed': ignore,
  'download-held': ignore,
  'download-due': ignore,
  assessed: ignore,
  go: ignore,
  cleared: ignore,
  'not-clear': ignore,
  switched: ignore,
  'switch-failed': ignore,
  'restart-needed': ignore,
  verified: ignore,
  'verify-failed': ignore,
  'watchdog-rolled-back': ignore,
  'boot-staged': ignore,
  'boot-stage-failed': ignore,
  'reboot-due': ignore,
  'reboot-waits': ignore,
  'reboot-failed': ignore,
  'server-met': ignore,
  'server-missed': ignore,
  committed: ignore,
  'commit-failed': ignore,
  'rolled-back': ignore,
  'rollback-failed': ignore,
} satisfies Partial<Row>;

/** No directive is under way. */
const RESTING: Row = {
  ...NOTHING,
  restarted: wakeUp,
  offered: takeOffered,
  refused: refuse,
  drifted: reportDrift,
  'pending-due': takePending,
  overridden,
  resumed: resume,
  'rollback-asked': goBack,
};
/** A directive is under way and has changed nothing yet: a newer one replaces it. */
const PREPARING: Row = {
  ...NOTHING,
  overridden: overriddenMidway,
  restarted: prepareAgain,
  offered: replace,
  refused: refuse,
  drifted: reportDrift,
  'rollback-asked': goBack,
};
/** The machine is being changed: a newer directive waits, and drift cannot be told from the change. */
const CHANGING: Row = { ...NOTHING, restarted: interrupted, offered: keepWaiting, refused: refuse, drifted: ignore };

const TABLE: Record<AgentState, Row> = {
  IDLE: RESTING,
  OFFERED: { ...PREPARING, restarted: (journal, _event, now) => startOver(journal, now), inspected },
  DOWNLOADING: { ...PREPARING, downloaded, 'download-failed': downloadFailed, 'download-held': downloadHeld, 'retry-due': downloadAgain },
  STAGED: { ...PREPARING, assessed, go: goAhead, 'deferral-changed': changeDeferral },
  DEFERRED: {
    ...PREPARING,
    assessed,
    'download-held': downloadHeld,
    'download-due': downloadDue,
    'retry-due': assessAgain,
    'deferral-changed': changeDeferral,
  },
  PRECHECK: { ...CHANGING, overridden: overriddenMidway, restarted: prepareAgain, offered: replace, assessed, cleared, 'not-clear': notClear },
  ACTIVATING: {
    ...CHANGING,
    overridden: overriddenMidway,
    'not-clear': notClear,
    switched,
    'switch-failed': switchFailed,
    'restart-needed': restartNeeded,
    verified,
    'watchdog-rolled-back': watchdogRolledBack,
  },
  VERIFYING: {
    ...CHANGING,
    overridden: overriddenMidway,
    switched: verifyAgain,
    verified,
    'verify-failed': verifyFailed,
    'watchdog-rolled-back': watchdogRolledBack,
  },
  COMMITTING: { ...CHANGING, overridden: overriddenMidway, restarted: startedCommitting, committed, 'commit-failed': commitFailed },
  SUCCEEDED: { ...RESTING, 'server-met': serverMet, 'server-missed': serverMissed },
  BOOT_STAGED: {
    ...NOTHING,
    restarted: startedStaged,
    offered: replaceStaged,
    refused: refuse,
    drifted: reportDrift,
    'boot-staged': bootStaged,
    'boot-stage-failed': bootStageFailed,
    'reboot-due': rebootDue,
    'reboot-waits': rebootWaits,
    'reboot-failed': rebootFailed,
    'retry-due': awaitRebootAgain,
    'deferral-changed': deferReboot,
    'rollback-asked': goBack,
    overridden: overriddenStaged,
    resumed: restage,
  },
  BOOT_VERIFYING: {
    ...CHANGING,
    overridden: overriddenStaged,
    restarted: restartedVerifying,
    verified,
    'verify-failed': verifyFailed,
    'watchdog-rolled-back': watchdogRolledBack,
  },
  ROLLING_BACK: {
    ...CHANGING,
    overridden: overriddenWhileRollingBack,
    restarted: rollBackAgain,
    'retry-due': rollBackAgain,
    'rolled-back': rolledBack,
    'rollback-failed': rollbackFailed,
  },
  ROLLED_BACK: RESTING,
  ROLLBACK_FAILED: { ...RESTING, 'watchdog-rolled-back': rollbackCompleted },
  BLOCKED: { ...PREPARING, resumed: resume, restarted: resumeBlocked, 'retry-due': resumeBlocked, 'pending-due': takePending },
  REJECTED: RESTING,
};
