import {
  beginRollout,
  emptyJournal,
  type AgentJob,
  type AgentJournal,
  type AgentState,
  type Approval,
  type StoredAnswer,
  type HostName,
  type RolloutCourse,
  type StorePath,
} from '@floe/model';
import { NOW, type Limits, type Revision, type Scene } from './scene.ts';

/** What the server has stored about a host. */
export interface Row {
  readonly epoch: number;
  readonly directed: Revision | undefined;
  /** It may be below what it was told before (the highest revision that it ever was), by a revert or by a pin. */
  readonly permitted: 'revert' | 'pin' | undefined;
  readonly told: Revision;
  readonly isRetry: boolean;
  /** It is to have what it was told, and not to activate it. */
  readonly isOnlyStaged: boolean;
  readonly stable: Revision;
  readonly seen: Seen;
  readonly isOverridden: boolean;
  readonly quarantined: readonly StorePath[];
  /** A person keeps it on this one; and an administrator, on any. */
  readonly held: Revision | undefined;
  readonly pinned: Revision | undefined;
  /** A person has it try this one, from that epoch on; or had. */
  readonly trial: { readonly revision: Revision; readonly epoch: number; readonly isEnded: boolean } | undefined;
  /** Systems that a person said do not run on it. */
  readonly ordered: readonly StorePath[];
  /** Stepping stones: it runs each before anything newer. */
  readonly stones: readonly Revision[];
  readonly acknowledged: readonly StorePath[];
  /** It got a `go`, and has not reported since that it is over. `isExpired`: its watchdog must have acted. */
  readonly went: { readonly toplevel: StorePath; readonly epoch: number; readonly isExpired: boolean } | undefined;
}

/** What a report said. */
export interface Seen {
  readonly state: AgentState;
  readonly subject: StorePath | undefined;
  readonly runs: StorePath;
  readonly profile: StorePath;
  /** It said so long ago: its watchdog must have acted. */
  readonly isLong: boolean;
}

export interface Report extends Omit<Seen, 'isLong'> {
  readonly epoch: number;
  readonly isOverridden: boolean;
}

export interface Machine {
  readonly runs: StorePath;
  readonly profile: StorePath;
  /** What its next start brings, once; otherwise that is the profile's. */
  readonly staged: StorePath | undefined;
  /** The watchdog is armed, or has acted while the agent was off. */
  readonly watchdog: 'off' | 'armed' | 'acted';
}

export interface Agent {
  readonly isRunning: boolean;
  /** On disk. */
  readonly journal: AgentJournal;
  readonly queue: readonly Report[];
  /** In memory. */
  readonly job: AgentJob | undefined;
  readonly wait: 'ask' | 'pending' | 'user' | 'conditions' | 'restart' | undefined;
}

export type Down =
  | {
      readonly type: 'directive';
      readonly epoch: number;
      readonly revision: Revision;
      readonly isRetry: boolean;
      readonly isTrial: boolean;
      readonly isOnlyStaged: boolean;
      readonly floor?: number | undefined;
    }
  | { readonly type: 'go'; readonly epoch: number };

export interface Host {
  readonly name: HostName;
  readonly row: Row;
  readonly agent: Agent;
  readonly machine: Machine;
  /** There is a connection; and the epoch that was offered on it. */
  readonly session: { readonly offered: number } | undefined;
  /** Messages on their way, in no order: to the host, and the epochs of `ready` from it. */
  readonly down: readonly Down[];
  readonly up: readonly number[];
  /** For the invariants only: the systems that it verified in fact. */
  readonly verified: readonly StorePath[];
}

/** What was asked outside about the rollout that hosts follow. */
export interface Probe {
  readonly answers: readonly StoredAnswer[];
  /** On its way. */
  readonly asked: { readonly ring: number; readonly at: number } | undefined;
  /** For the invariants only: it was asked when the soak was over, and all was well. */
  readonly isAskedAtEnd: boolean;
  readonly isGoodAtEnd: boolean;
}

export const NOT_ASKED: Probe = { answers: [], asked: undefined, isAskedAtEnd: false, isGoodAtEnd: false };

export interface State {
  readonly hosts: readonly Host[];
  /** The one whose rollout hosts follow. */
  readonly newest: Revision;
  /** It is published, and waits for the train. `isDue`: for a day. */
  readonly next: { readonly revision: Revision; readonly isDue: boolean } | undefined;
  /** Undefined: nothing has been rolled out yet. */
  readonly course: RolloutCourse | undefined;
  readonly isFrozen: boolean;
  /** Labels that a person stopped. */
  readonly stopped: readonly string[];
  /** Of the rollout that hosts follow. */
  readonly approvals: readonly Approval[];
  /** How many hosts were built late: what is approved then is another thing. */
  readonly builds: number;
  readonly probe: Probe;
  readonly resumeOf: number | undefined;
  /** A person aborted the newest rollout, and wants its hosts back on stable. */
  readonly isReverted: boolean;
  readonly left: Limits;
}

export function systemOf(host: HostName, revision: Revision): StorePath {
  return `/nix/store/${'0'.repeat(32)}-${host}-${revision}` as StorePath;
}

export function revisionOf(system: StorePath): Revision {
  return Number(system.slice(system.lastIndexOf('-') + 1));
}

/** The newest revision up to this one that changes the host: what it has for it. */
export function changeOf(name: HostName, revision: Revision, { changes }: Scene): Revision {
  const own = changes?.[NAMES.indexOf(name)];
  return own === undefined ? revision : Math.max(0, ...own.filter((each) => each <= revision));
}

/** The system that the revision has for the host. */
export function systemIn(revision: Revision, { name }: Pick<Host, 'name'>, scene: Scene): StorePath {
  return systemOf(name, changeOf(name, revision, scene));
}

const NAMES: readonly string[] = ['a', 'b', 'c'];

export function initialState(scene: Scene): State {
  const hosts = NAMES.slice(0, scene.rings.length).map((each): Host => {
    const name = each as HostName;
    const old = systemOf(name, 0);
    const seen: Seen = { state: 'IDLE', subject: undefined, runs: old, profile: old, isLong: false };
    const row: Row = {
      epoch: 0,
      directed: undefined,
      permitted: undefined,
      told: -1,
      isRetry: false,
      isOnlyStaged: false,
      stable: 0,
      seen,
      isOverridden: false,
      quarantined: [],
      held: undefined,
      pinned: undefined,
      trial: undefined,
      ordered: [],
      stones: [],
      acknowledged: [],
      went: undefined,
    };
    const agent: Agent = { isRunning: true, journal: emptyJournal(NOW), queue: [], job: undefined, wait: undefined };
    const machine: Machine = { runs: old, profile: old, staged: undefined, watchdog: 'off' };
    return { name, row, agent, machine, session: { offered: 0 }, down: [], up: [], verified: [old] };
  });
  return {
    hosts,
    newest: 0,
    next: undefined,
    course: undefined,
    isFrozen: false,
    stopped: [],
    approvals: [],
    builds: 0,
    probe: NOT_ASKED,
    resumeOf: undefined,
    isReverted: false,
    left: scene.limits,
  };
}

export function withHost(state: State, host: Host): State {
  return { ...state, hosts: state.hosts.map((each) => (each.name === host.name ? host : each)) };
}

export function startCourse(): RolloutCourse {
  return beginRollout(NOW);
}
