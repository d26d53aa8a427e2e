import * as v from 'valibot';

/** The file of a system's health checks, below its toplevel. */
export const HEALTH_CHECKS_FILE = 'etc/floe/health-checks.json';

/** As systemd writes them. A name must not begin with a dash, as it would be an option. */
const UnitName = v.pipe(v.string(), v.regex(/^(?!-)[A-Za-z0-9:_.\\@-]{1,255}$/, 'a unit is named as systemd names it'));
const Port = v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(65_535));
const StatusCode = v.pipe(v.number(), v.integer(), v.minValue(100), v.maxValue(599));

// Defaults that are not here are the agent's settings.
const common = {
  name: v.pipe(v.string(), v.minLength(1), v.maxLength(200)),
  /** Limit of one try. */
  timeoutSeconds: v.optional(v.pipe(v.number(), v.minValue(0.1), v.maxValue(600)), 10),
  /** Pause between two tries. */
  intervalSeconds: v.optional(v.pipe(v.number(), v.minValue(0), v.maxValue(600))),
  /** How many tries in a row must pass. */
  passes: v.optional(v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(100))),
  /** How long the check may fail after the switch before that counts. */
  graceSeconds: v.optional(v.pipe(v.number(), v.minValue(0), v.maxValue(3600))),
};

const CommandCheck = v.object({
  ...common,
  // The first version of this file had no `kind`, and agents still roll back to systems with it.
  kind: v.optional(v.literal('command'), 'command'),
  command: v.pipe(
    v.tupleWithRest([v.string()], v.string()),
    v.check(([file]) => file !== '', 'a command has a program'),
  ),
});
export type CommandCheck = v.InferOutput<typeof CommandCheck>;

const HttpCheck = v.object({
  ...common,
  kind: v.literal('http'),
  url: v.pipe(v.string(), v.url(), v.regex(/^https?:\/\//, 'an http:// or https:// URL')),
  /** Accepted status codes; empty: 200 to 399. */
  statuses: v.optional(v.array(StatusCode), []),
  /** Text that the answer must contain. */
  body: v.optional(v.pipe(v.string(), v.minLength(1))),
});
export type HttpCheck = v.InferOutput<typeof HttpCheck>;

const TcpCheck = v.object({
  ...common,
  kind: v.literal('tcp'),
  host: v.optional(v.pipe(v.string(), v.minLength(1), v.maxLength(253)), 'localhost'),
  port: Port,
});
export type TcpCheck = v.InferOutput<typeof TcpCheck>;

const UnitCheck = v.object({ ...common, kind: v.literal('unit'), unit: UnitName });
export type UnitCheck = v.InferOutput<typeof UnitCheck>;

/** Unknown keys are ignored: a newer module's file may be read by an older agent. A kind that is unknown is refused. */
const HealthCheck = v.variant('kind', [CommandCheck, HttpCheck, TcpCheck, UnitCheck]);
export type HealthCheck = v.InferOutput<typeof HealthCheck>;

/** The text of `HEALTH_CHECKS_FILE`. */
export const HealthChecks = v.pipe(v.string(), v.parseJson(), v.array(HealthCheck));
