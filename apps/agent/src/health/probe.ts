import type { Exec, ExecResult } from '@floe/runtime';
import type { Machine } from '../machine.ts';
import type { CommandCheck, HealthCheck } from './check-form.ts';
import { probeHttp } from './http-probe.ts';
import { probeTcp } from './tcp-probe.ts';
import { unitProbe } from './unit-probe.ts';

export interface ProbeDeps {
  readonly machine: Pick<Machine, 'place'>;
  readonly exec: Exec;
}

/** One try of a check: null when it passes, else what it expected and what it got. Never throws. */
export type Probe = (signal: AbortSignal) => Promise<string | null>;

/** Runs a program where the system's programs run. */
export type Run = (command: readonly [string, ...string[]], signal: AbortSignal) => Promise<ExecResult>;

/** The tries of one check, in a row. */
export function createProbe(deps: ProbeDeps, check: HealthCheck): Probe {
  const timeoutMs = check.timeoutSeconds * 1000;
  const run: Run = async (command, signal) => {
    const { file, args, env } = deps.machine.place(command);
    return await deps.exec(file, args, { env, signal, timeoutMs, maxStdoutBytes: 4096, maxStderrBytes: 4096 });
  };
  const within = (probe: Probe): Probe => withTimeout(probe, timeoutMs, `did not end within ${check.timeoutSeconds} s`);
  switch (check.kind) {
    case 'command':
      return async (signal) => await probeCommand(check, run, signal);
    case 'http':
      return within(async (signal) => await probeHttp(check, signal));
    case 'tcp':
      return within(async (signal) => await probeTcp(check, signal));
    case 'unit':
      return unitProbe(check, run);
  }
}

async function probeCommand(check: CommandCheck, run: Run, signal: AbortSignal): Promise<string | null> {
  const [program] = check.command;
  let result;
  try {
    result = await run(check.command, signal);
  } catch {
    return `cannot be started: there is no program ${program}`;
  }
  if (result.end === 'exited' && result.exitCode === 0) return null;
  const how =
    result.end === 'timed-out'
      ? `did not end within ${check.timeoutSeconds} s`
      : result.end === 'exited'
        ? `ended with status ${result.exitCode} instead of 0`
        : `was ended by ${result.signal ?? result.end}`;
  const words = (result.stderr.trim() || result.stdout.trim()).slice(-300);
  return `${how}${words === '' ? '' : `: ${words}`}`;
}

function withTimeout(probe: Probe, timeoutMs: number, tooLong: string): Probe {
  return async (signal) => {
    const late = new AbortController();
    const timer = setTimeout(() => late.abort(), timeoutMs);
    try {
      const failure = await probe(AbortSignal.any([signal, late.signal]));
      return failure !== null && late.signal.aborted ? `${tooLong}: ${failure}` : failure;
    } finally {
      clearTimeout(timer);
    }
  };
}
