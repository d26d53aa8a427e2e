import { oneLine } from '@floe/model';
import { nixString } from '@floe/runtime';
import type { LackingSettings } from '@floe/nix';
import type { Revision } from '@floe/store';
import { bestEffort } from '../best-effort.ts';
import type { PipelineDeps } from '../deps.ts';
import { warn } from './policy.ts';
import { addressOf } from './source.ts';

/**
 * Notes on the revision which caches, keys and features its flake's `nixConfig` asks for and this server lacks, with the option that gives them. They are
 * never taken from the flake: whoever may push would decide whom the server trusts.
 */
export async function warnOfFlakeSettings(deps: PipelineDeps, { id, sha }: Revision, signal: AbortSignal): Promise<void> {
  const { store, repositoryNix, limits, logger } = deps;
  await bestEffort(logger, 'reading the nixConfig of the flake', undefined, async () => {
    const { evaluationTimeoutMs: timeoutMs, evaluationMemoryBytes: maxMemoryBytes } = limits;
    const lacking = await repositoryNix.lackingSettings(await addressOf(deps, sha), { timeoutMs, maxMemoryBytes, signal });
    for (const warning of settingsWarnings(lacking)) await warn(store, id, warning);
  });
}

/** One for each kind. */
export function settingsWarnings({ substituters, keys, features }: LackingSettings): string[] {
  const option = (name: string, values: readonly string[]): string => oneLine(`nix.settings.${name} = [ ${values.map(nixString).join(' ')} ];`);
  const ifTrusted = 'Floe takes no settings from a flake. If you trust it, set on the server:';
  return [
    ...(substituters.length === 0
      ? []
      : [
          `flake.nix asks for caches that this server does not ask, so that it builds what they have. ${ifTrusted} ${option('extra-substituters', substituters)}`,
        ]),
    ...(keys.length === 0
      ? []
      : [`flake.nix asks for keys of caches that this server does not trust. ${ifTrusted} ${option('extra-trusted-public-keys', keys)}`]),
    ...(features.length === 0
      ? []
      : [`flake.nix asks for features of Nix that this server has not enabled. ${ifTrusted} ${option('extra-experimental-features', features)}`]),
  ];
}
