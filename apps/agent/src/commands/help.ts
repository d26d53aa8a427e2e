import type { UserCommand } from './user-commands.ts';

const WHO = 'For root, and the group that the configuration of this machine names; while the agent runs.';
const JSON_OPTION = '  --json       One JSON object; times are milliseconds since 1970.';

/** What `floe-agent COMMAND --help` shows. */
export const COMMAND_HELP: Readonly<Record<UserCommand, string>> = {
  status: `floe-agent status: where this machine stands

Usage: floe-agent status [--json] [--root DIR]

What runs, what should run, what the agent is doing and what it waits for. Asks the running agent; where none runs, root
sees what the agent wrote down last.

Options
${JSON_OPTION}
  --root DIR   The folder that plays the machine.

Examples
  floe-agent status
  floe-agent status --json | jq -r .state
`,
  later: `floe-agent later: not now, please

Usage: floe-agent later [DURATION] [--json]

The system that is ready waits for so long before it is switched to. The machine's configuration limits how often and how
long; nothing is put off for ever. Without DURATION: for as long as is allowed at once.

DURATION is minutes, hours, days: 30m, 2h, 1d, 1h30m.

${WHO}

Options
${JSON_OPTION}

Examples
  floe-agent later
  floe-agent later 2h
`,
  now: `floe-agent now: go ahead

Usage: floe-agent now [--json]

Switches to the system that is ready without waiting any longer: for a window, for power, or for you.

${WHO}

Options
${JSON_OPTION}

Examples
  floe-agent now && floe-agent status
`,
  rollback: `floe-agent rollback: back to how it was

Usage: floe-agent rollback [--yes] [--json]

Goes back to the system before, and stays there: another system is taken when one is released, at the earliest after a
day; "floe-agent resume" ends it at once. The administrators see it, and can end it, too. On a terminal it asks first.

${WHO}

Options
  --yes        Do not ask.
${JSON_OPTION}

Examples
  floe-agent changes && floe-agent rollback
  floe-agent rollback --yes
`,
  resume: `floe-agent resume: follow the fleet again

Usage: floe-agent resume [--json]

Ends what "rollback", or a switch by hand, began: the machine gets the system that it should run.

${WHO}

Options
${JSON_OPTION}

Examples
  floe-agent resume
`,
  changes: `floe-agent changes: which packages are others

Usage: floe-agent changes [BEFORE [AFTER]] [--json] [--root DIR]

Compares what runs with the system that is ready; where none is, with the system before. Packages that were only built
anew, in the same version, are counted.

${WHO}

BEFORE and AFTER are numbers of generations, AFTER the newest if it is left out. Anyone may compare these, at any time.

Options
${JSON_OPTION}
  --root DIR   The folder that plays the machine.

Examples
  floe-agent changes
  floe-agent changes 41 42
  floe-agent changes --json | jq -r '.packages[].name'
`,
  notify: `floe-agent notify: show the agent's notices on this desktop

Usage: floe-agent notify

Run by a systemd user service, as the person at the machine. Shows what the agent has to say with notify-send (libnotify
0.8 or later), with buttons for "later", "now" and "rollback". Stays when the agent restarts. Where no notifications can
be shown, they are only logged. For an account that may not talk to the agent it ends at once, with 0.

Examples
  systemctl --user status floe-agent-notify
`,
};
