import type { AgentState } from './state.ts';
import type { StorePath } from '../brands.ts';
import type { AgentDetail, AgentDirective, AgentFreshness, AgentImpact, BeforeActivation, Deferral, LocalOverride } from './journal.ts';

interface OfDirective {
  /** Of the directive that the work was for. An event about another one is late, and ignored. */
  readonly epoch: number;
}
interface Timed extends OfDirective {
  readonly tookMs: number;
}
interface Failed extends Timed {
  readonly detail: AgentDetail;
}

/** Why a staged system is not activated yet, and when looking again makes sense (ms); null: soon. */
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
      /** It runs the system of the directive. */
      readonly isOnTarget: boolean;
      /** The boot guard gave the system of the directive up. */
      readonly fellBack: boolean;
    }
  /** A directive passed every check. */
  | { readonly type: 'offered'; readonly directive: AgentDirective; readonly freshness: AgentFreshness | null }
  /** A directive did not. */
  | { readonly type: 'refused'; readonly epoch: number; readonly toplevel: StorePath | null; readonly detail: AgentDetail }
  /** What the machine has is not what was last reported. */
  | { readonly type: 'drifted' }
  /** Somebody runs another system than this agent left: by hand, or from the boot menu. */
  | { readonly type: 'overridden'; readonly override: LocalOverride }
  /** The local override is over: a person said so, or the machine's policy for drift. */
  | { readonly type: 'resumed' }
  /** The person at the machine wants `target` back. */
  | { readonly type: 'rollback-asked'; readonly target: StorePath }
  /** The person at the machine asked to wait, or not to wait any longer. */
  | { readonly type: 'deferral-changed'; readonly deferral: Deferral }
  /** The wait before the next try is over. */
  | ({ readonly type: 'retry-due' } & OfDirective)
  /** The verdict about the directive before is in: the turn of the one that waited. */
  | { readonly type: 'pending-due' }
  | ({ readonly type: 'inspected'; readonly isOnTarget: boolean } & OfDirective)
  | ({ readonly type: 'downloaded' } & Timed)
  | ({ readonly type: 'download-failed'; readonly isRetryable: boolean } & Failed)
  /** The policy does not have it downloaded yet, e.g. on a metered line. */
  | ({ readonly type: 'download-held'; readonly wait: AgentWait } & OfDirective)
  /** It may be, after all. */
  | ({ readonly type: 'download-due' } & OfDirective)
  /** How disruptive the switch would be, and what it waits for; `wait` null: the conditions are clear. */
  | ({ readonly type: 'assessed'; readonly impact: AgentImpact; readonly wait: AgentWait | null } & OfDirective)
  /** The server's admission. */
  | ({ readonly type: 'go' } & OfDirective)
  /** `how`: switched to now, or made the system of the next start. */
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
  /** `note`: what a person should know although it passed. */
  | ({ readonly type: 'verified'; readonly note: AgentDetail | null } & Timed)
  /** `isContactLost`: the only thing wrong is that the server does not answer, which may not be this machine's fault. */
  | ({ readonly type: 'verify-failed'; readonly isContactLost: boolean } & Failed)
  /** The watchdog outside the agent put the system before back, because no verdict came in time. */
  | ({ readonly type: 'watchdog-rolled-back'; readonly detail: AgentDetail } & OfDirective)
  /** The next start of the machine brings the new system, and `detail` says when that may be. */
  | ({ readonly type: 'boot-staged'; readonly detail: AgentDetail } & Timed)
  | ({ readonly type: 'boot-stage-failed' } & Failed)
  /** The machine's policy restarts it now. */
  | ({ readonly type: 'reboot-due'; readonly detail: AgentDetail } & OfDirective)
  /** It does not yet, and `detail` says why. */
  | ({ readonly type: 'reboot-waits'; readonly detail: AgentDetail } & OfDirective)
  | ({ readonly type: 'reboot-failed' } & Failed)
  /** The server answers, at last, on a system that was kept on the word of the local checks. */
  | ({ readonly type: 'server-met' } & OfDirective)
  /** It does not, for long, although the network works. */
  | ({ readonly type: 'server-missed'; readonly detail: AgentDetail } & OfDirective)
  | ({ readonly type: 'committed' } & Timed)
  | ({ readonly type: 'commit-failed' } & Failed)
  /** `hasContact`: from the system before, the server answers. */
  | ({ readonly type: 'rolled-back'; readonly hasContact: boolean } & Timed)
  | ({ readonly type: 'rollback-failed' } & Failed);

export type AgentEventType = AgentEvent['type'];
export type AgentEventOf<Type extends AgentEventType> = Extract<AgentEvent, { readonly type: Type }>;

/** Work on the machine. One at a time; its end is an event. */
export const AGENT_JOBS = ['inspect', 'download', 'assess', 'precheck', 'activate', 'verify', 'commit', 'roll-back', 'stage-boot', 'reboot'] as const;
export type AgentJob = (typeof AGENT_JOBS)[number];

/** What the runner does after the journal is on disk, in this order. */
export type AgentEffect =
  | {
      readonly type: 'report';
      readonly state: AgentState;
      readonly epoch: number;
      readonly toplevel: StorePath | null;
      readonly detail: AgentDetail | null;
    }
  /** The work under way is not wanted any more. */
  | { readonly type: 'stop-job' }
  | { readonly type: 'start-job'; readonly job: AgentJob }
  /** Staged: ask the server for `go`, again and again until it comes. */
  | { readonly type: 'ask' }
  | { readonly type: 'retry-later'; readonly pace: 'soon' | 'slowly'; readonly attempt: number }
  /** Look again whether the conditions are clear: at `until`, or soon when null. Its end is `retry-due`. */
  | { readonly type: 'look-again'; readonly until: number | null }
  /** Ask the machine's policy, again and again, whether it may restart now. Its end is `reboot-due`. */
  | { readonly type: 'await-reboot' }
  /** Dispatch `pending-due` at `at`, ms. */
  | { readonly type: 'take-pending-at'; readonly at: number }
  /** Dispatch `pending-due`. */
  | { readonly type: 'take-pending' }
  /** The directive ended: let go of what was held for it (GC roots). */
  | { readonly type: 'tidy' };
