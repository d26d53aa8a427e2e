import * as v from 'valibot';

/** Where a system keeps its health checks, below its toplevel: each generation brings its own. */
export const HEALTH_CHECKS_FILE = 'etc/floe/health-checks.json';

/** As systemd writes them; a name that begins with a dash would be an option. */
const UnitName = v.pipe(v.string(), v.regex(/^(?!-)[A-Za-z0-9:_.\\@-]{1,255}$/, 'a unit is named as systemd names it'));
const Port = v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(65_535));
const StatusCode = v.pipe(v.number(), v.integer(), v.minValue(100), v.maxValue(599));

// What is left out follows the agent's settings.
const common = {
  name: v.pipe(v.string(), v.minLength(1), v.maxLength(200)),
  /** One try that takes longer has failed. */
  timeoutSeconds: v.optional(v.pipe(v.number(), v.minValue(0.1), v.maxValue(600)), 10),
  /** Between two tries. */
  intervalSeconds: v.optional(v.pipe(v.number(), v.minValue(0), v.maxValue(600))),
  /** So many in a row. */
  passes: v.optional(v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(100))),
  /** How long it may fail after the switch before that counts. */
  graceSeconds: v.optional(v.pipe(v.number(), v.minValue(0), v.maxValue(3600))),
};

const CommandCheck = v.object({
  ...common,
  // The first form of the file knew nothing else, and systems of that time are still rolled back to.
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
  /** Which status codes are good; none: 200 to 399. */
  statuses: v.optional(v.array(StatusCode), []),
  /** Text that the answer must have. */
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
