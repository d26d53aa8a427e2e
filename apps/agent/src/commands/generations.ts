import { readlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { StorePath } from '@floe/protocol';
import { exec, FloeError, silentLogger } from '@floe/runtime';
import * as v from 'valibot';
import type { Changes } from '../local/protocol.ts';

/** Which generations to compare, on which machine. */
export interface GenerationsOptions {
  /** The folder that plays the machine; undefined: the machine itself. */
  readonly root: string | undefined;
  readonly env: NodeJS.ProcessEnv;
  readonly before: number;
  /** Default: the newest. */
  readonly after: number | undefined;
  readonly signal: AbortSignal;
}

/**
 * Compares two generations of the system profile, without the agent: anyone may read them. Throws NO_SUCH_GENERATION,
 * and what `closureChanges` of libs/nix throws.
 */
export async function compareGenerations(options: GenerationsOptions): Promise<Changes> {
  const { root, env, signal } = options;
  const profile = `${root ?? ''}/nix/var/nix/profiles/system`;
  const newest = (await readlink(profile).catch(() => undefined))?.split('/').at(-1);
  const [before, after] = await Promise.all([
    generation(profile, `system-${options.before}-link`),
    generation(profile, options.after === undefined ? newest : `system-${options.after}-link`),
  ]);
  const { createNix } = await import('@floe/nix');
  const nix = createNix({ exec, logger: silentLogger, env, store: root === undefined ? { kind: 'system' } : { kind: 'root', dir: root } });
  const { packages, ...rest } = await nix.closureChanges(before, after, signal);
  const listed = packages.map((each) => ({ ...each, before: [...each.before], after: [...each.after] }));
  return { subject: 'between', before, after, packages: listed, ...rest };
}

async function generation(profile: string, link: string | undefined): Promise<StorePath> {
  const target = link === undefined ? undefined : await readlink(join(dirname(profile), link)).catch(() => undefined);
  const parsed = v.safeParse(StorePath, target);
  if (parsed.success) return parsed.output;
  const what = link === undefined ? 'this machine has no system profile' : `there is no ${link}`;
  throw new FloeError('NO_SUCH_GENERATION', `${what}: "nix-env --profile ${profile} --list-generations" lists them`);
}
