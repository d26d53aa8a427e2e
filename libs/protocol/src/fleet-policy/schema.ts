import {
  HOST_TIME_ZONE,
  APPROVING_ROLES,
  HOST_GLOB_FORM,
  HOST_GLOB_RULE,
  LABEL_FORM,
  LABEL_RULE,
  MAX_APPROVALS,
  MAX_BUDGETS,
  MAX_CHECK_CHARACTERS,
  MAX_CHECKS,
  MAX_CRON_CHARACTERS,
  MAX_LABEL_CHARACTERS,
  MAX_LABELS,
  MAX_POLICY_HOSTS,
  MAX_PROBES,
  MAX_RING_HOSTS,
  MAX_RING_NAME_CHARACTERS,
  MAX_RINGS,
  MAX_STEPPING_STONES,
  MAX_TARGETS,
  MAX_TIME_ZONE_CHARACTERS,
  MAX_WINDOWS,
  NOTIFICATION_KINDS,
  parseDuration,
  RING_NAME_FORM,
  RING_NAME_RULE,
  MAX_TARGET_NAME_CHARACTERS,
  TARGET_NAME_FORM,
  TARGET_NAME_RULE,
  timeLimit,
} from '@floe/model';
import * as v from 'valibot';
import { HostName } from '../ids.ts';
import { CRON_RULE, cronProblem, isWindowZone, TIME_ZONE_PROBLEM } from './cron-form.ts';

// What people write below the flake output `floe`. Each message completes the sentence "PATH: VALUE …": see problems.ts.

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;

function atMost(count: number): string {
  return `has too many entries: ${count} are the most`;
}

/** `example`: an entry, as Nix writes it. */
function listOf<Item extends v.GenericSchema>(item: Item, maxItems: number, what: string, example: string) {
  return v.pipe(v.array(item, `is not a list of ${what}: write [ ${example} ]`), v.maxLength(maxItems, atMost(maxItems)));
}

function wholeNumber(min: number, max: number) {
  const rule = `is not a whole number from ${min} to ${max}`;
  return v.pipe(v.number(rule), v.integer(rule), v.minValue(min, rule), v.maxValue(max, rule));
}

/** As {@link parseDuration} takes it. */
function durationText(minMs: number, maxMs: number) {
  const rule = 'is not a duration such as 30m, 2h, 7d or 1h30m';
  const range = `is out of range: it can be ${minMs === 0 ? '0s' : timeLimit(minMs)} to ${timeLimit(maxMs)}`;
  return v.pipe(
    v.string(rule),
    v.maxLength(24, rule),
    v.regex(/^(?:\d{1,5}[smhd]){1,4}$/, rule),
    v.check((text) => {
      const ms = parseDuration(text);
      return ms === undefined || (ms >= minMs && ms <= maxMs);
    }, range),
  );
}

const PERCENT_RULE = 'is not a percentage from 0 to 100: write 80 or "80%"';
const Percent = v.union(
  [
    v.pipe(
      v.number(PERCENT_RULE),
      v.minValue(0, PERCENT_RULE),
      v.maxValue(100, PERCENT_RULE),
      // 0.8 may mean 80 % or 0.8 %.
      v.check((number) => number <= 0 || number >= 1, 'is less than one percent: write 80 for 80 %, or a text such as "0.5%"'),
    ),
    v.pipe(v.string(PERCENT_RULE), v.maxLength(8, PERCENT_RULE), v.regex(/^(?:100(?:\.0{1,2})?|[0-9]{1,2}(?:\.[0-9]{1,2})?) ?%$/, PERCENT_RULE)),
  ],
  PERCENT_RULE,
);
export type Percent = v.InferOutput<typeof Percent>;

const RingName = v.pipe(
  v.string(`is not a name: ${RING_NAME_RULE}`),
  v.maxLength(MAX_RING_NAME_CHARACTERS, `is not possible: ${RING_NAME_RULE}`),
  v.regex(RING_NAME_FORM, `is not possible: ${RING_NAME_RULE}`),
);
const Label = v.pipe(
  v.string(`is not a label: ${LABEL_RULE}`),
  v.maxLength(MAX_LABEL_CHARACTERS, `is not possible: ${LABEL_RULE}`),
  v.regex(LABEL_FORM, `is not possible: ${LABEL_RULE}`),
);
const HostGlob = v.pipe(
  v.string(`is not a name: ${HOST_GLOB_RULE}`),
  v.maxLength(253, `is not possible: ${HOST_GLOB_RULE}`),
  v.regex(HOST_GLOB_FORM, `is not possible: ${HOST_GLOB_RULE}`),
);

const CRONS = ['0 22 * * mon-fri', '*/5 * * * *', '0 0 1-7 jan,jul 7', '30 2 29 feb *', '59 23 31 12 0'];
const Cron = v.pipe(
  v.string(CRON_RULE),
  v.maxLength(MAX_CRON_CHARACTERS, CRON_RULE),
  v.rawCheck(({ dataset, addIssue }) => {
    const message = dataset.typed ? cronProblem(dataset.value) : undefined;
    if (message !== undefined) addIssue({ message });
  }),
  v.examples(CRONS),
);
const ZONES = [HOST_TIME_ZONE, 'UTC', 'Europe/Berlin', 'America/St_Johns', 'Pacific/Chatham'];
/** {@link schemaProblems} says which one is meant. */
const TimeZone = v.pipe(
  v.string(TIME_ZONE_PROBLEM),
  v.maxLength(MAX_TIME_ZONE_CHARACTERS, TIME_ZONE_PROBLEM),
  v.check(isWindowZone, TIME_ZONE_PROBLEM),
  v.examples(ZONES),
);

/** One of `allow` and `deny`. */
const Window = v.strictObject({
  allow: v.optional(Cron),
  deny: v.optional(Cron),
  duration: durationText(MINUTE_MS, 7 * DAY_MS),
  timeZone: TimeZone,
});
export type Window = v.InferOutput<typeof Window>;

const ROLE_RULE = `is not a role that can approve: these are ${APPROVING_ROLES.join(' and ')}`;
const Approvals = v.strictObject({
  count: v.optional(wholeNumber(1, MAX_APPROVALS)),
  role: v.optional(v.picklist(APPROVING_ROLES, ROLE_RULE)),
  /** Not yet: a rule that nobody can satisfy would hold every commit forever. */
  notAuthor: v.optional(v.boolean('is neither true nor false')),
});

const Errors = v.union(
  [Percent, v.strictObject({ percent: Percent, minStarted: v.optional(wholeNumber(1, MAX_POLICY_HOSTS)) })],
  'is not a percentage such as "10%", nor { percent = 10; minStarted = 3; }',
);

const ProbeName = v.pipe(
  v.string(`is not a name: ${TARGET_NAME_RULE}`),
  v.maxLength(MAX_TARGET_NAME_CHARACTERS, `is not possible as the name of a probe: ${TARGET_NAME_RULE}`),
  v.regex(TARGET_NAME_FORM, `is not possible as the name of a probe: ${TARGET_NAME_RULE}`),
);
/** What it asks, where, and which answer is good: the server's settings. A commit must not make the server ask any address. */
const Probe = v.strictObject({ name: ProbeName, every: v.optional(durationText(10_000, DAY_MS)) });

const Ring = v.strictObject({
  name: RingName,
  hosts: v.optional(listOf(HostGlob, MAX_RING_HOSTS, 'host names', '"web1" "dns*"')),
  labels: v.optional(listOf(Label, MAX_LABELS, 'labels', '"laptop"')),
  share: v.optional(v.nullable(Percent)),
  success: v.optional(Percent),
  errors: v.optional(Errors),
  minVerified: v.optional(wholeNumber(1, MAX_POLICY_HOSTS)),
  soak: v.optional(durationText(0, 30 * DAY_MS)),
  /** Null: none. */
  deadline: v.optional(v.nullable(durationText(MINUTE_MS, 365 * DAY_MS))),
  maxInFlight: v.optional(v.nullable(wholeNumber(1, MAX_POLICY_HOSTS))),
  windows: v.optional(listOf(Window, MAX_WINDOWS, 'windows', '{ allow = "0 22 * * *"; duration = "6h"; timeZone = "Europe/Berlin"; }')),
  approvals: v.optional(v.nullable(Approvals)),
  probes: v.optional(listOf(Probe, MAX_PROBES, 'probes', '{ name = "errors"; }')),
  pauseAfter: v.optional(v.boolean('is neither true nor false')),
});
export type Ring = v.InferOutput<typeof Ring>;

const TargetName = v.pipe(
  v.string(`is not a name: ${TARGET_NAME_RULE}`),
  v.maxLength(MAX_TARGET_NAME_CHARACTERS, `is not possible as the name of a notification target: ${TARGET_NAME_RULE}`),
  v.regex(TARGET_NAME_FORM, `is not possible as the name of a notification target: ${TARGET_NAME_RULE}`),
);

const STONE_RULE = 'is not the name of a stepping stone: 1 to 40 letters, digits, dots, - or _';
const CHECK_RULE = 'is not the name of a flake check: write "unit" for checks.<system>.unit';
const Checks = listOf(
  v.pipe(
    v.string(CHECK_RULE),
    v.minLength(1, CHECK_RULE),
    v.maxLength(MAX_CHECK_CHARACTERS, CHECK_RULE),
    v.regex(/^[\x21-\x7E](?:[\x20-\x7E]*[\x21-\x7E])?$/, CHECK_RULE),
  ),
  MAX_CHECKS,
  'names of flake checks',
  '"unit"',
);

/** What the flake output `floe` may say. Plain data; every attribute has a default. */
export const FleetPolicy = v.strictObject({
  rings: v.optional(
    v.pipe(
      listOf(Ring, MAX_RINGS, 'rings', '{ name = "canary"; } { name = "all"; }'),
      v.minLength(1, 'names no ring: add one, or leave "rings" out for a single ring with all hosts'),
    ),
  ),
  labels: v.optional(
    v.pipe(
      v.record(HostName, listOf(Label, MAX_LABELS, 'labels', '"laptop"'), 'is not a set of lists: write { ada = [ "laptop" ]; }'),
      v.maxEntries(MAX_POLICY_HOSTS, atMost(MAX_POLICY_HOSTS)),
    ),
  ),
  /** Null: no limit. */
  maxInFlight: v.optional(v.nullable(wholeNumber(1, MAX_POLICY_HOSTS))),
  budgets: v.optional(
    v.pipe(
      v.record(Label, wholeNumber(1, MAX_POLICY_HOSTS), 'is not a set of numbers: write { "role=dns" = 1; }'),
      v.maxEntries(MAX_BUDGETS, atMost(MAX_BUDGETS)),
    ),
  ),
  checks: v.optional(Checks),
  steppingStones: v.optional(
    listOf(
      v.pipe(v.string(STONE_RULE), v.maxLength(MAX_RING_NAME_CHARACTERS, STONE_RULE), v.regex(RING_NAME_FORM, STONE_RULE)),
      MAX_STEPPING_STONES,
      'names of stepping stones',
      '"agent-2"',
    ),
  ),
  shrink: v.optional(v.strictObject({ percent: v.optional(Percent), hosts: v.optional(wholeNumber(1, MAX_POLICY_HOSTS)) })),
  presence: v.optional(
    v.strictObject({
      stale: v.optional(durationText(MINUTE_MS, 365 * DAY_MS)),
      lost: v.optional(durationText(MINUTE_MS, 3_650 * DAY_MS)),
    }),
  ),
  downloads: v.optional(
    v.strictObject({
      ahead: v.optional(v.boolean('is neither true nor false')),
      spread: v.optional(durationText(0, DAY_MS)),
    }),
  ),
  /** Secrets and addresses of the targets are the server's settings. */
  notify: v.optional(
    v.strictObject(v.entriesFromList(NOTIFICATION_KINDS, v.optional(listOf(TargetName, MAX_TARGETS, 'names of notification targets', '"chat"')))),
  ),
});
export type FleetPolicy = v.InferOutput<typeof FleetPolicy>;

/** What the server's settings ask of every policy, with the names and values that a policy has. */
export const Floor = v.strictObject({
  rings: v.optional(wholeNumber(1, MAX_RINGS)),
  firstRing: v.optional(v.omit(Ring, ['name', 'hosts', 'labels', 'share', 'deadline', 'windows'])),
  maxInFlight: v.optional(wholeNumber(1, MAX_POLICY_HOSTS)),
  checks: v.optional(Checks),
});
export type Floor = v.InferOutput<typeof Floor>;
