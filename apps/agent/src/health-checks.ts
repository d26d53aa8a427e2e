import type { AgentDetail, StorePath } from '@floe/model';
import type { Clock, Exec } from '@floe/runtime';
import * as v from 'valibot';
import type { Machine } from './machine.ts';

/** Where a system says how to find out whether it works. */
const HEALTH_CHECKS_FILE = 'etc/floe/health-checks.json';

const HealthCheck = v.object({
  name: v.pipe(v.string(), v.minLength(1), v.maxLength(200)),
  command: v.pipe(
    v.tupleWithRest([v.string()], v.string()),
    v.check(([file]) => file !== '', 'a command has a program'),
  ),
  timeoutSeconds: v.optional(v.pipe(v.number(), v.minValue(0.1), v.maxValue(600)), 10),
});
type HealthCheck = v.InferOutput<typeof HealthCheck>;
const HealthChecks = v.pipe(v.string(), v.parseJson(), v.array(HealthCheck));

export interface HealthCheckOptions {
  /** Each check must pass this often in a row: one lucky answer of a service that keeps crashing proves nothing. */
  readonly passes: number;
  readonly pauseMs: number;
  /** How long checks may fail before it counts: services take time to start. */
  readonly graceMs: number;
  readonly signal: AbortSignal;
}

export interface HealthCheckDeps {
  readonly machine: Machine;
  readonly exec: Exec;
  readonly clock: Clock;
}

/** Runs the checks that the system itself names. Null when all pass, or there are none. */
export async function checkHealth(deps: HealthCheckDeps, toplevel: StorePath, options: HealthCheckOptions): Promise<AgentDetail | null> {
  const { machine, clock } = deps;
  const text = await machine.readSystemFile(toplevel, HEALTH_CHECKS_FILE);
  if (text === undefined) return null;
  const parsed = v.safeParse(HealthChecks, text);
  if (!parsed.success) {
    return {
      code: 'HEALTH_CHECKS_INVALID',
      message: `${HEALTH_CHECKS_FILE} of the new system cannot be read: ${v.summarize(parsed.issues).slice(0, 500)}`,
    };
  }
  const deadline = clock.monotonic() + options.graceMs;
  const failures = await Promise.all(parsed.output.map(async (check) => await passes(deps, check, options, deadline)));
  const found = failures.filter((failure) => failure !== null);
  return found.length === 0 ? null : { code: 'HEALTH_CHECK_FAILED', message: found.join('; ') };
}

/** Null when the check passes often enough in a row; else what was wrong at last. */
async function passes(deps: HealthCheckDeps, check: HealthCheck, options: HealthCheckOptions, deadline: number): Promise<string | null> {
  const { clock } = deps;
  let passed = 0;
  while (passed < options.passes && !options.signal.aborted) {
    if (passed > 0) await clock.sleep(options.pauseMs, options.signal);
    const failure = await runOnce(deps, check, options.signal);
    if (failure === null) {
      passed += 1;
      continue;
    }
    if (clock.monotonic() >= deadline) return failure;
    passed = 0;
    await clock.sleep(Math.max(options.pauseMs, 200), options.signal);
  }
  return null;
}

async function runOnce(deps: HealthCheckDeps, check: HealthCheck, signal: AbortSignal): Promise<string | null> {
  const { file, args, env } = deps.machine.place(check.command);
  let result;
  try {
    result = await deps.exec(file, args, { env, signal, timeoutMs: check.timeoutSeconds * 1000, maxStdoutBytes: 4096, maxStderrBytes: 4096 });
  } catch {
    return `the check "${check.name}" cannot be started: there is no program ${file}`;
  }
  if (result.end === 'exited' && result.exitCode === 0) return null;
  const how =
    result.end === 'timed-out'
      ? `did not end within ${check.timeoutSeconds} s`
      : result.end === 'exited'
        ? `ended with status ${result.exitCode}`
        : `was ended by ${result.signal ?? result.end}`;
  const words = (result.stderr.trim() || result.stdout.trim()).slice(-300);
  return `the check "${check.name}" ${how}${words === '' ? '' : `: ${words}`}`;
}
