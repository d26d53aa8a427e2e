import { setTimeout as delay } from 'node:timers/promises';
import type { Exec } from '@floe/runtime';
import * as v from 'valibot';

export interface UnitsDeps {
  readonly exec: Exec;
  readonly env: NodeJS.ProcessEnv;
}

const FailedUnits = v.pipe(v.string(), v.parseJson(), v.array(v.object({ unit: v.string() })));
/** What D-Bus's `ListJobs` answers: id, unit, type, state, and two object paths. */
const Jobs = v.pipe(
  v.string(),
  v.parseJson(),
  v.object({ data: v.tuple([v.array(v.tupleWithRest([v.number(), v.string(), v.string(), v.string()], v.unknown()))]) }),
);

/** Tries and pause for a busy systemd, which reloads its units after a switch: 21 s at most. */
const SUPERSESSION_LIMIT = { tries: 2, pauseMs: 1_000 } as const;
const ANSWER_MS = 10_000;

/** Names of the failed units; null when systemd does not answer any of the tries. */
export async function failedUnits(
  { exec, env }: UnitsDeps,
  { tries, pauseMs }: { readonly tries: number; readonly pauseMs: number } = SUPERSESSION_LIMIT,
): Promise<readonly string[] | null> {
  const args = ['list-units', '--state=failed', '--output=json', '--no-pager', '--full'];
  for (let attempt = 1; ; attempt += 1) {
    const shown = await exec('systemctl', args, { env, timeoutMs: ANSWER_MS }).catch(() => undefined);
    const parsed = v.safeParse(FailedUnits, shown?.stdout);
    if (shown?.exitCode === 0 && parsed.success) return parsed.output.map(({ unit }) => unit);
    if (attempt >= tries) return null;
    await delay(pauseMs);
  }
}

export interface RunningJob {
  readonly unit: string;
  /** `stop`, `start`, `restart`, … */
  readonly kind: string;
}

/** The jobs that systemd runs: where a stuck switch hangs. */
export async function runningJobs({ exec, env }: UnitsDeps): Promise<readonly RunningJob[]> {
  const systemd = 'org.freedesktop.systemd1';
  const shown = await exec('busctl', ['--json=short', 'call', systemd, '/org/freedesktop/systemd1', `${systemd}.Manager`, 'ListJobs'], {
    env,
    timeoutMs: 30_000,
  });
  const parsed = v.safeParse(Jobs, shown.stdout);
  if (!parsed.success) return [];
  return parsed.output.data[0].filter(([, , , state]) => state === 'running').map(([, unit, kind]) => ({ unit, kind }));
}

/** Kills the units on which a switch hangs because they do not stop. */
export async function killStuckUnits(deps: UnitsDeps, jobs: readonly RunningJob[]): Promise<void> {
  for (const { unit, kind } of jobs) {
    if (kind === 'start' || unit.startsWith('floe-')) continue;
    await deps.exec('systemctl', ['kill', '--signal=SIGKILL', unit], { env: deps.env, timeoutMs: 30_000 });
  }
}
