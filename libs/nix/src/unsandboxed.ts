import { STORE_PATH_FORM } from '@floe/model';

/** Nix's programs. */
export type NixProgram = 'nix' | 'nix-store' | 'nix-env';

interface Grammar {
  /** The subcommand: its first words. */
  readonly tasks: readonly string[];
  /** Options, with the number of arguments that follow each. */
  readonly options: Readonly<Record<string, number>>;
}

/** All Nix commands that may run outside of the sandbox: they take store paths by name, and neither evaluate nor build. */
const UNSANDBOXED: Readonly<Record<NixProgram, Grammar>> = {
  nix: {
    tasks: ['copy', 'path-info', 'store cat', 'store ls', 'store ping', 'store sign', 'store verify'],
    options: {
      '--to': 1,
      '--from': 1,
      '--store': 1,
      '--option': 2,
      '--sigs-needed': 1,
      '--key-file': 1,
      '--json': 0,
      '--recursive': 0,
      '--closure-size': 0,
      '--no-contents': 0,
      '--sigs': 0,
      '--all': 0,
    },
  },
  'nix-store': {
    tasks: ['--realise', '--check-validity', '--query', '--verify-path', '--delete'],
    options: {
      '--add-root': 1,
      '--store': 1,
      '--option': 2,
      '--indirect': 0,
      '--print-invalid': 0,
      '--requisites': 0,
      '--references': 0,
      '--size': 0,
    },
  },
  'nix-env': { tasks: ['--profile'], options: { '--profile': 1, '--set': 0, '--store': 1, '--option': 2 } },
};

/** They read a file in a store path. */
const READS_FILES: ReadonlySet<string> = new Set(['store cat', 'store ls']);
const FILE_IN_PATH = /^(\/nix\/store\/[^/]+)(?:\/[a-z][a-z-]*)+$/;

function isPath(arg: string): boolean {
  return STORE_PATH_FORM.test(arg) && !arg.endsWith('.drv');
}

/**
 * Whether a command needs no sandbox: a subcommand and options from the list, and otherwise store paths. A derivation is not
 * allowed: realising it is building it, which runs untrusted code.
 */
export function needsNoSandbox(program: NixProgram, args: readonly string[]): boolean {
  const { tasks, options } = UNSANDBOXED[program];
  const task = tasks.find((each) => each.split(' ').every((word, index) => args[index] === word));
  if (task === undefined) return false;
  // A subcommand that takes an argument is listed as an option, too.
  const rest = args.slice(Object.hasOwn(options, task) ? 0 : task.split(' ').length);
  for (let index = 0; index < rest.length; index += 1) {
    const arg = rest[index] ?? '';
    if (Object.hasOwn(options, arg)) index += options[arg] ?? 0;
    else if (!isPath(READS_FILES.has(task) ? arg.replace(FILE_IN_PATH, '$1') : arg)) return false;
  }
  return true;
}
