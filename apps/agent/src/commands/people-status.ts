import { printable, type AgentState } from '@floe/model';
import type { LocalStatus } from '../local/protocol.ts';
import { timeInWords, type PeopleTime } from '../text/people-time.ts';
import { situationInWords } from '../text/people.ts';

const MORE = 'floe-agent status --verbose shows the details.';

/** How a user chose another system: values of `override.by`. */
const CHOSEN: Readonly<Record<string, string>> = {
  rollback: 'Somebody had this computer go back to an earlier version',
  switch: 'Somebody changed this computer by hand',
  boot: 'Somebody chose another version when this computer started',
};

/** The text of `floe-agent status` without --verbose. */
export function peopleStatus(status: LocalStatus, time: PeopleTime): string {
  const { state, detail, wait, waiting, laterLeft, urgent, override, trial, server } = status;
  const code = (waiting ?? detail)?.code;
  const about = code === undefined ? null : { code, ...(wait === null ? {} : { wait }) };
  const lines = [situationInWords({ state, detail: about, trialEndsAt: trial?.endsAt ?? null }, time)];
  if (urgent !== null) lines.push(`Your administrator asks for it now (${urgent.by}: ${urgent.reason}).`);
  if (override !== null)
    lines.push(
      `${CHOSEN[override.by ?? ''] ?? 'Somebody chose another version'} ${timeInWords(override.since, time)}. It stays so until "floe-agent resume", or a newer update.`,
    );
  if (waiting !== null) {
    if (urgent === null)
      lines.push(laterLeft === 0 ? 'It cannot be put off any more.' : `To put it off: floe-agent later (${times(laterLeft)} more).`);
    lines.push('To begin at once: floe-agent now.');
  }
  if (state === 'TRYING') lines.push('To go back at once: floe-agent rollback.');
  const since = server.since === null ? '' : ` (since ${timeInWords(server.since, time).replace(/^on /, '')})`;
  lines.push(server.connected ? `It is connected to its server${since}.` : `It is not connected to its server${since}.`);
  if (server.refusal !== null) lines.push(`It gets no updates until an administrator helps (${server.refusal.code}).`);
  return `${[...lines, MORE].map(printable).join('\n')}\n`;
}

/** The same of the last state on disk, when the agent does not run. */
export function lastStatus(state: AgentState, code: string | null, trialEndsAt: number | null, time: PeopleTime): string {
  const words = situationInWords({ state, detail: code === null ? null : { code }, trialEndsAt }, time);
  return `The updates of this computer are stopped (sudo systemctl start floe-agent). Its last state: ${words}\n${MORE}\n`;
}

function times(count: number): string {
  return count === 1 ? 'once' : `${count} times`;
}
