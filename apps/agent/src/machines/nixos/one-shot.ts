import type { StorePath } from '@floe/model';
import type { Exec } from '@floe/runtime';
import * as v from 'valibot';

export interface OneShotDeps {
  readonly exec: Exec;
  readonly env: NodeJS.ProcessEnv;
}

const Entries = v.pipe(v.string(), v.parseJson(), v.array(v.object({ id: v.string(), options: v.optional(v.nullable(v.string())) })));

/**
 * The boot loader's entry that starts `toplevel`: found by what it starts (`init=` in its options), never by its name.
 * Undefined where there is no systemd-boot, or no such entry.
 */
export async function bootEntryOf({ exec, env }: OneShotDeps, toplevel: StorePath): Promise<string | undefined> {
  const listed = await exec('bootctl', ['list', '--json=short'], { env, timeoutMs: 30_000 }).catch(() => undefined);
  if (listed === undefined || listed.exitCode !== 0) return undefined;
  const parsed = v.safeParse(Entries, listed.stdout);
  if (!parsed.success) return undefined;
  return parsed.output.find(({ options }) => options?.split(/\s+/).includes(`init=${toplevel}/init`) === true)?.id;
}

/** Makes an entry the one of the next start only; '' takes that back. False when the boot loader cannot. */
export async function setOneShot({ exec, env }: OneShotDeps, entry: string): Promise<boolean> {
  const set = await exec('bootctl', ['set-oneshot', entry], { env, timeoutMs: 30_000 }).catch(() => undefined);
  return set?.exitCode === 0;
}
