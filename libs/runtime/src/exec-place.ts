import { accessSync, constants } from 'node:fs';
import { delimiter, join, resolve } from 'node:path';
import type { ControlGroup } from './exec-cgroup.ts';

export interface Place {
  readonly env: NodeJS.ProcessEnv;
  readonly cwd: string | undefined;
  readonly group: ControlGroup | undefined;
  readonly maxMemoryBytes: number | undefined;
}

/** A process may reserve more addresses than it uses. */
const ADDRESS_SPACE_FACTOR = 2;
/** Where the system searches without PATH (_PATH_DEFPATH). */
const DEFAULT_PATH = '/usr/bin:/bin';
/** Variables that shells set themselves. */
const SHELL_VARIABLES = ['PWD', 'OLDPWD', 'SHLVL', '_'];

/**
 * The command line that starts the command through a shell, which first enters the control group and sets the limits: a program
 * that is moved afterwards may have forked already. Throws when the program does not exist, which the shell could not report.
 */
export function placeInTree([file, ...args]: readonly [string, ...string[]], place: Place): { readonly file: string; readonly args: string[] } {
  const { env, group, maxMemoryBytes } = place;
  const kilobytes = maxMemoryBytes === undefined || group?.holdsLimits === true ? 0 : Math.ceil((ADDRESS_SPACE_FACTOR * maxMemoryBytes) / 1024);
  if (group === undefined && kilobytes === 0) return { file, args };
  assertProgram(file, place);
  const added = SHELL_VARIABLES.filter((name) => env[name] === undefined).join(' ');
  const script = [
    '[ -z "$1" ] || { echo 0 > "$1"; } 2> /dev/null',
    '[ "$2" = 0 ] || ulimit -v "$2" 2> /dev/null',
    'shift 2',
    ...(added === '' ? [] : [`unset ${added}`]),
    'exec "$@"',
  ].join('\n');
  return { file: '/bin/sh', args: ['-c', script, 'sh', group?.entrance ?? '', String(kilobytes), file, ...args] };
}

function assertProgram(file: string, { env, cwd }: Place): void {
  const places = file.includes('/')
    ? [resolve(cwd ?? '.', file)]
    : (env['PATH'] ?? DEFAULT_PATH).split(delimiter).map((folder) => join(folder, file));
  const isThere = places.some((each) => {
    try {
      accessSync(each, constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
  if (!isThere) throw new Error(`there is no program ${file}`);
}
