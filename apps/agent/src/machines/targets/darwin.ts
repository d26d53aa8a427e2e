import type { Account } from './account.ts';
import { storePathBehind } from '../links.ts';
import type { TargetRules } from './target-machine.ts';

/** The user part of an activation. Newer systems keep the script, but mark it deprecated in its second line (docs/targets.md). */
const USER_SCRIPT = 'activate-user';
const USER_SCRIPT_IS_EMPTY = /^# nix-darwin: deprecated$/m;

/** nix-darwin: the system profile, `activate` as root, and `/run/current-system`, which the script sets at its end. */
export function darwinRules(options: { readonly root: string; readonly profile: string; readonly account: Account | null }): TargetRules {
  const { root, profile, account } = options;
  return {
    kind: 'darwin',
    // The system's own checks run as root; the account is only for the user part of old systems.
    account: null,
    folders: [''],
    profile: async () => await Promise.resolve(profile),
    activated: async () => await storePathBehind(`${root}/run/current-system`),
    async activation(path, files) {
      const activate = { file: 'activate', args: [], as: null };
      const userScript = await files.read(path, USER_SCRIPT);
      if (userScript === undefined || USER_SCRIPT_IS_EMPTY.test(userScript)) return { kind: 'steps', steps: [activate] };
      if (account === null || account.name === 'root') {
        return {
          kind: 'refused',
          detail: {
            code: 'USER_NEEDED',
            message: `this system is of a nix-darwin from before 25.05 and has a part that a user must run: set FLOE_USER to its main user, or update nix-darwin`,
          },
        };
      }
      return { kind: 'steps', steps: [{ file: USER_SCRIPT, args: [], as: account }, activate] };
    },
  };
}
