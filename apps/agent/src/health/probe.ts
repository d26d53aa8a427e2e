import { timeLimit } from '@floe/model';
import type { Exec } from '@floe/runtime';
import type { Machine } from '../machines/machine.ts';
import { lastWords } from '../text/redact.ts';
import type { CommandCheck, HealthCheck } from './check-form.ts';
import { probeHttp } from './http-probe.ts';
import { inOwnUnit } from '../machines/own-unit.ts';
import { probeTcp } from './tcp-probe.ts';
import { unitProbe, type Run } from './unit-probe.ts';

export interface ProbeDeps {
  readonly machine: Pick<Machine, 'place' | 'switchesOutliveAgent'>;
  readonly exec: Exec;
}

const OUTPUT = { maxStdoutBytes: 4096, maxStderrBytes: 4096, beyondStdout: 'cut' } as const;
/** Added for systemd to start the unit and to end its processes, in s. */
const UNIT_SECONDS = 20;

/** One try of a check: null when it passes, else what was expected and what came. Never throws. */
export type Probe = (signal: AbortSignal) => Promise<string | null>;

/** The probe of one check; call it once per try. */
export function createProbe(deps: ProbeDeps, check: HealthCheck): Probe {
  const timeoutMs = check.timeoutSeconds * 1000;
  const run: Run = async (command, signal) => {
    const { file, args, env } = deps.machine.place(command);
    return await deps.exec(file, args, { env, signal, timeoutMs, ...OUTPUT });
  };
  const within = (probe: Probe): Probe => withTimeout(probe, timeoutMs, `did not end within ${timeLimit(timeoutMs)}`);
  switch (check.kind) {
    case 'command':
      return async (signal) => await probeCommand(check, deps, signal);
    case 'http':
      return within(async (signal) => await probeHttp(check, signal));
    case 'tcp':
      return within(async (signal) => await probeTcp(check, signal));
    case 'unit':
      return unitProbe(check, run);
  }
}

async function probeCommand(check: CommandCheck, { machine, exec }: ProbeDeps, signal: AbortSignal): Promise<string | null> {
  const { timeoutSeconds } = check;
  const place = machine.place(check.command);
  // Where switches run in systemd units, checks can, too.
  const isUnit = machine.switchesOutliveAgent;
  const { file, args, env } = isUnit ? inOwnUnit(place, { description: `Floe: health check ${check.name}`, timeoutSeconds }) : place;
  let result;
  try {
    result = await exec(file, args, { env, signal, timeoutMs: 1000 * (isUnit ? timeoutSeconds + UNIT_SECONDS : timeoutSeconds), ...OUTPUT });
  } catch {
    return `cannot be started: there is no program ${file}`;
  }
  if (result.end === 'exited' && result.exitCode === 0) return null;
  // systemd-run does not distinguish a unit that reached its limit from one that failed.
  const isLate = result.end === 'timed-out' || (isUnit && result.durationMs >= timeoutSeconds * 1000);
  const how = isLate
    ? `did not end within ${timeLimit(1000 * timeoutSeconds)}`
    : result.end === 'exited'
      ? `ended with status ${result.exitCode} instead of 0`
      : `was ended by ${result.signal ?? result.end}`;
  const words = lastWords(result.stderr.trim() || result.stdout, 300);
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
