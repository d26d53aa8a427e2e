import { printable, type AgentState } from '@floe/model';
import type { LocalStatus } from '../local/protocol.ts';
import { timeInWords, type Reader } from '../text/people-time.ts';
import { isHeldDownload, sentences, situationInWords } from '../text/people.ts';
import type { Words } from '../text/words/en.ts';
import { fill } from '../text/words/languages.ts';

/** How a user chose another system: by values of `override.by`. */
const CHOSEN: ReadonlyMap<string | null, 'wentBack' | 'byHand' | 'atStart'> = new Map([
  ['rollback', 'wentBack'],
  ['switch', 'byHand'],
  ['boot', 'atStart'],
]);

/** The text of `floe-agent status` without --verbose. */
export function peopleStatus(status: LocalStatus, reader: Reader): string {
  const { state, detail, wait, waiting, urgent, override, trial, server } = status;
  const { words } = reader.language;
  const code = (waiting ?? detail)?.code;
  const about = code === undefined ? null : { code, ...(wait === null ? {} : { wait }) };
  const lines = [situationInWords({ state, detail: about, trialEndsAt: trial?.endsAt ?? null }, reader)];
  if (urgent !== null) lines.push(fill(words.status.asked, { by: urgent.by, reason: urgent.reason }));
  if (override !== null) {
    const chosen = words.status[CHOSEN.get(override.by) ?? 'chosen'];
    lines.push(`${fill(chosen, { at: timeInWords(override.since, reader) })} ${words.status.staysSo}`);
  }
  if (waiting !== null && waiting.code !== 'RESTARTING') lines.push(...choicesInWords(status, words));
  if (state === 'TRYING') lines.push(words.status.rollback);
  lines.push(serverInWords(status, reader));
  if (server.refusal !== null) lines.push(fill(words.status.shutOut, { code: server.refusal.code }));
  lines.push(words.status.more);
  return `${lines.map(printable).join('\n')}\n`;
}

/** The same of the last state on disk, when the agent does not run. */
export function lastStatus(state: AgentState, code: string | null, trialEndsAt: number | null, reader: Reader): string {
  const { status } = reader.language.words;
  const words = situationInWords({ state, detail: code === null ? null : { code }, trialEndsAt }, reader);
  return `${fill(status.stopped, { words })}\n${status.more}\n`;
}

function choicesInWords({ wait, urgent, laterLeft }: LocalStatus, { status }: Words): string[] {
  if (wait !== null && isHeldDownload(wait)) return [status.download];
  const later = laterLeft === 0 ? status.noLater : laterLeft === 1 ? status.laterOnce : fill(status.later, { count: String(laterLeft) });
  return [...(urgent === null ? [later] : []), status.now];
}

function serverInWords({ server }: LocalStatus, reader: Reader): string {
  const { status } = reader.language.words;
  const from = server.since === null ? undefined : timeInWords(server.since, reader, 'from');
  if (server.connected) return from === undefined ? status.connected : fill(status.connectedSince, { from });
  const away = from === undefined ? status.away : fill(status.awaySince, { from });
  return sentences(away, server.stranger === null ? undefined : status.elsewhere);
}
