import { resolve } from 'node:path';
import { exec } from '@floe/runtime';
import { DEFAULT_REPOSITORY_LIMITS } from '../limits.ts';
import { createLocalMirror } from '../local-mirror.ts';
import { mirrorBy, type GitMirror, type MirrorCalls, type MirrorOptions } from '../mirror.ts';
import type { MirrorOperations } from '../mirror-types.ts';

/** Like `openMirror`, but without a worker thread, which takes longer to start than most tests run. */
export function mirrorHere(options: MirrorOptions & { readonly maxPacks?: number }): GitMirror & { readonly dir: string } {
  const { url, branch, logger } = options;
  const dir = resolve(options.dir);
  const mirror = createLocalMirror({
    dir,
    url,
    branch,
    tokenSetting: 'FLOE_REPOSITORY_TOKEN_FILE',
    ssh: options.ssh,
    exec,
    limits: options.limits ?? DEFAULT_REPOSITORY_LIMITS,
    maxPacks: options.maxPacks,
    warn: (message, fields) => logger.warn(message, fields),
    onProgress: options.onProgress ?? (() => undefined),
    onDefaultBranch: options.onDefaultBranch ?? (() => undefined),
    onAlive: () => undefined,
  });
  const { signal: never } = new AbortController();
  const call: MirrorCalls['call'] = async <Name extends keyof MirrorOperations>(
    name: Name,
    args: Parameters<MirrorOperations[Name]>,
    signal = never,
  ): Promise<Awaited<ReturnType<MirrorOperations[Name]>>> => await mirror[name](signal, ...args);
  const calls: MirrorCalls = {
    call,
    [Symbol.asyncDispose]: async () => await Promise.resolve(),
  };
  return { dir, ...mirrorBy(calls, { ...options, dir }) };
}
