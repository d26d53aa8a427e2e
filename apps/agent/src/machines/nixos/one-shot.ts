import type { StorePath } from '@floe/model';
import { FloeError, type Exec, type ExecResult, type Logger } from '@floe/runtime';
import * as v from 'valibot';
import { inOwnUnit } from '../own-unit.ts';

export interface OneShotDeps {
  readonly exec: Exec;
  readonly env: NodeJS.ProcessEnv;
  readonly logger: Logger;
}

const Entries = v.pipe(v.string(), v.parseJson(), v.array(v.object({ id: v.string(), options: v.optional(v.nullable(v.string())) })));

/**
 * The boot entry of `toplevel`, found by `init=` in its options, never by its name. Undefined without systemd-boot, or without
 * such an entry.
 */
export async function bootEntryOf(deps: OneShotDeps, toplevel: StorePath): Promise<string | undefined> {
  const entries = await listEntries(deps);
  return entries?.find(({ options }) => options?.split(/\s+/).includes(`init=${toplevel}/init`) === true)?.id;
}

/** Makes an entry the one for the next start only. False when the boot loader does not support that. */
export async function setOneShot(deps: OneShotDeps, entry: string): Promise<boolean> {
  return (await bootctl(deps, ['set-oneshot', entry]))?.exitCode === 0;
}

/**
 * Reverts {@link setOneShot}. Throws `BOOT_NOT_SET` when that fails and an entry may be set (`mayBeSet`). `mayBeSet` is needed, as
 * `bootctl` lists entries under other boot loaders, too.
 */
export async function clearOneShot(deps: OneShotDeps, mayBeSet: boolean): Promise<void> {
  if ((await setOneShot(deps, '')) || !mayBeSet || (await listEntries(deps)) === undefined) return;
  throw new FloeError('BOOT_NOT_SET', 'the one-time boot entry of the new system could not be removed', { retryable: true });
}

async function listEntries(deps: OneShotDeps): Promise<v.InferOutput<typeof Entries> | undefined> {
  const listed = await bootctl(deps, ['list', '--json=short']);
  const parsed = v.safeParse(Entries, listed?.exitCode === 0 ? listed.stdout : '');
  if (parsed.success) return parsed.output;
  deps.logger.info('the boot loader has no one-time entries', { why: listed?.stderr.trim().slice(-300) ?? 'there is no bootctl' });
  return undefined;
}

/** In a unit of its own: the agent's unit cannot open the boot partition. */
async function bootctl({ exec, env }: OneShotDeps, args: readonly string[]): Promise<ExecResult | undefined> {
  const options = { description: "Floe: the boot loader's entries", timeoutSeconds: 30 };
  const place = inOwnUnit({ file: 'bootctl', args, env }, options);
  return await exec(place.file, place.args, { env: place.env, timeoutMs: 60_000 }).catch(() => undefined);
}
