import type { AgentState } from './state.ts';
import type { StorePath } from '../brands.ts';
import type { AgentDetail, AgentDirective, AgentFreshness, AgentImpact, BeforeActivation, Deferral, LocalOverride } from './journal.ts';

interface OfDirective {
  /** Epoch of the directive that the event is about. An event about another directive is late, and ignored. */
  readonly epoch: number;
}
interface Timed extends OfDirective {
  readonly tookMs: number;
}
interface Failed extends Timed {
  readonly detail: AgentDetail;
}

/** Why a staged system is not activated yet, and when to check again (ms); null: soon. */
export interface AgentWait {
  readonly detail: AgentDetail;
  readonly until: number | null;
}

/** Everything that can happen to an agent. */
export type AgentEvent =
  /** The process started with this journal. */
  | {
      readonly type: 'restarted';
      /** The machine was started since the journal was written. */
      readonly isNewBoot: boolean;
      /** The machine runs the system of the directive. */
      readonly isOnTarget: boolean;
      /** The boot guard went back to the previous system. */
      readonly fellBack: boolean;
    }
  /** A directive passed every check. */
  | {
      readonly type: 'offered';
      readonly directive: AgentDirective;
      readonly freshness: AgentFreshness | null;
      /** A permit lets its release go below what was accepted, up to this sequence; absent: it has none. */
      readonly floor?: number | undefined;
    }
  /** A directive failed a check. */
  | { readonly type: 'refused'; readonly epoch: number; readonly toplevel: StorePath | null; readonly detail: AgentDetail }
  /** What the machine has is not what was last reported. */
  | { readonly type: 'drifted' }
  /** A user chose another system than the agent left: by a switch, or in the boot menu. */
  | { readonly type: 'overridden'; readonly override: LocalOverride }
  /** The local override ends, by a user's or an administrator's word, or by the machine's policy for drift. */
  | { readonly type: 'resumed' }
  /** A user wants `target`, an earlier system, back. */
  | { readonly type: 'rollback-asked'; readonly target: StorePath }
  /** A user said "later" or "now". */
  | { readonly type: 'deferral-changed'; readonly deferral: Deferral }
  /** The wait before the next try is over. */
  | ({ readonly type: 'retry-due' } & OfDirective)
  /** The pending directive may begin: the previous one has its verdict. */
  | { readonly type: 'pending-due' }
  /** `isOnTarget`: the machine runs and boots the system of the directive already. */
  | ({ readonly type: 'inspected'; readonly isOnTarget: boolean } & OfDirective)
  | ({ readonly type: 'downloaded' } & Timed)
  | ({ readonly type: 'download-failed'; readonly isRetryable: boolean } & Failed)
  /** The policy delays the download, e.g. on a metered connection. */
  | ({ readonly type: 'download-held'; readonly wait: AgentWait } & OfDirective)
  /** The policy allows the download now. */
  | ({ readonly type: 'download-due' } & OfDirective)
  /** How disruptive the switch would be, and what it waits for; `wait` null: the conditions are clear. */
  | ({ readonly type: 'assessed'; readonly impact: AgentImpact; readonly wait: AgentWait | null } & OfDirective)
  /** The server allows the switch. */
  | ({ readonly type: 'go' } & OfDirective)
  /** The checks before the first change passed. `how`: switch now, or stage for the next start. */
  | ({ readonly type: 'cleared'; readonly before: BeforeActivation; readonly how: 'switch' | 'boot' } & OfDirective)
  | ({
      readonly type: 'not-clear';
      /** The staged system is not there any more. */ readonly isGone: boolean;
      readonly detail: AgentDetail;
    } & OfDirective)
  | ({ readonly type: 'switched' } & Timed)
  | ({ readonly type: 'switch-failed' } & Failed)
  /** The switch changed nothing: the new system takes effect only with a restart. */
  | ({ readonly type: 'restart-needed'; readonly detail: AgentDetail } & OfDirective)
  /** `note`: what an administrator should know although it passed. */
  | ({ readonly type: 'verified'; readonly note: AgentDetail | null } & Timed)
  /** `isContactLost`: the only thing wrong is that the server does not answer, which may not be this machine's fault. */
  | ({ readonly type: 'verify-failed'; readonly isContactLost: boolean } & Failed)
  /** The watchdog has rolled back to the previous system, because no verdict came in time. */
  | ({ readonly type: 'watchdog-rolled-back'; readonly detail: AgentDetail } & OfDirective)
  /** The next start of the machine runs the new system; `detail` says when that may be. */
  | ({ readonly type: 'boot-staged'; readonly detail: AgentDetail } & Timed)
  | ({ readonly type: 'boot-stage-failed' } & Failed)
  /** The machine's policy or a user allows the restart now. */
  | ({ readonly type: 'reboot-due'; readonly detail: AgentDetail } & OfDirective)
  /** Not yet; `detail` says why. */
  | ({ readonly type: 'reboot-waits'; readonly detail: AgentDetail } & OfDirective)
  | ({ readonly type: 'reboot-failed' } & Failed)
  /** The server answers, on a system that was kept by the local checks alone. */
  | ({ readonly type: 'server-met' } & OfDirective)
  /** It has not answered for too long, although the network works. */
  | ({ readonly type: 'server-missed'; readonly detail: AgentDetail } & OfDirective)
  /** The machine cannot try this system: it needs a restart, say. Nothing was changed. */
  | ({ readonly type: 'trial-refused'; readonly detail: AgentDetail } & OfDirective)
  /** The end of the trial has come, or the machine was restarted since it began. */
  | ({ readonly type: 'trial-over'; readonly detail: AgentDetail } & OfDirective)
  | ({ readonly type: 'committed' } & Timed)
  | ({ readonly type: 'commit-failed' } & Failed)
  /** `hasContact`: the server answers the previous system. */
  | ({ readonly type: 'rolled-back'; readonly hasContact: boolean } & Timed)
  | ({ readonly type: 'rollback-failed' } & Failed);

export type AgentEventType = AgentEvent['type'];
export type AgentEventOf<Type extends AgentEventType> = Extract<AgentEvent, { readonly type: Type }>;

/** What the agent does on the machine, one at a time. The result of a job is an event. */
export const AGENT_JOBS = ['inspect', 'download', 'assess', 'precheck', 'activate', 'verify', 'commit', 'roll-back', 'stage-boot', 'reboot'] as const;
export type AgentJob = (typeof AGENT_JOBS)[number];

/** What is done after the journal is on disk, in this order. */
export type AgentEffect =
  | {
      readonly type: 'report';
      readonly state: AgentState;
      readonly epoch: number;
      readonly toplevel: StorePath | null;
      readonly detail: AgentDetail | null;
    }
  /** Stop the running job. */
  | { readonly type: 'stop-job' }
  | { readonly type: 'start-job'; readonly job: AgentJob }
  /** Ask the server for `go`, and repeat that until it comes. */
  | { readonly type: 'ask' }
  | { readonly type: 'retry-later'; readonly pace: 'soon' | 'slowly'; readonly attempt: number }
  /** Check the conditions again: at `until`, or soon when null. Ends with `retry-due`. */
  | { readonly type: 'look-again'; readonly until: number | null }
  /** Ask the machine's policy repeatedly whether it may restart now. Ends with `reboot-due`. */
  | { readonly type: 'await-reboot' }
  /** Dispatch `pending-due` at `at`, ms. */
  | { readonly type: 'take-pending-at'; readonly at: number }
  /** Dispatch `pending-due`. */
  | { readonly type: 'take-pending' }
  /** The directive ended: remove what was kept for it (GC roots, watchdog). */
  | { readonly type: 'tidy' };
