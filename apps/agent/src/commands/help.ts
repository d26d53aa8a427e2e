import type { UserCommand } from './user-commands.ts';

const WHO = 'For root, and for the group in the configuration of this machine. The agent must run.';
const JSON_OPTION = '  --json       One JSON object; times are milliseconds since 1970.';

/** What `floe-agent COMMAND --help` shows. */
export const COMMAND_HELP: Readonly<Record<UserCommand, string>> = {
  status: `floe-agent status: show the state of this machine

Usage: floe-agent status [--verbose] [--json] [--root DIR]

Says whether there is an update, when it begins and what it waits for. With --verbose: what runs, what should run, what the agent
does, and why. Without a running agent, root sees its last state on disk.

Options
  --verbose    The details for administrators, with store paths and codes.
${JSON_OPTION}
  --root DIR   The folder that stands for the machine.

Examples
  floe-agent status
  floe-agent status --verbose
  floe-agent status --json | jq -r .state
`,
  later: `floe-agent later: defer the new system

Usage: floe-agent later [DURATION] [--json]

The machine switches to the new system only after DURATION. Its configuration limits how often and how long a system can be
deferred. Without DURATION: as long as is allowed at once.

DURATION is in minutes, hours, days: 30m, 2h, 1d, 1h30m.

${WHO}

Options
${JSON_OPTION}

Examples
  floe-agent later
  floe-agent later 2h
`,
  now: `floe-agent now: activate the new system now

Usage: floe-agent now [--json]

Switches to the new system without waiting any longer for a maintenance window, for power, or for you.

${WHO}

Options
${JSON_OPTION}

Examples
  floe-agent now && floe-agent status
`,
  rollback: `floe-agent rollback: go back to the previous system

Usage: floe-agent rollback [--yes] [--json]

Goes back to the previous system, and stays there for at least a day and until a newer system is released. "floe-agent resume"
ends this at once. Administrators see it, and can end it, too. On a terminal the command asks first.

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

Ends a rollback or a switch by hand: the machine switches to the system that its fleet wants.

${WHO}

Options
${JSON_OPTION}

Examples
  floe-agent resume
`,
  changes: `floe-agent changes: show which packages differ

Usage: floe-agent changes [BEFORE [AFTER]] [--verbose] [--json] [--root DIR]

Compares the running system with the new one; when there is none, with the previous one. Packages that were only rebuilt in the
same version are counted, not listed.

${WHO}

BEFORE and AFTER are numbers of generations; AFTER defaults to the newest. Any user may compare these, at any time.

Options
  --verbose    With the store paths of the two systems.
${JSON_OPTION}
  --root DIR   The folder that stands for the machine.

Examples
  floe-agent changes
  floe-agent changes 41 42
  floe-agent changes --json | jq -r '.packages[].name'
`,
  notify: `floe-agent notify: show the agent's notices on this desktop

Usage: floe-agent notify

Run by a systemd user service. Shows the agent's notices in the session's language with notify-send (libnotify 0.8 or later), with buttons for "later",
"now" and "rollback". Goes on when the agent restarts. Where no notifications can be shown, it only logs them. It ends at once
with status 0 for an account that may not use the agent's socket.

Examples
  systemctl --user status floe-agent-notify
`,
};
