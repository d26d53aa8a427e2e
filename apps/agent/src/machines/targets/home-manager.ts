import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Account } from './account.ts';
import { storePathBehind } from '../links.ts';
import type { TargetRules } from './target-machine.ts';

/** Home Manager on its own: a user's profile, `activate` as that user, and the GC root that the script sets at its end. */
export function homeManagerRules(options: { readonly root: string; readonly profile: string | null; readonly account: Account }): TargetRules {
  const { root, profile, account } = options;
  return {
    kind: 'home-manager',
    account,
    // A generation has no etc of its own; that of its packages is in home-path.
    folders: ['', 'home-path'],
    async profile() {
      if (profile !== null) return profile;
      // The same order as in the activation script: otherwise there would be two profiles.
      const own = join(account.stateHome, 'nix/profiles');
      const isThere = await stat(own).then(
        (found) => found.isDirectory(),
        () => false,
      );
      return join(isThere ? own : `${root}/nix/var/nix/profiles/per-user/${account.name}`, 'home-manager');
    },
    activated: async () => await storePathBehind(join(account.stateHome, 'home-manager/gcroots/current-home')),
    async activation(path, files) {
      // With this option the script does not set the profile. Older scripts lack the option, and set it themselves.
      const version = Number((await files.read(path, 'gen-version'))?.trim() ?? 0);
      return { kind: 'steps', steps: [{ file: 'activate', args: version >= 1 ? ['--driver-version', '1'] : [], as: account }] };
    },
  };
}
