import type { AgentDetail, StorePath } from '@floe/model';
import type { Clock } from '@floe/runtime';
import * as v from 'valibot';
import { HEALTH_CHECKS_FILE, HealthChecks, type HealthCheck } from './check-form.ts';
import { createProbe, type ProbeDeps } from './probe.ts';
import type { Machine } from '../machines/machine.ts';

/** Shortest pause before a failed check is tried again, in ms. */
const SHORTEST_RETRY_MS = 200;

/** Defaults for checks without values of their own. */
export interface HealthCheckOptions {
  /** How often each check must pass in a row: a service that keeps crashing may answer once. */
  readonly passes: number;
  readonly pauseMs: number;
  /** How long checks may fail before that counts: services need time to start. */
  readonly graceMs: number;
  readonly signal: AbortSignal;
}

export interface HealthCheckDeps extends ProbeDeps {
  readonly machine: Machine;
  readonly clock: Clock;
}

/** Runs all health checks of the system at the same time. Null when all pass, or there are none. */
export async function checkHealth(deps: HealthCheckDeps, toplevel: StorePath, options: HealthCheckOptions): Promise<AgentDetail | null> {
  const read = await readChecks(deps.machine, toplevel);
  if (read.kind === 'invalid') return read.detail;
  // One check that failed permanently decides: stop the others, so that the rollback can begin.
  const decided = new AbortController();
  const signal = AbortSignal.any([options.signal, decided.signal]);
  const failures = await Promise.all(
    read.checks.map(async (check) => {
      const { isFinal, failure } = await watch(deps, check, { ...options, signal });
      if (isFinal) decided.abort();
      return failure === null ? [] : [`the check "${check.name}" ${failure}`];
    }),
  );
  const found = failures.flat();
  return found.length === 0 ? null : { code: 'HEALTH_CHECK_FAILED', message: found.join('; ') };
}

/** How long `checkHealth` takes at most, in ms: the watchdog must not act earlier. */
export async function longestHealthCheckMs(machine: Machine, toplevel: StorePath, options: Omit<HealthCheckOptions, 'signal'>): Promise<number> {
  const read = await readChecks(machine, toplevel);
  if (read.kind === 'invalid') return 0;
  return Math.max(
    0,
    ...read.checks.map((check) => {
      const { passes, intervalMs, graceMs } = timing(check, options);
      // Added for killing a program that does not end, and for starting and stopping its unit.
      const tryMs = check.timeoutSeconds * 1000 + 25_000;
      // Worst case: the last try within the grace fails at its end, and all that follow pass as slowly as allowed.
      return graceMs + tryMs + passes * (Math.max(intervalMs, SHORTEST_RETRY_MS) + tryMs);
    }),
  );
}

type ReadChecks = { readonly kind: 'checks'; readonly checks: readonly HealthCheck[] } | { readonly kind: 'invalid'; readonly detail: AgentDetail };

async function readChecks(machine: Machine, toplevel: StorePath): Promise<ReadChecks> {
  const text = await machine.readSystemFile(toplevel, HEALTH_CHECKS_FILE);
  if (text === undefined) return { kind: 'checks', checks: [] };
  const parsed = v.safeParse(HealthChecks, text);
  if (parsed.success) return { kind: 'checks', checks: parsed.output };
  const message = `${HEALTH_CHECKS_FILE} of the new system cannot be read: ${v.summarize(parsed.issues).slice(0, 500)}`;
  return { kind: 'invalid', detail: { code: 'HEALTH_CHECKS_INVALID', message } };
}

interface Watched {
  /** The check failed after its grace time. */
  readonly isFinal: boolean;
  /** The last failure; null when the check passed, or the signal came while it passed. */
  readonly failure: string | null;
}

/** Tries a check until it passes often enough in a row, fails after its grace time, or `signal` aborts. */
async function watch(deps: HealthCheckDeps, check: HealthCheck, options: HealthCheckOptions): Promise<Watched> {
  const { clock } = deps;
  const { signal } = options;
  const { passes, intervalMs, graceMs } = timing(check, options);
  const probe = createProbe(deps, check);
  const deadline = clock.monotonic() + graceMs;
  let passed = 0;
  let failure: string | null = null;
  while (passed < passes && !signal.aborted) {
    const found = await probe(signal);
    // An aborted try says nothing.
    if (signal.aborted) break;
    failure = found;
    if (failure === null) {
      passed += 1;
      if (passed < passes) await clock.sleep(intervalMs, signal);
      continue;
    }
    const leftMs = deadline - clock.monotonic();
    if (leftMs <= 0) return { isFinal: true, failure };
    // Count from the start: a service that passes twice and then fails does not stay up.
    passed = 0;
    await clock.sleep(Math.min(Math.max(intervalMs, SHORTEST_RETRY_MS), leftMs), signal);
  }
  return { isFinal: false, failure };
}

function timing(check: HealthCheck, options: Omit<HealthCheckOptions, 'signal'>) {
  return {
    passes: check.passes ?? options.passes,
    intervalMs: check.intervalSeconds === undefined ? options.pauseMs : check.intervalSeconds * 1000,
    graceMs: check.graceSeconds === undefined ? options.graceMs : check.graceSeconds * 1000,
  };
}
