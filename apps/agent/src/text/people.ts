import { oneLine, type AgentDetail, type AgentState, type WaitFacts } from '@floe/model';
import { soonOr, timeInWords, type Reader } from './people-time.ts';
import type { Words } from './words/en.ts';
import { fill } from './words/languages.ts';

// What users of a machine read who do not administer it, in its status and its notices. The texts are in `words/`. Administrators have the
// messages of the details.

/** What the words are about. */
export interface Situation {
  readonly state: AgentState;
  readonly detail: Pick<AgentDetail, 'code' | 'wait'> | null;
  /** When a trial ends, ms. */
  readonly trialEndsAt: number | null;
}

/** The text of each state that says all by itself. */
const PLAIN = {
  IDLE: 'noUpdate',
  OFFERED: 'downloads',
  STAGED: 'awaitsTurn',
  PRECHECK: 'updates',
  ACTIVATING: 'updates',
  VERIFYING: 'checks',
  BOOT_VERIFYING: 'checks',
  COMMITTING: 'checks',
  SUCCEEDED: 'isUpToDate',
  ROLLING_BACK: 'goesBack',
  ROLLED_BACK: 'wentBack',
  ROLLBACK_FAILED: 'couldNotGoBack',
  REJECTED: 'leftOut',
} as const satisfies Partial<Record<AgentState, keyof Words['now']>>;

/** What happens to the computer, in one to three sentences. */
export function situationInWords(situation: Situation, reader: Reader): string {
  const { state, detail, trialEndsAt } = situation;
  const { words } = reader.language;
  switch (state) {
    case 'DOWNLOADING':
      return detail === null ? words.now.downloads : sentences(words.now.cannotDownload, troubleInWords(detail, words), words.now.triesAgain);
    case 'DEFERRED':
      return detail?.wait === undefined ? words.now.waits : waitInWords(detail.wait, reader);
    case 'TRYING':
      return trialEndsAt === null ? words.now.tries : fill(words.now.triesUntil, { at: timeInWords(trialEndsAt, reader) });
    case 'BOOT_STAGED':
      return detail?.wait === undefined ? restartInWords(detail?.code, words) : waitInWords(detail.wait, reader);
    case 'BLOCKED':
      return sentences(words.now.cannotGoOn, troubleInWords(detail, words), words.now.triesAgain);
    default:
      return words.now[PLAIN[state]];
  }
}

/** The text of `table` for a code that may have none. */
export function textFor(table: Readonly<Record<string, string>>, code: string | undefined): string | undefined {
  return code !== undefined && Object.hasOwn(table, code) ? table[code] : undefined;
}

/** One after another, without those that are not there. */
export function sentences(...texts: readonly (string | undefined)[]): string {
  return texts.filter((text) => text !== undefined && text !== '').join(' ');
}

function troubleInWords(detail: Situation['detail'], words: Words): string | undefined {
  return textFor(words.trouble, detail?.code);
}

function restartInWords(code: string | undefined, { now }: Words): string {
  switch (code) {
    case 'RESTARTING':
      return now.restarts;
    case 'REBOOT_FAILED':
      return now.couldNotRestart;
    case 'STAGING':
    case 'AWAITS_RESTART':
      return now.beginsAtRestart;
    default:
      return now.askToRestart;
  }
}

/** By code of a reason that no time ends: what has to end. */
const ENDS: Readonly<Record<string, Exclude<keyof Words['ends'], 'programs' | 'and'>>> = {
  ON_BATTERY: 'ON_BATTERY',
  METERED: 'METERED',
  SESSION_ACTIVE: 'IN_USE',
  SESSIONS_UNKNOWN: 'IN_USE',
  INHIBITORS_UNKNOWN: 'IN_USE',
  NO_WINDOWS: 'NO_WINDOWS',
};

/** When it goes ahead, and what must end before that. */
export function waitInWords(wait: WaitFacts, reader: Reader): string {
  const { what, codes, startsAt, latestAt } = wait;
  const { words } = reader.language;
  const timed = (template: string, at: number | null): string | undefined =>
    at === null ? undefined : fill(template, { at: soonOr(at, reader), from: soonOr(at, reader, 'from') });
  if (codes.includes('REBOOT_LEFT_TO_PEOPLE'))
    return sentences(
      words.now.askToRestart,
      timed(words.reminded, codes.includes('LATER') ? startsAt : null),
      timed(words.restartsAtTheLatest, latestAt),
    );
  const latest = timed(words.atTheLatest, latestAt);
  if (isHeldDownload(wait)) return sentences(fill(words.download.elsewhere, { now: words.button.download }), latest);
  const ends = endsInWords(wait, words);
  if (ends === '') return timed(words[what].at, startsAt) ?? sentences(words[what].later, latest);
  return sentences(fill(words[what].when, { ends }), timed(words.notBefore, startsAt), latest);
}

/** It is not downloaded on this network, and would be on another one. */
export function isHeldDownload({ what, codes }: WaitFacts): boolean {
  return what === 'download' && codes.length === 1 && codes[0] === 'METERED';
}

function endsInWords({ codes, programs }: WaitFacts, { ends }: Words): string {
  const named = [...new Set(codes.flatMap((code) => ENDS[code] ?? []))].map((name) => ends[name]);
  const all = programs.length === 0 ? named : [...named, fill(ends.programs, { programs: programs.map(oneLine).join(', ') })];
  // What is filled in is a whole again: a program's words may look like a place to fill in.
  return all.reduce((first, second) => (first === '' ? second : fill(ends.and, { first, second })), '');
}
