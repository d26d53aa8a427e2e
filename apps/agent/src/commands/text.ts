import type { AgentState } from '@floe/model';
import { printable } from '@floe/model';
import type { LocalStatus } from '../local/protocol.ts';

/** How to show times. */
export interface LocalTime {
  readonly now: number;
  /** IANA name; undefined: the machine's. */
  readonly timeZone?: string | undefined;
}

/** "today 14:30", "tomorrow 09:00", "yesterday 23:10", else "2026-03-01 14:30". */
export function localTime(at: number, { now, timeZone }: LocalTime): string {
  // The Swedish format is that of ISO 8601.
  const day = new Intl.DateTimeFormat('sv-SE', { dateStyle: 'short', timeZone });
  const clock = new Intl.DateTimeFormat('sv-SE', { timeStyle: 'short', timeZone }).format(at);
  const date = day.format(at);
  // Calendar days are counted in UTC, where each has 24 hours.
  const daysAway = Math.round((Date.parse(date) - Date.parse(day.format(now))) / (24 * 3600 * 1000));
  return `${DAYS[String(daysAway)] ?? date} ${clock}`;
}

const DAYS: Readonly<Record<string, string>> = { '-1': 'yesterday', '0': 'today', '1': 'tomorrow' };

const STATES: Readonly<Record<AgentState, string>> = {
  IDLE: 'nothing to do',
  OFFERED: 'received a new system',
  DOWNLOADING: 'downloading the new system',
  STAGED: 'downloaded; waits for the server to allow the switch',
  DEFERRED: 'the new system waits',
  PRECHECK: 'about to switch',
  ACTIVATING: 'switching to the new system',
  VERIFYING: 'switched; running the checks',
  TRYING: 'tries a system',
  COMMITTING: 'making the new system the boot default',
  SUCCEEDED: 'runs the desired system',
  BOOT_STAGED: 'the new system starts with the next restart',
  BOOT_VERIFYING: 'restarted; running the checks',
  ROLLING_BACK: 'going back to the previous system',
  ROLLED_BACK: 'went back to the previous system',
  ROLLBACK_FAILED: 'could not go back to the previous system: needs an administrator',
  BLOCKED: 'cannot continue now; tries again',
  REJECTED: 'the new system was refused',
};

/** How a user chose a system: values of `override.by`. */
const CHOSEN_BY: Readonly<Record<string, string>> = {
  rollback: ' with "floe-agent rollback"',
  switch: ' by a switch',
  boot: ' in the boot menu',
};

/** A state in words. */
export function describeState(state: AgentState): string {
  return STATES[state];
}

/** The text of `floe-agent status`. */
export function statusText(status: LocalStatus, time: LocalTime): string {
  const { host, server, state, since, detail, waiting, laterLeft, desired, trial, running, observed, quarantined, override, agentVersion } = status;
  const at = (ms: number): string => localTime(ms, time);
  const rows: Row[] = [
    ['host', host],
    ['state', since === 0 ? `${state}: no directive received yet` : `${state}: ${describeState(state)}, since ${at(since)}`],
  ];
  if (waiting === null) {
    if (detail !== null) rows.push(['because', `${detail.message} (${detail.code})`]);
  } else {
    rows.push(
      ['because', `${waiting.message} (${waiting.code})`],
      ['later', laterLeft === 0 ? 'not possible any more' : `${laterLeft} × left (floe-agent later)`],
    );
  }
  if (trial !== null && desired !== null) rows.push(trialRow(desired.commit, trial.endsAt, time));
  if (status.urgent !== null) rows.push(['asked for', `by your administrator (${status.urgent.by}: ${status.urgent.reason})`]);
  if (override !== null) {
    const how = CHOSEN_BY[override.by ?? ''] ?? '';
    rows.push(['by hand', `a user chose another system${how} ${at(override.since)}; "floe-agent resume" follows the fleet again`]);
  }
  rows.push(...systemRows({ desired, running, observed, quarantined }));
  const connection = server.since === null ? '' : ` since ${at(server.since)}`;
  const { stranger, refusal } = server;
  const who = server.connected || stranger === null ? '' : `: ${stranger}`;
  rows.push(['server', `${server.url}, ${server.connected ? 'connected' : 'not connected'}${connection}${who}`], ['agent', agentVersion]);
  if (refusal !== null) rows.splice(-1, 0, ['refused', `${refusal.message} (${refusal.code})`]);
  return table(rows);
}

/** What users have to know of a trial: it ends by itself, or by them. */
export function trialRow(commit: string, endsAt: number, time: LocalTime): Row {
  return ['trial', `This computer tries ${commit.slice(0, 7)} until ${localTime(endsAt, time)}; floe-agent rollback ends it`];
}

/** The desired, the running and the next boot's system. */
export function systemRows({
  desired,
  running,
  observed,
  quarantined,
}: Pick<LocalStatus, 'desired' | 'running' | 'observed'> & { readonly quarantined: readonly string[] }): Row[] {
  const rows: Row[] = [
    ['desired', desired?.toplevel ?? '-'],
    ['commit', desired?.commit ?? '-'],
    ['running', observed.current ?? '-'],
    ['its commit', running?.commit ?? '-'],
    ['next boot', observed.profile === null ? '-' : `${observed.profile.toplevel} (generation ${observed.profile.generation})`],
  ];
  if (quarantined.length > 0) rows.push(['quarantined', quarantined.join(' ')]);
  return rows;
}

type Row = readonly [string, string];

/** Rows of a name and a text. */
export function table(rows: readonly Row[]): string {
  const width = Math.max(...rows.map(([name]) => name.length));
  return rows
    .map(
      ([name, text]) =>
        `${name.padEnd(width)}  ${printable(text)
          .trimEnd()
          .replaceAll('\n', `\n${' '.repeat(width + 2)}`)}\n`,
    )
    .join('');
}
