import * as v from 'valibot';
import { list, word } from './bounds.ts';

/** Where a system keeps the policy of its agent, below its toplevel: each generation brings its own. */
export const AGENT_POLICY_FILE = 'etc/floe/agent-policy.json';

const Hours = v.pipe(v.number(), v.minValue(0), v.maxValue(24 * 365));
const Minutes = v.pipe(v.number(), v.minValue(0), v.maxValue(60 * 24 * 31));

/** Open from each time that `cron` (five fields, in `timeZone`) names, for `durationMinutes`. */
export const MaintenanceWindow = v.strictObject({
  cron: v.pipe(word(200), v.minLength(1)),
  durationMinutes: v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(7 * 24 * 60)),
  /** IANA name, e.g. `Europe/Berlin`. */
  timeZone: v.pipe(word(64), v.minLength(1)),
});
export type MaintenanceWindow = v.InferOutput<typeof MaintenanceWindow>;

/**
 * When this machine changes, as its own configuration says. Every field has a default; the default of the whole is to
 * go ahead at once, but for what would take a person's session away.
 */
export const AgentPolicy = v.strictObject({
  version: v.optional(v.literal(1), 1),
  /** Activation waits for one of these; none: any time will do. */
  windows: v.optional(list(MaintenanceWindow, 50), []),
  /** On battery with less charge than this, in percent, activation waits; 0: never, 101: whenever on battery. */
  minBatteryPercent: v.optional(v.pipe(v.number(), v.minValue(0), v.maxValue(101)), 30),
  /** What a metered connection makes wait. */
  metered: v.optional(v.picklist(['ignore', 'wait']), 'ignore'),
  /** What a person at the machine makes wait: nothing; a switch that would take the session; any switch that restarts units. */
  session: v.optional(v.picklist(['ignore', 'wait-if-session', 'wait-if-units']), 'wait-if-session'),
  /** A session without input for so long counts as idle. A locked one always does. */
  idleMinutes: v.optional(Minutes, 10),
  /** How often, and for how long at most, the person may say "later" to one system. */
  later: v.optional(
    v.strictObject({
      maxCount: v.optional(v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(100)), 3),
      maxMinutes: v.optional(Minutes, 240),
    }),
    {},
  ),
  /** After waiting for so long it goes ahead whatever the conditions; null: it waits for ever. */
  deadlineHours: v.optional(v.nullable(Hours), 72),
  reboot: v.optional(
    v.strictObject({
      /** `never`: the machine is left for its people to restart, until the deadline. The others restart it by themselves. */
      when: v.optional(v.picklist(['never', 'idle', 'window']), 'never'),
      /** After waiting for so long it restarts whatever the conditions; null: never. */
      deadlineHours: v.optional(v.nullable(Hours), null),
    }),
    {},
  ),
  drift: v.optional(
    v.strictObject({
      /** What is done about a system that somebody switched to by hand. */
      action: v.optional(v.picklist(['observe', 'correct-later', 'correct-now']), 'observe'),
      afterMinutes: v.optional(Minutes, 60),
    }),
    {},
  ),
});
export type AgentPolicy = v.InferOutput<typeof AgentPolicy>;

/** What goes on when a machine's configuration says nothing. */
export const DEFAULT_AGENT_POLICY: AgentPolicy = v.parse(AgentPolicy, {});

/**
 * How much of the machine a switch touches: `none` (files only), `units` (restarts or stops services), `session` (takes
 * people's sessions away: display manager, D-Bus, logind), `reboot` (takes effect only with a restart).
 */
export const IMPACTS = ['none', 'units', 'session', 'reboot'] as const;
export type Impact = (typeof IMPACTS)[number];
