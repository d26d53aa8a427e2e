/** The expected result of a push for a host. */
export type Expected =
  /** It runs the toplevel that this push gave it. */
  | 'switched'
  /** This push changed nothing for it: same toplevel, same directive. */
  | 'untouched'
  /** It tried the new toplevel, its check failed, and it runs its previous system. */
  | 'rolled-back'
  /** The push has no release for it (it does not evaluate): it keeps its system. */
  | 'behind';

export interface DemoPush {
  readonly message: string;
  readonly tells: string;
  /** From the present files to the changed files (null: removed). */
  change(files: Readonly<Record<string, string>>): Record<string, string>;
  readonly expected: Readonly<Record<'ada' | 'bob' | 'cyd', Expected>>;
}

/** Adds lines to the attribute set of a host or module, before its last brace. */
function withLines(text: string | undefined, lines: string): string {
  if (text === undefined) throw new Error('the file to change is not in the example fleet');
  const end = text.lastIndexOf('}');
  return `${text.slice(0, end)}  ${lines}\n${text.slice(end)}`;
}

const BROKEN_CHECK = 'floe.healthChecks.printer = { command = "echo \'the printer does not answer\' >&2; exit 1"; };';

export const DEMO_PUSHES: readonly DemoPush[] = [
  {
    message: 'Greet Ada by name',
    tells: 'a change to one host',
    change: (files) => ({ 'hosts/ada.nix': withLines(files['hosts/ada.nix'], 'environment.etc."motd" = "Good morning, Ada\\n";') }),
    expected: { ada: 'switched', bob: 'untouched', cyd: 'untouched' },
  },
  {
    message: 'Announce the office party everywhere',
    tells: 'a change to the module that all hosts share',
    change: (files) => ({ 'modules/base.nix': withLines(files['modules/base.nix'], 'environment.etc."party" = "Friday at five\\n";') }),
    expected: { ada: 'switched', bob: 'switched', cyd: 'switched' },
  },
  {
    message: 'Check the printer on cyd',
    tells: "a change that breaks one host's health check",
    change: (files) => ({ 'hosts/cyd.nix': withLines(files['hosts/cyd.nix'], BROKEN_CHECK) }),
    expected: { ada: 'untouched', bob: 'untouched', cyd: 'rolled-back' },
  },
  {
    message: 'Mend cyd; give bob a message',
    tells: 'a syntax error in one host, and a fix of another',
    change: (files) => ({
      'hosts/cyd.nix': (files['hosts/cyd.nix'] ?? '').replace(`  ${BROKEN_CHECK}\n`, '  environment.etc."printer" = "ask Ada\\n";\n'),
      'hosts/bob.nix': withLines(files['hosts/bob.nix'], 'environment.etc."motd" = "Hello, Bob\\n" oops'),
    }),
    expected: { ada: 'untouched', bob: 'behind', cyd: 'switched' },
  },
  {
    message: 'Mend bob',
    tells: 'the syntax error mended',
    change: (files) => ({ 'hosts/bob.nix': (files['hosts/bob.nix'] ?? '').replace('"Hello, Bob\\n" oops', '"Hello, Bob\\n";') }),
    expected: { ada: 'untouched', bob: 'switched', cyd: 'untouched' },
  },
];
