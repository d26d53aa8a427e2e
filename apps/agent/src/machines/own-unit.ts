import type { CommandPlace } from './machine.ts';

/** What a program needs to know of the agent's environment; the rest, its socket to systemd above all, is the agent's own. */
const PASSED_ON = ['PATH', 'LANG', 'LOCALE_ARCHIVE', 'TZDIR', 'SSL_CERT_FILE', 'NIX_SSL_CERT_FILE'];
/** systemd ends all processes of the unit, first with SIGTERM, after this long with SIGKILL, in s. */
const STOP_SECONDS = 5;

export interface OwnUnitOptions {
  readonly description: string;
  readonly timeoutSeconds: number;
}

/**
 * The same command as a unit of its own: the agent's unit is fenced in (nix/modules/agent/service.nix), and a check must
 * see and touch the machine as its services do; the boot loader's program must open its disk. Nothing of it is left when
 * its time is over. Output and exit status are the command's; without `--collect`, failed checks would stay in the list of
 * failed units.
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
