/** The expected result of a push for a host. */
export type Expected =
  /** It runs the toplevel that this push gave it. */
  | 'switched'
  /** This push changed nothing for it: same toplevel, same directive. */
  | 'untouched'
  /** It tried the new toplevel, its check failed, and it runs its previous system. */
  | 'rolled-back'
  /** Its ring's turn has not come: it was told nothing of the push. */
  | 'not-reached'
  /** The push has no release for it (it does not evaluate): it keeps its system. */
  | 'behind';

export interface DemoPush {
  readonly message: string;
  readonly tells: string;
  /** From the present files to the changed files (null: removed). */
  change(files: Readonly<Record<string, string>>): Record<string, string>;
  readonly expected: Readonly<Record<'ada' | 'bob' | 'cyd', Expected>>;
  /** Why its administrator does not wait for the soak of the first ring; undefined: nobody decides anything. */
  readonly hotfix?: string;
}

/** Adds lines to the attribute set of a host or module, before its last brace. */
function withLines(text: string | undefined, lines: string): string {
  if (text === undefined) throw new Error('the file to change is not in the example fleet');
  const end = text.lastIndexOf('}');
  return `${text.slice(0, end)}  ${lines}\n${text.slice(end)}`;
}

/** Ada's machine is asked first. A real fleet lets each ring soak for a while. */
const policyWith = (soak: string) => `{
  rings = [
    { name = "canary"; hosts = [ "ada" ]; soak = "${soak}"; }
    { name = "all"; soak = "0s"; }
  ];
}
`;

/** Harms every host that gets it. */
const HARMFUL = 'floe.healthChecks.web = { command = "echo \'the intranet does not answer\' >&2; exit 1"; };';

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
  {
    message: 'Ask ada first',
    tells: 'a rollout policy: the ring canary, then all others; and a change for everybody, which goes ring by ring',
    change: (files) => ({
      'floe.nix': policyWith('0s'),
      'modules/base.nix': withLines(files['modules/base.nix'], 'environment.etc."canteen" = "Soup\\n";'),
    }),
    expected: { ada: 'switched', bob: 'switched', cyd: 'switched' },
  },
  {
    message: 'Check the intranet everywhere',
    tells: 'a change that would harm everybody: it stops at the canary, and nobody else ever sees it',
    change: (files) => ({ 'modules/base.nix': withLines(files['modules/base.nix'], HARMFUL) }),
    expected: { ada: 'rolled-back', bob: 'not-reached', cyd: 'not-reached' },
  },
  {
    message: 'Mend the intranet check',
    tells: 'the fix goes through, although the commit before is paused',
    change: (files) => ({
      'modules/base.nix': (files['modules/base.nix'] ?? '').replace(`  ${HARMFUL}\n`, '  environment.etc."intranet" = "it answers\\n";\n'),
    }),
    expected: { ada: 'switched', bob: 'switched', cyd: 'switched' },
  },
  {
    message: 'Let canaries soak; close a hole in sshd',
    tells: 'a commit soaks for an hour at the canary from now on, but this one is urgent: a hotfix passes over the soak',
    change: (files) => ({
      'floe.nix': policyWith('1h'),
      'modules/base.nix': withLines(files['modules/base.nix'], 'environment.etc."sshd" = "no passwords\\n";'),
    }),
    expected: { ada: 'switched', bob: 'switched', cyd: 'switched' },
    hotfix: 'the hole in sshd is being used',
  },
];
