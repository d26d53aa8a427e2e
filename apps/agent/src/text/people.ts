import { oneLine, type AgentDetail, type AgentState, type WaitFacts } from '@floe/model';
import { timeInWords, type PeopleTime } from './people-time.ts';

// What users of a machine read who do not administer it, in its status and its notices: no store paths, no codes, and none of the
// words that only Floe uses. Administrators have the messages of the details.

/** What the words are about. */
export interface Situation {
  readonly state: AgentState;
  readonly detail: Pick<AgentDetail, 'code' | 'wait'> | null;
  /** When a trial ends, ms. */
  readonly trialEndsAt: number | null;
}

/** What happens to the computer, in one to three sentences. */
export function situationInWords(situation: Situation, time: PeopleTime): string {
  const { state, detail } = situation;
  switch (state) {
    case 'IDLE':
      return 'There is no update for your computer.';
    case 'OFFERED':
      return 'Your computer downloads an update.';
    case 'DOWNLOADING':
      return detail === null ? 'Your computer downloads an update.' : `An update cannot be downloaded now.${troubleInWords(detail)} ${AGAIN}`;
    case 'STAGED':
      return 'An update is ready. It begins when it is the turn of your computer.';
    case 'DEFERRED':
      return detail?.wait === undefined ? 'An update is ready, and waits.' : waitInWords(detail.wait, time);
    case 'PRECHECK':
    case 'ACTIVATING':
      return 'Your computer is being updated. Please leave it on.';
    case 'VERIFYING':
    case 'BOOT_VERIFYING':
    case 'COMMITTING':
      return 'Your computer was updated, and is being checked. Please leave it on.';
    case 'TRYING':
      return `Your computer tries an update, and goes back by itself${situation.trialEndsAt === null ? '' : ` ${timeInWords(situation.trialEndsAt, time)}`}.`;
    case 'SUCCEEDED':
      return 'Your computer is up to date.';
    case 'BOOT_STAGED':
      return restartInWords(detail, time);
    case 'ROLLING_BACK':
      return 'Your computer goes back to how it was before. Please leave it on.';
    case 'ROLLED_BACK':
      return 'An update did not work, and your computer went back to how it was before. You need to do nothing.';
    case 'ROLLBACK_FAILED':
      return 'An update did not work, and your computer could not go back to how it was before. Please tell its administrator.';
    case 'BLOCKED':
      return `An update cannot go on now.${troubleInWords(detail)} ${AGAIN}`;
    case 'REJECTED':
      return 'An update does not fit your computer, and was left out. You need to do nothing.';
  }
}

const AGAIN = 'Your computer tries again by itself.';

/** By code: what a person at the machine may see or do about it. */
const TROUBLES: Readonly<Record<string, string>> = {
  DISK_FULL: 'There is too little free space: please delete what you do not need.',
  BOOT_DISK_FULL: 'There is too little space for starting another version: please tell its administrator.',
  CACHE_NOT_REACHED: 'This network does not lead to it: if there is a login page, please log in.',
  SWITCH_HELD: 'It is being changed in another way.',
};

function troubleInWords(detail: Situation['detail']): string {
  const trouble = TROUBLES[detail?.code ?? ''];
  return trouble === undefined ? '' : ` ${trouble}`;
}

function restartInWords(detail: Situation['detail'], time: PeopleTime): string {
  if (detail?.wait !== undefined) return waitInWords(detail.wait, time);
  switch (detail?.code) {
    case 'RESTARTING':
      return 'Your computer restarts now, to be updated.';
    case 'REBOOT_FAILED':
      return 'Your computer could not restart by itself. Please restart it, so that it is updated.';
    case 'STAGING':
    case 'AWAITS_RESTART':
      return 'An update begins when your computer restarts.';
    default:
      return ASK_TO_RESTART;
  }
}

const ASK_TO_RESTART = 'An update begins when your computer restarts. Please restart it when it suits you.';

const GOES_AHEAD: Readonly<Record<WaitFacts['what'], string>> = {
  download: 'An update will be downloaded',
  switch: 'Your computer will update',
  restart: 'Your computer will restart to update',
};

/** By code of a reason that no time ends, behind "when". */
const WHEN: Readonly<Record<string, string>> = {
  ON_BATTERY: 'it is plugged in or charged enough',
  METERED: 'it is on a network that is not metered',
  SESSION_ACTIVE: 'nobody uses it',
  SESSIONS_UNKNOWN: 'nobody uses it',
  NO_WINDOWS: 'its administrator has set a time for that',
};

/** When it goes ahead, and what must end before that. */
export function waitInWords({ what, codes, startsAt, latestAt, programs }: WaitFacts, time: PeopleTime): string {
  const latest = latestAt === null ? '' : ` It does so ${soonOr(latestAt, time)} at the latest.`;
  if (codes.includes('REBOOT_LEFT_TO_PEOPLE'))
    return `${ASK_TO_RESTART}${latestAt === null ? '' : ` It restarts by itself ${soonOr(latestAt, time)} at the latest.`}`;
  const named = new Set(codes.flatMap((code) => WHEN[code] ?? []));
  const ends = [...named, ...(programs.length === 0 ? [] : [`this has ended: ${programs.map(oneLine).join(', ')}`])];
  const when = ends.length === 0 ? '' : ` when ${ends.join(', and ')}`;
  const begins = startsAt === null ? '' : ` ${soonOr(startsAt, time)}`;
  if (when === '') return begins === '' ? `${GOES_AHEAD[what]} later.${latest}` : `${GOES_AHEAD[what]}${begins}.`;
  const since = begins === '' ? '' : ` Not before ${begins.trim().replace(/^on /, '')}.`;
  return `${GOES_AHEAD[what]}${when}.${since}${latest}`;
}

function soonOr(at: number, time: PeopleTime): string {
  return at <= time.now ? 'soon' : timeInWords(at, time);
}
