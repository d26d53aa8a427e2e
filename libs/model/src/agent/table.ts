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
import type { AgentEventOf, AgentEventType } from './events.ts';
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
  inspectAgain,
  inspected,
  notClear,
  prepareAgain,
} from './preparing.ts';
import type { AgentState } from './state.ts';
import { leaveTrial, overriddenTrial, replaceTrial, restartedTrying, trialOver, trialOverUntried, trialRefused } from './trial.ts';
import { ignore, type AgentStep } from './step.ts';

export type Cell<Type extends AgentEventType> = (journal: AgentJournal, event: AgentEventOf<Type>, now: number) => AgentStep;
type Row = { readonly [Type in AgentEventType]: Cell<Type> };

/**
 * The cells of the events that a state ignores. It comes last in its row, so that a cell that is written twice does not compile;
 * nor does a missing one.
 */
function ignoring<const Type extends AgentEventType>(...events: readonly Type[]): { readonly [Each in Type]: typeof ignore } {
  // The keys are the elements of `events`, which Object.fromEntries does not tell the compiler.
  return Object.fromEntries(events.map((event) => [event, ignore])) as { [Each in Type]: typeof ignore };
}

/** No directive is under way. */
// oxfmt-ignore
const AT_REST: Row = {
  restarted: wakeUp, offered: takeOffered, refused: refuse, drifted: reportDrift, overridden, resumed: resume,
  'rollback-asked': goBack, 'pending-due': takePending,
  ...ignoring(
    'deferral-changed', 'retry-due', 'inspected', 'downloaded', 'download-failed', 'download-held', 'download-due', 'assessed',
    'go', 'cleared', 'not-clear', 'switched', 'switch-failed', 'restart-needed', 'verified', 'verify-failed',
    'watchdog-rolled-back', 'boot-staged', 'boot-stage-failed', 'reboot-due', 'reboot-waits', 'reboot-failed', 'server-met',
    'server-missed', 'trial-refused', 'trial-over', 'committed', 'commit-failed', 'rolled-back', 'rollback-failed',
  ),
};

/**
 * What each state does about each event. Every cell is written out in its row, so that a new event or a new state does not compile
 * until somebody decided about all of its cells.
 */
// oxfmt-ignore
export const TABLE: Readonly<Record<AgentState, Row>> = {
  IDLE: AT_REST,
  OFFERED: {
    restarted: inspectAgain, offered: replace, refused: refuse, drifted: reportDrift, overridden: overriddenMidway,
    'rollback-asked': goBack, inspected, 'trial-over': trialOverUntried,
    ...ignoring(
      'resumed', 'deferral-changed', 'retry-due', 'pending-due', 'downloaded', 'download-failed', 'download-held', 'download-due',
      'assessed', 'go', 'cleared', 'not-clear', 'switched', 'switch-failed', 'restart-needed', 'verified', 'verify-failed',
      'watchdog-rolled-back', 'boot-staged', 'boot-stage-failed', 'reboot-due', 'reboot-waits', 'reboot-failed', 'server-met',
      'server-missed', 'trial-refused', 'committed', 'commit-failed', 'rolled-back', 'rollback-failed',
    ),
  },
  DOWNLOADING: {
    restarted: prepareAgain, offered: replace, refused: refuse, drifted: reportDrift, overridden: overriddenMidway,
    'rollback-asked': goBack, 'retry-due': downloadAgain, downloaded, 'download-failed': downloadFailed,
    'download-held': downloadHeld, 'trial-over': trialOverUntried,
    ...ignoring(
      'resumed', 'deferral-changed', 'pending-due', 'inspected', 'download-due', 'assessed', 'go', 'cleared', 'not-clear',
      'switched', 'switch-failed', 'restart-needed', 'verified', 'verify-failed', 'watchdog-rolled-back', 'boot-staged',
      'boot-stage-failed', 'reboot-due', 'reboot-waits', 'reboot-failed', 'server-met', 'server-missed', 'trial-refused',
      'committed', 'commit-failed', 'rolled-back', 'rollback-failed',
    ),
  },
  STAGED: {
    restarted: prepareAgain, offered: replace, refused: refuse, drifted: reportDrift, overridden: overriddenMidway,
    'rollback-asked': goBack, 'deferral-changed': changeDeferral, assessed, go: goAhead, 'trial-over': trialOverUntried,
    ...ignoring(
      'resumed', 'retry-due', 'pending-due', 'inspected', 'downloaded', 'download-failed', 'download-held', 'download-due',
      'cleared', 'not-clear', 'switched', 'switch-failed', 'restart-needed', 'verified', 'verify-failed', 'watchdog-rolled-back',
      'boot-staged', 'boot-stage-failed', 'reboot-due', 'reboot-waits', 'reboot-failed', 'server-met', 'server-missed',
      'trial-refused', 'committed', 'commit-failed', 'rolled-back', 'rollback-failed',
    ),
  },
  DEFERRED: {
    restarted: prepareAgain, offered: replace, refused: refuse, drifted: reportDrift, overridden: overriddenMidway,
    'rollback-asked': goBack, 'deferral-changed': changeDeferral, 'retry-due': assessAgain, 'download-held': downloadHeld,
    'download-due': downloadDue, assessed, 'trial-over': trialOverUntried,
    ...ignoring(
      'resumed', 'pending-due', 'inspected', 'downloaded', 'download-failed', 'go', 'cleared', 'not-clear', 'switched',
      'switch-failed', 'restart-needed', 'verified', 'verify-failed', 'watchdog-rolled-back', 'boot-staged', 'boot-stage-failed',
      'reboot-due', 'reboot-waits', 'reboot-failed', 'server-met', 'server-missed', 'trial-refused', 'committed', 'commit-failed',
      'rolled-back', 'rollback-failed',
    ),
  },
  PRECHECK: {
    restarted: prepareAgain, offered: replace, refused: refuse, overridden: overriddenMidway, assessed, cleared,
    'not-clear': notClear, 'trial-over': trialOverUntried, 'trial-refused': trialRefused,
    ...ignoring(
      'drifted', 'resumed', 'rollback-asked', 'deferral-changed', 'retry-due', 'pending-due', 'inspected', 'downloaded',
      'download-failed', 'download-held', 'download-due', 'go', 'switched', 'switch-failed', 'restart-needed', 'verified',
      'verify-failed', 'watchdog-rolled-back', 'boot-staged', 'boot-stage-failed', 'reboot-due', 'reboot-waits', 'reboot-failed',
      'server-met', 'server-missed', 'committed', 'commit-failed', 'rolled-back', 'rollback-failed',
    ),
  },
  ACTIVATING: {
    restarted: interrupted, offered: keepWaiting, refused: refuse, overridden: overriddenMidway, 'not-clear': notClear, switched,
    'switch-failed': switchFailed, 'restart-needed': restartNeeded, verified, 'watchdog-rolled-back': watchdogRolledBack,
    ...ignoring(
      'drifted', 'resumed', 'rollback-asked', 'deferral-changed', 'retry-due', 'pending-due', 'inspected', 'downloaded',
      'download-failed', 'download-held', 'download-due', 'assessed', 'go', 'cleared', 'verify-failed', 'boot-staged',
      'boot-stage-failed', 'reboot-due', 'reboot-waits', 'reboot-failed', 'server-met', 'server-missed', 'trial-refused',
      'trial-over', 'committed', 'commit-failed', 'rolled-back', 'rollback-failed',
    ),
  },
  VERIFYING: {
    restarted: interrupted, offered: keepWaiting, refused: refuse, overridden: overriddenMidway, switched: verifyAgain, verified,
    'verify-failed': verifyFailed, 'watchdog-rolled-back': watchdogRolledBack,
    ...ignoring(
      'drifted', 'resumed', 'rollback-asked', 'deferral-changed', 'retry-due', 'pending-due', 'inspected', 'downloaded',
      'download-failed', 'download-held', 'download-due', 'assessed', 'go', 'cleared', 'not-clear', 'switch-failed',
      'restart-needed', 'boot-staged', 'boot-stage-failed', 'reboot-due', 'reboot-waits', 'reboot-failed', 'server-met',
      'server-missed', 'trial-refused', 'trial-over', 'committed', 'commit-failed', 'rolled-back', 'rollback-failed',
    ),
  },
  TRYING: {
    restarted: restartedTrying, offered: replaceTrial, refused: refuse, drifted: reportDrift, overridden: overriddenTrial,
    resumed: leaveTrial, 'rollback-asked': leaveTrial, 'trial-over': trialOver,
    ...ignoring(
      'deferral-changed', 'retry-due', 'pending-due', 'inspected', 'downloaded', 'download-failed', 'download-held',
      'download-due', 'assessed', 'go', 'cleared', 'not-clear', 'switched', 'switch-failed', 'restart-needed', 'verified',
      'verify-failed', 'watchdog-rolled-back', 'boot-staged', 'boot-stage-failed', 'reboot-due', 'reboot-waits', 'reboot-failed',
      'server-met', 'server-missed', 'trial-refused', 'committed', 'commit-failed', 'rolled-back', 'rollback-failed',
    ),
  },
  COMMITTING: {
    restarted: startedCommitting, offered: keepWaiting, refused: refuse, overridden: overriddenMidway, committed,
    'commit-failed': commitFailed,
    ...ignoring(
      'drifted', 'resumed', 'rollback-asked', 'deferral-changed', 'retry-due', 'pending-due', 'inspected', 'downloaded',
      'download-failed', 'download-held', 'download-due', 'assessed', 'go', 'cleared', 'not-clear', 'switched', 'switch-failed',
      'restart-needed', 'verified', 'verify-failed', 'watchdog-rolled-back', 'boot-staged', 'boot-stage-failed', 'reboot-due',
      'reboot-waits', 'reboot-failed', 'server-met', 'server-missed', 'trial-refused', 'trial-over', 'rolled-back',
      'rollback-failed',
    ),
  },
  SUCCEEDED: {
    restarted: wakeUp, offered: takeOffered, refused: refuse, drifted: reportDrift, overridden, resumed: resume,
    'rollback-asked': goBack, 'pending-due': takePending, 'server-met': serverMet, 'server-missed': serverMissed,
    ...ignoring(
      'deferral-changed', 'retry-due', 'inspected', 'downloaded', 'download-failed', 'download-held', 'download-due', 'assessed',
      'go', 'cleared', 'not-clear', 'switched', 'switch-failed', 'restart-needed', 'verified', 'verify-failed',
      'watchdog-rolled-back', 'boot-staged', 'boot-stage-failed', 'reboot-due', 'reboot-waits', 'reboot-failed', 'trial-refused',
      'trial-over', 'committed', 'commit-failed', 'rolled-back', 'rollback-failed',
    ),
  },
  BOOT_STAGED: {
    restarted: startedStaged, offered: replaceStaged, refused: refuse, drifted: reportDrift, overridden: overriddenStaged,
    resumed: restage, 'rollback-asked': goBack, 'deferral-changed': deferReboot, 'retry-due': awaitRebootAgain,
    'boot-staged': bootStaged, 'boot-stage-failed': bootStageFailed, 'reboot-due': rebootDue, 'reboot-waits': rebootWaits,
    'reboot-failed': rebootFailed,
    ...ignoring(
      'pending-due', 'inspected', 'downloaded', 'download-failed', 'download-held', 'download-due', 'assessed', 'go', 'cleared',
      'not-clear', 'switched', 'switch-failed', 'restart-needed', 'verified', 'verify-failed', 'watchdog-rolled-back',
      'server-met', 'server-missed', 'trial-refused', 'trial-over', 'committed', 'commit-failed', 'rolled-back', 'rollback-failed',
    ),
  },
  BOOT_VERIFYING: {
    restarted: restartedVerifying, offered: keepWaiting, refused: refuse, overridden: overriddenStaged, verified,
    'verify-failed': verifyFailed, 'watchdog-rolled-back': watchdogRolledBack,
    ...ignoring(
      'drifted', 'resumed', 'rollback-asked', 'deferral-changed', 'retry-due', 'pending-due', 'inspected', 'downloaded',
      'download-failed', 'download-held', 'download-due', 'assessed', 'go', 'cleared', 'not-clear', 'switched', 'switch-failed',
      'restart-needed', 'boot-staged', 'boot-stage-failed', 'reboot-due', 'reboot-waits', 'reboot-failed', 'server-met',
      'server-missed', 'trial-refused', 'trial-over', 'committed', 'commit-failed', 'rolled-back', 'rollback-failed',
    ),
  },
  ROLLING_BACK: {
    restarted: rollBackAgain, offered: keepWaiting, refused: refuse, overridden: overriddenWhileRollingBack,
    'retry-due': rollBackAgain, 'rolled-back': rolledBack, 'rollback-failed': rollbackFailed,
    ...ignoring(
      'drifted', 'resumed', 'rollback-asked', 'deferral-changed', 'pending-due', 'inspected', 'downloaded', 'download-failed',
      'download-held', 'download-due', 'assessed', 'go', 'cleared', 'not-clear', 'switched', 'switch-failed', 'restart-needed',
      'verified', 'verify-failed', 'watchdog-rolled-back', 'boot-staged', 'boot-stage-failed', 'reboot-due', 'reboot-waits',
      'reboot-failed', 'server-met', 'server-missed', 'trial-refused', 'trial-over', 'committed', 'commit-failed',
    ),
  },
  ROLLED_BACK: AT_REST,
  ROLLBACK_FAILED: {
    restarted: wakeUp, offered: takeOffered, refused: refuse, drifted: reportDrift, overridden, resumed: resume,
    'rollback-asked': goBack, 'pending-due': takePending, 'watchdog-rolled-back': rollbackCompleted,
    ...ignoring(
      'deferral-changed', 'retry-due', 'inspected', 'downloaded', 'download-failed', 'download-held', 'download-due', 'assessed',
      'go', 'cleared', 'not-clear', 'switched', 'switch-failed', 'restart-needed', 'verified', 'verify-failed', 'boot-staged',
      'boot-stage-failed', 'reboot-due', 'reboot-waits', 'reboot-failed', 'server-met', 'server-missed', 'trial-refused',
      'trial-over', 'committed', 'commit-failed', 'rolled-back', 'rollback-failed',
    ),
  },
  BLOCKED: {
    restarted: resumeBlocked, offered: replace, refused: refuse, drifted: reportDrift, overridden: overriddenMidway,
    resumed: resume, 'rollback-asked': goBack, 'retry-due': resumeBlocked, 'pending-due': takePending, 'trial-over': trialOverUntried,
    ...ignoring(
      'deferral-changed', 'inspected', 'downloaded', 'download-failed', 'download-held', 'download-due', 'assessed', 'go',
      'cleared', 'not-clear', 'switched', 'switch-failed', 'restart-needed', 'verified', 'verify-failed', 'watchdog-rolled-back',
      'boot-staged', 'boot-stage-failed', 'reboot-due', 'reboot-waits', 'reboot-failed', 'server-met', 'server-missed',
      'trial-refused', 'committed', 'commit-failed', 'rolled-back', 'rollback-failed',
    ),
  },
  REJECTED: AT_REST,
};
