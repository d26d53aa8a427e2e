import { memoryBytes, type GitMirror } from '@floe/git';
import { createSubmodules, type Sandbox } from '@floe/nix';
import type { Exec, Logger } from '@floe/runtime';
import { withSubmodules } from '../submodules/with-submodules.ts';
import type { BuilderConfig } from './builder-config.ts';
import { dataPaths } from './data-paths.ts';

/** A mirror in the folder `dir` whose commits have the files of their submodules, where the settings ask for that; otherwise it is as it was. */
export type Completing = (mirror: GitMirror, dir: string) => GitMirror;

interface Deps {
  readonly config: BuilderConfig;
  readonly exec: Exec;
  readonly sandbox: Sandbox;
  readonly logger: Logger;
}

export function submodulesOf({ config, exec, sandbox, logger }: Deps, signal: AbortSignal): Completing {
  const { hasSubmodules, url, limits, silenceMs } = config.repository;
  if (!hasSubmodules) return (mirror) => mirror;
  const { inputAccess, dataDir } = config;
  const dir = dataPaths(dataDir).submodules;
  const bounds = { maxBytes: limits.downloadBytes, maxMemoryBytes: memoryBytes(limits), silenceMs };
  const submodules = createSubmodules({ exec, logger, sandbox, inputAccess, dir, ...bounds, signal });
  return (mirror, folder) => withSubmodules(mirror, submodules, { dir: folder, url, signal });
}
