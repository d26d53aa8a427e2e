import type { AgentDetail, AgentEvent, AgentJournal, AgentJob } from '@floe/model';
import { describeError, isFloeError, type Clock } from '@floe/runtime';
import { reboot, stageBoot } from './boot.ts';
import { activate, commit, verify } from './changing.ts';
import type { Job, JobDeps } from './job.ts';
import { assess, download, inspect, precheck } from './preparing.ts';
import { rollBack } from './roll-back.ts';

const JOBS: Record<AgentJob, Job> = {
  inspect,
  download,
  assess,
  precheck,
  activate,
  verify,
  commit,
  'roll-back': rollBack,
  'stage-boot': stageBoot,
  reboot,
};

/** The event for an error that a job did not expect. */
const FAILURES: Record<AgentJob, (epoch: number, tookMs: number, detail: AgentDetail, error: unknown) => AgentEvent> = {
  inspect: (epoch) => ({ type: 'inspected', epoch, isOnTarget: false }),
  download: (epoch, tookMs, detail, error) => ({
    type: 'download-failed',
    epoch,
    tookMs,
    detail,
    isRetryable: !isFloeError(error) || error.retryable,
  }),
  // Without an answer from the system, the switch counts as one that restarts units, and goes ahead.
  assess: (epoch) => ({ type: 'assessed', epoch, impact: 'units', wait: null }),
  precheck: (epoch, _tookMs, detail) => ({ type: 'not-clear', epoch, isGone: false, detail }),
  // systemd did not run the switch: that says nothing about the system.
  activate: (epoch, tookMs, detail) =>
    detail.code === 'SWITCH_NOT_STARTED'
      ? { type: 'restarted', isNewBoot: false, isOnTarget: false, fellBack: false }
      : { type: 'switch-failed', epoch, tookMs, detail },
  verify: (epoch, tookMs, detail) => ({ type: 'verify-failed', epoch, tookMs, detail, isContactLost: false }),
  commit: (epoch, tookMs, detail) => ({ type: 'commit-failed', epoch, tookMs, detail }),
  'roll-back': (epoch, tookMs, detail) => ({ type: 'rollback-failed', epoch, tookMs, detail }),
  'stage-boot': (epoch, tookMs, detail) => ({ type: 'boot-stage-failed', epoch, tookMs, detail }),
  reboot: (epoch, tookMs, detail) => ({ type: 'reboot-failed', epoch, tookMs, detail }),
};

/** Runs one job; its result, good or bad, is an event. Throws only when aborted. */
export async function runJob(job: AgentJob, deps: JobDeps, journal: AgentJournal, signal: AbortSignal): Promise<AgentEvent> {
  const { directive } = journal;
  if (directive === null) throw new Error(`the job ${job} has no directive`);
  const startedAt = deps.clock.monotonic();
  try {
    const event = await JOBS[job](deps, journal, directive, signal);
    signal.throwIfAborted();
    return 'tookMs' in event ? { ...event, tookMs: elapsed(deps.clock, startedAt) } : event;
  } catch (error) {
    signal.throwIfAborted();
    deps.logger.warn('a job failed', { job, epoch: directive.epoch, error });
    const code = isFloeError(error) ? error.code : ((error as NodeJS.ErrnoException).code ?? 'UNEXPECTED');
    return FAILURES[job](directive.epoch, elapsed(deps.clock, startedAt), { code, message: describeError(error) }, error);
  }
}

function elapsed(clock: Clock, startedAt: number): number {
  return Math.round(clock.monotonic() - startedAt);
}
