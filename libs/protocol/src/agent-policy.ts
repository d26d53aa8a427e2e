import * as v from 'valibot';
import { list, word } from './bounds.ts';

/** Path of the agent's policy below a system's toplevel. Each generation has its own policy. */
export const AGENT_POLICY_FILE = 'etc/floe/agent-policy.json';

const Hours = v.pipe(v.number(), v.minValue(0), v.maxValue(24 * 365));
const Minutes = v.pipe(v.number(), v.minValue(0), v.maxValue(60 * 24 * 31));

/** Opens at each time that `cron` (five fields, in `timeZone`) names, and stays open for `durationMinutes`. */
export const MaintenanceWindow = v.strictObject({
  cron: v.pipe(word(200), v.minLength(1)),
  durationMinutes: v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(7 * 24 * 60)),
  /** IANA name, e.g. `Europe/Berlin`. */
  timeZone: v.pipe(word(64), v.minLength(1)),
});
export type MaintenanceWindow = v.InferOutput<typeof MaintenanceWindow>;

/**
 * When a machine may be changed, from its own NixOS configuration. Every field has a default. By default a change starts
 * immediately, unless it would end a user's session.
 */
export const AgentPolicy = v.strictObject({
  version: v.optional(v.literal(1), 1),
  /** Activation waits for one of these windows; empty: any time is allowed. */
  windows: v.optional(list(MaintenanceWindow, 50), []),
  /** Activation waits on battery below this charge, in percent; 0: never, 101: always on battery. */
  minBatteryPercent: v.optional(v.pipe(v.number(), v.minValue(0), v.maxValue(101)), 30),
  /** What waits while the connection is metered. */
  metered: v.optional(v.picklist(['ignore', 'wait']), 'ignore'),
  /** What waits for a user: nothing; a switch that would end the session; every switch that restarts units. */
  session: v.optional(v.picklist(['ignore', 'wait-if-session', 'wait-if-units']), 'wait-if-session'),
  /** A session without input for this long counts as idle. A locked one always does. */
  idleMinutes: v.optional(Minutes, 10),
  /** How often, and for how long at most, a user may defer one system. */
  later: v.optional(
    v.strictObject({
      maxCount: v.optional(v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(100)), 3),
      maxMinutes: v.optional(Minutes, 240),
    }),
    {},
  ),
  /** After waiting this long, activation ignores all conditions; null: it waits without limit. */
  deadlineHours: v.optional(v.nullable(Hours), 72),
  reboot: v.optional(
    v.strictObject({
      /** `never`: the machine waits for its users to restart it, until the deadline. The others restart it automatically. */
      when: v.optional(v.picklist(['never', 'idle', 'window']), 'never'),
      /** After waiting this long it restarts, whatever the conditions; null: never. */
      deadlineHours: v.optional(v.nullable(Hours), null),
      /** Whether the deadline waits for programs that block a restart (a backup). Not written where it does not. */
      respectInhibitors: v.optional(v.boolean(), false),
    }),
    {},
  ),
  /** Whether systems may be tried on this machine for some hours. Not written where it is off, which agents without it can read. */
  trials: v.optional(v.strictObject({ enable: v.optional(v.boolean(), false) }), {}),
  drift: v.optional(
    v.strictObject({
      /** What happens when somebody switched the machine to another system by hand. */
      action: v.optional(v.picklist(['observe', 'correct-later', 'correct-now']), 'observe'),
      afterMinutes: v.optional(Minutes, 60),
    }),
    {},
  ),
});
export type AgentPolicy = v.InferOutput<typeof AgentPolicy>;

/** The policy of a machine whose configuration sets none. */
export const DEFAULT_AGENT_POLICY: AgentPolicy = v.parse(AgentPolicy, {});

/**
 * How much of the machine a switch disrupts: `none` (files only), `units` (restarts or stops services), `session` (ends users'
 * sessions: display manager, D-Bus, logind), `reboot` (takes effect only with a restart).
 */
export const IMPACTS = ['none', 'units', 'session', 'reboot'] as const;
export type Impact = (typeof IMPACTS)[number];
