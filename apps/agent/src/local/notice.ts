import { isTrialOpen, urgencyOf, type AgentJournal, type Urgency } from '@floe/model';
import type { PeopleTime } from '../text/people-time.ts';
import { situationInWords } from '../text/people.ts';
import type { Notice } from './protocol.ts';

/** How long a result is shown, in ms. */
const NEWS_MS = 3600_000;

const ASKED = 'Your administrator asks for this update now';

/** What users of the machine should know now; null: nothing. Pure. */
export function noticeOf(journal: AgentJournal, time: PeopleTime): Notice | null {
  const { state, detail, directive, since } = journal;
  const { now } = time;
  const trialEndsAt = isTrialOpen(journal) ? (directive?.trial?.endsAt ?? null) : null;
  const words = situationInWords({ state, detail, trialEndsAt }, time);
  const id = `${state}:${directive?.epoch ?? 0}:${detail?.code ?? ''}:${factsOf(journal)}`.slice(0, 200);
  const isNews = Math.abs(now - since) < NEWS_MS;
  const urgent = urgencyOf(journal, now);
  switch (state) {
    case 'DEFERRED':
      if (urgent !== undefined) return { id, kind: 'waiting', title: ASKED, body: `${words} ${reasonOf(urgent)}`, actions: ['now'] };
      return {
        id,
        kind: 'waiting',
        title: detail?.wait?.what === 'download' ? 'There is an update' : 'An update is ready',
        body: words,
        actions: ['later', 'now'],
      };
    case 'BOOT_STAGED':
      if (detail?.code === 'STAGING' || detail?.code === 'AWAITS_RESTART') return null;
      return { id, kind: 'restart-needed', title: 'An update needs a restart', body: words, actions: ['later', 'now'] };
    case 'PRECHECK':
    case 'ACTIVATING':
    case 'VERIFYING':
      if (urgent === undefined) return null;
      return { id: `asked:${directive?.epoch ?? 0}`, kind: 'waiting', title: ASKED, body: `It begins. ${reasonOf(urgent)}`, actions: [] };
    case 'SUCCEEDED':
      if (!isNews || detail?.code === 'ALREADY_ON_IT') return null;
      return {
        id,
        kind: 'switched',
        title: 'Your computer was updated',
        body: 'If something does not work any more, you can go back.',
        actions: ['rollback'],
      };
    case 'TRYING':
      return { id, kind: 'switched', title: 'Your computer tries an update', body: words, actions: ['rollback'] };
    case 'ROLLED_BACK':
      return isNews ? { id, kind: 'put-back', title: 'An update did not work', body: words, actions: [] } : null;
    case 'ROLLBACK_FAILED':
      return { id, kind: 'problem', title: 'Your computer needs its administrator', body: words, actions: [] };
    default:
      return null;
  }
}

function reasonOf({ by, reason }: Urgency): string {
  return `(${by}: ${reason})`;
}

/** What the words are made of, without how they say a time today: the same notice is shown once. */
function factsOf({ detail }: AgentJournal): string {
  const wait = detail?.wait;
  return wait === undefined ? '' : [...wait.codes, wait.startsAt, wait.latestAt, ...wait.programs].join();
}
