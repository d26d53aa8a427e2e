import type { AgentDetail, StorePath } from '@floe/model';
import type { Clock } from '@floe/runtime';
import * as v from 'valibot';
import { HEALTH_CHECKS_FILE, HealthChecks, type HealthCheck } from './check-form.ts';
import { createProbe, type ProbeDeps } from './probe.ts';
import type { Machine } from '../machines/machine.ts';

/** How soon a check that fails is tried again at the earliest, in ms. */
const SHORTEST_RETRY_MS = 200;

/** For checks that do not say themselves. */
export interface HealthCheckOptions {
  /** Each check must pass this often in a row: one lucky answer of a service that keeps crashing proves nothing. */
  readonly passes: number;
  readonly pauseMs: number;
  /** How long checks may fail before it counts: services take time to start. */
  readonly graceMs: number;
  readonly signal: AbortSignal;
}

export interface HealthCheckDeps extends ProbeDeps {
  readonly machine: Machine;
  readonly clock: Clock;
}

/** Runs the checks that the system itself names, all at the same time. Null when all pass, or there are none. */
export async function checkHealth(deps: HealthCheckDeps, toplevel: StorePath, options: HealthCheckOptions): Promise<AgentDetail | null> {
  const read = await readChecks(deps.machine, toplevel);
  if (read.kind === 'invalid') return read.detail;
  // Once one has failed for good the others' time is up: the verdict stands, and the machine waits to be put back.
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

/** How long `checkHealth` can take at most, in ms: a watchdog must not end it earlier. */
export async function longestHealthCheckMs(machine: Machine, toplevel: StorePath, options: Omit<HealthCheckOptions, 'signal'>): Promise<number> {
  const read = await readChecks(machine, toplevel);
  if (read.kind === 'invalid') return 0;
  return Math.max(
    0,
    ...read.checks.map((check) => {
      const { passes, intervalMs, graceMs } = timing(check, options);
      // A program that does not end when it is asked to is killed later; a unit takes time of its own to start and stop.
      const tryMs = check.timeoutSeconds * 1000 + 25_000;
      // The last try within the grace fails at its very end; all that follow pass, as slowly as they may.
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
  /** It failed after its grace. */
  readonly isFinal: boolean;
  /** What was wrong at last; null when it passed, or was passing when the signal came. */
  readonly failure: string | null;
}

/** Tries a check until it passes often enough in a row, fails after its grace, or the signal ends it. */
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
    // Cut off: it says nothing.
    if (signal.aborted) break;
    failure = found;
    if (failure === null) {
      passed += 1;
      if (passed < passes) await clock.sleep(intervalMs, signal);
      continue;
    }
    const leftMs = deadline - clock.monotonic();
    if (leftMs <= 0) return { isFinal: true, failure };
    // From the start: "twice, then not" is a service that does not stay up.
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
