import type { CommandPlace } from './machine.ts';

/** What a program gets of the agent's environment; the rest, above all its socket to systemd, is for the agent alone. */
const PASSED_ON = ['PATH', 'LANG', 'LOCALE_ARCHIVE', 'TZDIR', 'SSL_CERT_FILE', 'NIX_SSL_CERT_FILE'];
/** systemd ends all processes of the unit, first with SIGTERM, after this long with SIGKILL, in s. */
const STOP_SECONDS = 5;

export interface OwnUnitOptions {
  readonly description: string;
  readonly timeoutSeconds: number;
}

/**
 * The same command as a unit of its own. The agent's unit is restricted (nix/modules/agent/service.nix), but a check must see the
 * machine as its services do, and bootctl must open the boot partition. systemd ends the unit with all its processes at the time
 * limit. Output and exit status are the command's. Without `--collect`, failed checks would stay in the list of failed units.
 */
export function inOwnUnit({ file, args, env }: CommandPlace, { description, timeoutSeconds }: OwnUnitOptions): CommandPlace {
  const passed = PASSED_ON.flatMap((name) => (env[name] === undefined ? [] : [`--setenv=${name}=${env[name]}`]));
  const options = [
    '--quiet',
    '--pipe',
    '--wait',
    '--collect',
    '--service-type=exec',
    `--description=${description}`,
    `--property=RuntimeMaxSec=${timeoutSeconds}`,
    `--property=TimeoutStopSec=${STOP_SECONDS}`,
    ...passed,
  ];
  // systemd puts values of the environment in the place of $NAME and ${NAME}; a doubled $ is one that it leaves alone.
  const command = [file, ...args].map((word) => word.replaceAll('$', '$$$$'));
  return { file: 'systemd-run', args: [...options, '--', ...command], env };
}
