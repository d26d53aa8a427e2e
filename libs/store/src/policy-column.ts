import {
  APPROVING_ROLES,
  DEFAULT_DOWNLOADS,
  DEFAULT_POLICY,
  DEFAULT_SHRINK,
  HOST_GLOB_FORM,
  HOST_NAME_FORM,
  LABEL_FORM,
  MAX_APPROVALS,
  MAX_BUDGETS,
  MAX_CHECK_CHARACTERS,
  MAX_CHECKS,
  MAX_CRON_CHARACTERS,
  MAX_DURATION_MS,
  MAX_LABELS,
  MAX_POLICY_HOSTS,
  MAX_PROBES,
  MAX_RING_HOSTS,
  MAX_RINGS,
  MAX_STEPPING_STONES,
  MAX_TARGETS,
  MAX_TIME_ZONE_CHARACTERS,
  MAX_WINDOWS,
  NOTIFICATION_KINDS,
  RING_NAME_FORM,
  TARGET_NAME_FORM,
  type HostName,
  type RingPolicy,
  type RolloutPolicy,
} from '@floe/model';
import * as v from 'valibot';
import type { RowReader } from './row-reader.ts';

// Strict, unlike other columns: a gate that this version does not know must not be left out.

const Percent = v.pipe(v.number(), v.minValue(0), v.maxValue(100));
const Count = v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(MAX_POLICY_HOSTS));
const DurationMs = v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(MAX_DURATION_MS));
const Label = v.pipe(v.string(), v.regex(LABEL_FORM));
const Name = v.pipe(
  v.string(),
  v.regex(HOST_NAME_FORM),
  v.transform((text) => text as HostName),
);
const Word = (maxCharacters: number) => v.pipe(v.string(), v.maxLength(maxCharacters), v.regex(/^[\x20-\x7E]+$/));

function list<Item extends v.GenericSchema>(item: Item, maxItems: number) {
  return v.pipe(v.array(item), v.maxLength(maxItems));
}

/** The jsonb column `labels` of a host's evaluation. */
export const LabelsColumn = list(Label, MAX_LABELS);

const Members = v.pipe(
  v.strictObject({
    hosts: list(v.pipe(v.string(), v.regex(HOST_GLOB_FORM)), MAX_RING_HOSTS),
    labels: LabelsColumn,
    share: v.optional(Percent),
  }),
  // JSON leaves out what is undefined.
  v.transform((members) => ({ ...members, share: members.share })),
);

const Window = v.strictObject({
  kind: v.picklist(['allow', 'deny']),
  cron: Word(MAX_CRON_CHARACTERS),
  durationMs: DurationMs,
  timeZone: Word(MAX_TIME_ZONE_CHARACTERS),
});

const Ring = v.pipe(
  v.strictObject({
    name: v.pipe(v.string(), v.regex(RING_NAME_FORM)),
    members: Members,
    successPercent: Percent,
    errors: v.strictObject({ percent: Percent, minStarted: Count }),
    minVerified: Count,
    soakMs: DurationMs,
    deadlineMs: v.optional(DurationMs),
    maxInFlight: v.optional(Count),
    windows: list(Window, MAX_WINDOWS),
    approvals: v.optional(
      v.strictObject({
        count: v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(MAX_APPROVALS)),
        role: v.picklist(APPROVING_ROLES),
        notAuthor: v.boolean(),
      }),
    ),
    // Policies from before there were any.
    probes: v.optional(list(v.strictObject({ name: v.pipe(v.string(), v.regex(TARGET_NAME_FORM)), everyMs: DurationMs }), MAX_PROBES), []),
    pauseAfter: v.boolean(),
  }),
  v.transform((ring): RingPolicy => ({
    ...ring,
    deadlineMs: ring.deadlineMs,
    maxInFlight: ring.maxInFlight,
    approvals: ring.approvals,
  })),
);

/** The jsonb column `policy` of a revision. */
export const PolicyColumn = v.pipe(
  v.strictObject({
    rings: v.pipe(list(Ring, MAX_RINGS), v.minLength(1)),
    labels: v.record(Name, LabelsColumn),
    maxInFlight: v.optional(Count),
    budgets: list(v.strictObject({ label: Label, atMost: Count }), MAX_BUDGETS),
    checks: list(Word(MAX_CHECK_CHARACTERS), MAX_CHECKS),
    steppingStones: v.optional(list(v.pipe(v.string(), v.regex(RING_NAME_FORM)), MAX_STEPPING_STONES), []),
    shrink: v.optional(v.strictObject({ percent: Percent, hosts: Count }), DEFAULT_SHRINK),
    presence: v.strictObject({ staleMs: DurationMs, lostMs: DurationMs }),
    // Policies from before this said nothing of it.
    downloads: v.optional(v.strictObject({ ahead: v.boolean(), spreadMs: DurationMs }), DEFAULT_DOWNLOADS),
    notify: v.optional(v.record(v.picklist(NOTIFICATION_KINDS), list(v.pipe(v.string(), v.regex(TARGET_NAME_FORM)), MAX_TARGETS)), {}),
  }),
  v.transform(({ labels, ...policy }): RolloutPolicy => ({ ...policy, labels: labels as RolloutPolicy['labels'], maxInFlight: policy.maxInFlight })),
);

/** In the place of a policy that cannot be read: no change begins by itself. The default would have no gates. */
export const CLOSED_POLICY: RolloutPolicy = {
  ...DEFAULT_POLICY,
  rings: DEFAULT_POLICY.rings.map((ring) => ({
    ...ring,
    windows: [{ kind: 'deny', cron: '* * * * *', durationMs: 3_600_000, timeZone: 'UTC' }],
  })),
};

/** Read strictly: a policy that cannot be read is not the default, which has no gates. */
export function readPolicy(column: unknown, reader: RowReader): RolloutPolicy {
  return column === null ? DEFAULT_POLICY : (reader.json('policy', column, PolicyColumn) ?? CLOSED_POLICY);
}
