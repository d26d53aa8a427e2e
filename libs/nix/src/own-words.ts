import { STORE_PATH_FORM } from '@floe/model';

/** Nix's commands. */
export type NixProgram = 'nix' | 'nix-store' | 'nix-env';

interface Grammar {
  /** What the command is asked to do: its first words. */
  readonly tasks: readonly string[];
  /** Options, with the number of arguments that follow each. */
  readonly options: Readonly<Record<string, number>>;
}

/** All that Nix is asked to do outside of the sandbox: about store paths by their names, and nothing that evaluates or builds. */
const OWN_WORDS: Readonly<Record<NixProgram, Grammar>> = {
  nix: {
    tasks: ['copy', 'path-info', 'store ping', 'store sign', 'store verify'],
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

/**
 * Whether a command is about our own words only: a task from the list, options from the list, and for the rest store
 * paths. A derivation is none: to realise it is to build it, which runs foreign code.
 */
export function isOwnWords(program: NixProgram, args: readonly string[]): boolean {
  const { tasks, options } = OWN_WORDS[program];
  const task = tasks.find((each) => each.split(' ').every((word, index) => args[index] === word));
  if (task === undefined) return false;
  // A task that takes an argument is an option, too.
  const rest = args.slice(Object.hasOwn(options, task) ? 0 : task.split(' ').length);
  for (let index = 0; index < rest.length; index += 1) {
    const arg = rest[index] ?? '';
    if (Object.hasOwn(options, arg)) index += options[arg] ?? 0;
    else if (!STORE_PATH_FORM.test(arg) || arg.endsWith('.drv')) return false;
  }
  return true;
}
