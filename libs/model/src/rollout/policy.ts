import type { HostName } from '../brands.ts';
import type { NotificationKind } from '../notification.ts';
import type { Role } from '../roles.ts';
import { DEFAULT_SHRINK, type ShrinkLimit } from '../shrink.ts';

/** When changes may begin: at each time that `cron` names in `timeZone`, for `durationMs`. `deny` wins over `allow`. */
export interface RingWindow {
  readonly kind: 'allow' | 'deny';
  /** Five fields. */
  readonly cron: string;
  readonly durationMs: number;
  /** IANA name, e.g. `Europe/Berlin`; or `host`: see {@link HOST_TIME_ZONE}. */
  readonly timeZone: string;
}

/** Who belongs to a ring. Name comes before label, label before share; who is in none belongs to the last ring. */
export interface RingMembers {
  /** Names, or globs with `*` and `?`. */
  readonly hosts: readonly string[];
  readonly labels: readonly string[];
  /** Percent of the fleet, by one hash per host that never changes; undefined: none. */
  readonly share: number | undefined;
}

export interface Approvals {
  readonly count: number;
  /** The lowest role that counts. */
  readonly role: Role;
  /** An author of one of the commits does not count. */
  readonly notAuthor: boolean;
}

/** Something outside that is asked while a ring rolls and soaks. What it is and where is the server's configuration, by this name. */
export interface RingProbe {
  readonly name: string;
  readonly everyMs: number;
}

/** An ordered group of hosts, and what must hold before the next group begins. Complete: every default is filled in. */
export interface RingPolicy {
  readonly name: string;
  readonly members: RingMembers;
  /** Of the hosts that started, so many must be verified. */
  readonly successPercent: number;
  /** Pauses when more than `percent` of the hosts that started failed, and at least `minStarted` have started. */
  readonly errors: { readonly percent: number; readonly minStarted: number };
  /** At least so many hosts must be verified; never more than can be. */
  readonly minVerified: number;
  /** Time between the passed gate and the next ring. */
  readonly soakMs: number;
  /** A ring whose gate has not passed after this time pauses. Only time in an open window counts. Undefined: it never does. */
  readonly deadlineMs: number | undefined;
  /** The fleet's limit applies as well. Undefined: only that. */
  readonly maxInFlight: number | undefined;
  readonly windows: readonly RingWindow[];
  readonly approvals: Approvals | undefined;
  /** Each must answer that all is well before the next ring begins; one that says otherwise pauses. Their names differ. */
  readonly probes: readonly RingProbe[];
  /** A person resumes the rollout after this ring. */
  readonly pauseAfter: boolean;
}

/** At most `atMost` hosts with this label are changed at the same time. */
export interface LabelBudget {
  readonly label: string;
  readonly atMost: number;
}

/** How the commits of a fleet are rolled out. Complete: every default is filled in. Durations in ms. */
export interface RolloutPolicy {
  /** In order, at least one. Their names differ. */
  readonly rings: readonly RingPolicy[];
  /** Labels that the policy gives to hosts, besides those of the hosts' own configurations. */
  readonly labels: Readonly<Record<HostName, readonly string[]>>;
  /** At most so many hosts of the fleet are changed at the same time; undefined: no limit. */
  readonly maxInFlight: number | undefined;
  readonly budgets: readonly LabelBudget[];
  /** Flake checks that must build before anything is released: `<name>` below `checks.<system>`. */
  readonly checks: readonly string[];
  /** Names of releases that each host has to run before anything newer: the first complete one whose policy has the name. */
  readonly steppingStones: readonly string[];
  /** A revision is held when more than `percent` of the hosts are gone from its flake, and at least `hosts` of them; always when all are. */
  readonly shrink: ShrinkLimit;
  /** A host that was not heard of for so long is stale, then lost. */
  readonly presence: { readonly staleMs: number; readonly lostMs: number };
  /** Whether hosts download a release before their ring's turn; the downloads begin spread over `spreadMs`. */
  readonly downloads: { readonly ahead: boolean; readonly spreadMs: number };
  /** Notification targets that are told of an event, besides those that the server's settings have for it. */
  readonly notify: Readonly<Partial<Record<NotificationKind, readonly string[]>>>;
}

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;

export const DEFAULT_PRESENCE = { staleMs: 7 * DAY_MS, lostMs: 30 * DAY_MS } as const;
export const DEFAULT_DOWNLOADS = { ahead: true, spreadMs: 10 * MINUTE_MS } as const;
export const DEFAULT_MAX_IN_FLIGHT = 10;
export const DEFAULT_DEADLINE_MS = 24 * HOUR_MS;
export const DEFAULT_PROBE_EVERY_MS = MINUTE_MS;

/** The gates of a ring that names none of its own. The first of several rings is the strictest; a single ring has no gates. */
export function defaultGates(
  index: number,
  ringCount: number,
): Pick<RingPolicy, 'successPercent' | 'errors' | 'minVerified' | 'soakMs' | 'deadlineMs'> {
  if (ringCount === 1) return { successPercent: 0, errors: { percent: 100, minStarted: 1 }, minVerified: 1, soakMs: 0, deadlineMs: undefined };
  const isFirst = index === 0;
  return {
    successPercent: 80,
    errors: isFirst ? { percent: 0, minStarted: 1 } : { percent: 10, minStarted: 3 },
    minVerified: 1,
    soakMs: (isFirst ? 30 : 10) * MINUTE_MS,
    deadlineMs: DEFAULT_DEADLINE_MS,
  };
}

/** Without a policy: all hosts at once, and nothing waits. */
export const DEFAULT_POLICY: RolloutPolicy = {
  rings: [
    {
      name: 'all',
      members: { hosts: [], labels: [], share: undefined },
      ...defaultGates(0, 1),
      maxInFlight: undefined,
      windows: [],
      approvals: undefined,
      probes: [],
      pauseAfter: false,
    },
  ],
  labels: {},
  maxInFlight: undefined,
  budgets: [],
  checks: [],
  steppingStones: [],
  shrink: DEFAULT_SHRINK,
  presence: DEFAULT_PRESENCE,
  downloads: DEFAULT_DOWNLOADS,
  notify: {},
};
