import {
  beginRollout,
  defaultGates,
  DEFAULT_POLICY,
  emptyJournal,
  type AgentJob,
  type AgentJournal,
  type AgentState,
  type HostName,
  type RingPolicy,
  type RolloutCourse,
  type RolloutPolicy,
  type StorePath,
} from '@floe/model';

/** Time stands still here: what passes is an age, e.g. of a soak. */
export const NOW = 1_000_000;
export const SOAK_MS = 1_000;

/** A revision by its number. Every host runs 0 at the beginning; its sequence is one more. */
export type Revision = number;

/** What the world is like. */
export interface Scene {
  readonly revisions: number;
  /** Revisions that no host can verify. */
  readonly bad: ReadonlySet<Revision>;
  readonly policy: RolloutPolicy;
  /** The ring of each host. */
  readonly rings: readonly number[];
  /** The server stores the reports that came before a `ready` on its connection before it answers. */
  readonly isReadyBehindReports: boolean;
  /** So many rollouts in a row were superseded before: whatever is under way is finished first. */
  readonly superseded: number;
  /** How often each of these may happen. */
  readonly limits: Limits;
}

export interface Limits {
  readonly agentCrashes: number;
  readonly serverCrashes: number;
  readonly overrides: number;
  readonly laters: number;
  readonly freezes: number;
  readonly resumes: number;
  readonly aborts: number;
}

/** Two rings with a soak, and one host at a time. */
function policy(): RolloutPolicy {
  const ring = (index: number): RingPolicy => ({
    name: `ring-${index}`,
    members: { hosts: [], labels: [], share: undefined },
    ...defaultGates(index, 2),
    soakMs: SOAK_MS,
    deadlineMs: undefined,
    maxInFlight: undefined,
    windows: [],
    approvals: undefined,
    probes: [],
    pauseAfter: false,
  });
  return { ...DEFAULT_POLICY, rings: [ring(0), ring(1)], maxInFlight: 1 };
}

const CANARY: Scene = {
  rings: [0, 1],
  revisions: 3,
  bad: new Set([1]),
  policy: policy(),
  isReadyBehindReports: true,
  superseded: 0,
  limits: { agentCrashes: 1, serverCrashes: 1, overrides: 1, laters: 1, freezes: 1, resumes: 1, aborts: 1 },
};

export const SCENES = {
  /** One host in each ring: the second must not get the bad revision. */
  canary: CANARY,
  /** Both in the first ring: they compete for one place. */
  together: { ...CANARY, rings: [0, 0] },
  /** A newer revision waits for the train. */
  train: { ...CANARY, superseded: 3 },
} as const satisfies Record<string, Scene>;

/** What the server has stored about a host. */
export interface Row {
  readonly epoch: number;
  readonly directed: Revision | undefined;
  /** It may be below what it was told before: the highest revision that it ever was. */
  readonly isPermitted: boolean;
  readonly told: Revision;
  readonly isRetry: boolean;
  readonly stable: Revision;
  readonly seen: Seen;
  readonly isOverridden: boolean;
  readonly quarantined: readonly StorePath[];
  readonly acknowledged: readonly StorePath[];
  /** It got a `go`, and has not reported since that it is over. `isExpired`: its watchdog must have acted. */
  readonly went: { readonly toplevel: StorePath; readonly isExpired: boolean } | undefined;
}

/** What a report said. */
export interface Seen {
  readonly state: AgentState;
  readonly subject: StorePath | undefined;
  readonly runs: StorePath;
  readonly profile: StorePath;
}

export interface Report extends Seen {
  readonly epoch: number;
  readonly isOverridden: boolean;
}

export interface Machine {
  readonly runs: StorePath;
  readonly profile: StorePath;
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
  readonly wait: 'ask' | 'pending' | 'user' | 'conditions' | undefined;
}

export type Down =
  | {
      readonly type: 'directive';
      readonly epoch: number;
      readonly revision: Revision;
      readonly isRetry: boolean;
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

export interface State {
  readonly hosts: readonly Host[];
  /** The one whose rollout hosts follow. */
  readonly newest: Revision;
  /** It is published, and waits for the train. `isDue`: for a day. */
  readonly next: { readonly revision: Revision; readonly isDue: boolean } | undefined;
  /** Undefined: nothing has been rolled out yet. */
  readonly course: RolloutCourse | undefined;
  readonly isFrozen: boolean;
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

export function initialState(scene: Scene): State {
  const hosts = ['a', 'b'].map((each): Host => {
    const name = each as HostName;
    const old = systemOf(name, 0);
    const seen: Seen = { state: 'IDLE', subject: undefined, runs: old, profile: old };
    const row: Row = {
      epoch: 0,
      directed: undefined,
      isPermitted: false,
      told: -1,
      isRetry: false,
      stable: 0,
      seen,
      isOverridden: false,
      quarantined: [],
      acknowledged: [],
      went: undefined,
    };
    const agent: Agent = { isRunning: true, journal: emptyJournal(NOW), queue: [], job: undefined, wait: undefined };
    const machine: Machine = { runs: old, profile: old, watchdog: 'off' };
    return { name, row, agent, machine, session: { offered: 0 }, down: [], up: [], verified: [] };
  });
  return { hosts, newest: 0, next: undefined, course: undefined, isFrozen: false, resumeOf: undefined, isReverted: false, left: scene.limits };
}

export function withHost(state: State, host: Host): State {
  return { ...state, hosts: state.hosts.map((each) => (each.name === host.name ? host : each)) };
}

export function startCourse(): RolloutCourse {
  return beginRollout(NOW);
}
