import type { AgentState } from './agent-state.ts';
import type { StorePath } from './brands.ts';
import type { AgentDetail, AgentDirective, AgentFreshness, BeforeActivation } from './agent-journal.ts';

interface OfWork {
  /** Of the directive that the work was for. An event about another one is late, and ignored. */
  readonly epoch: number;
}
interface Timed extends OfWork {
  readonly tookMs: number;
}
interface Failed extends Timed {
  readonly detail: AgentDetail;
}

/** Everything that can happen to an agent. */
export type AgentEvent =
  /** The process started with this journal. */
  | { readonly type: 'restarted' }
  /** A directive passed every check. */
  | { readonly type: 'offered'; readonly directive: AgentDirective; readonly freshness: AgentFreshness | null }
  /** A directive did not. */
  | { readonly type: 'refused'; readonly epoch: number; readonly toplevel: StorePath | null; readonly detail: AgentDetail }
  /** What the machine has is not what was last reported. */
  | { readonly type: 'drifted' }
  /** The wait before the next try is over. */
  | ({ readonly type: 'retry-due' } & OfWork)
  /** The verdict about the directive before is in: the turn of the one that waited. */
  | { readonly type: 'pending-due' }
  | ({ readonly type: 'inspected'; readonly isOnIt: boolean } & OfWork)
  | ({ readonly type: 'downloaded' } & Timed)
  | ({ readonly type: 'download-failed'; readonly isRetryable: boolean } & Failed)
  /** The server's admission. */
  | ({ readonly type: 'go' } & OfWork)
  | ({ readonly type: 'cleared'; readonly before: BeforeActivation } & OfWork)
  | ({ readonly type: 'not-clear'; /** The staged system is not there any more. */ readonly isGone: boolean; readonly detail: AgentDetail } & OfWork)
  | ({ readonly type: 'switched' } & Timed)
  | ({ readonly type: 'switch-failed' } & Failed)
  /** `note`: what a person should know although it passed. */
  | ({ readonly type: 'verified'; readonly note: AgentDetail | null } & Timed)
  /** `isContactLost`: the only thing wrong is that the server does not answer, which may not be this machine's fault. */
  | ({ readonly type: 'verify-failed'; readonly isContactLost: boolean } & Failed)
  | ({ readonly type: 'committed' } & Timed)
  | ({ readonly type: 'commit-failed' } & Failed)
  /** `hasContact`: from the system before, the server answers. */
  | ({ readonly type: 'rolled-back'; readonly hasContact: boolean } & Timed)
  | ({ readonly type: 'rollback-failed' } & Failed);

export type AgentEventType = AgentEvent['type'];
export type AgentEventOf<Type extends AgentEventType> = Extract<AgentEvent, { readonly type: Type }>;

/** Work on the machine. One at a time; its end is an event. */
export const AGENT_WORK = ['inspect', 'download', 'precheck', 'activate', 'verify', 'commit', 'roll-back'] as const;
export type AgentWork = (typeof AGENT_WORK)[number];

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
  | { readonly type: 'stop-work' }
  | { readonly type: 'work'; readonly work: AgentWork }
  /** Staged: ask the server for `go`, again and again until it comes. */
  | { readonly type: 'ask' }
  | { readonly type: 'retry-later'; readonly pace: 'soon' | 'slowly'; readonly attempt: number }
  /** Dispatch `pending-due`. */
  | { readonly type: 'take-pending' }
  /** The directive ended: let go of what was held for it (GC roots). */
  | { readonly type: 'tidy' };
