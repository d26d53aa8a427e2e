import { urgencyOf, type AgentJournal } from '@floe/model';
import type { Notice } from './protocol.ts';

/** How long a result is shown, in ms. */
const NEWS_MS = 3600_000;

const ASKED = 'Your administrator asks for this update now';

/** What users of the machine should know now; null: nothing. Pure. */
export function noticeOf(journal: AgentJournal, now: number): Notice | null {
  const { state, detail, directive, since } = journal;
  const because = detail?.message ?? '';
  const id = `${state}:${directive?.epoch ?? 0}:${detail?.code ?? ''}:${because}`.slice(0, 200);
  const isNews = Math.abs(now - since) < NEWS_MS;
  const urgent = urgencyOf(journal, now);
  switch (state) {
    case 'DEFERRED':
      if (urgent !== undefined) return { id, kind: 'waiting', title: ASKED, body: because, actions: ['now'] };
      return { id, kind: 'waiting', title: 'A new system is ready', body: because, actions: ['later', 'now'] };
    case 'BOOT_STAGED':
      if (detail?.code === 'STAGING' || detail?.code === 'AWAITS_RESTART') return null;
      return { id, kind: 'restart-needed', title: 'A new system starts with the next restart', body: because, actions: ['later', 'now'] };
    case 'PRECHECK':
    case 'ACTIVATING':
    case 'VERIFYING':
      if (urgent === undefined) return null;
      return {
        id: `asked:${directive?.epoch ?? 0}`,
        kind: 'waiting',
        title: ASKED,
        body: `It begins (${urgent.by}: ${urgent.reason}).`,
        actions: [],
      };
    case 'SUCCEEDED':
      if (!isNews || detail?.code === 'ALREADY_ON_IT') return null;
      return {
        id,
        kind: 'switched',
        title: 'This machine runs a new system',
        body: because || 'All checks passed.',
        actions: ['rollback'],
      };
    case 'TRYING':
      return { id, kind: 'switched', title: 'This machine tries a new system', body: because || 'It goes back by itself.', actions: ['rollback'] };
    case 'ROLLED_BACK':
      return isNews ? { id, kind: 'put-back', title: 'A new system failed and was rolled back', body: because, actions: [] } : null;
    case 'ROLLBACK_FAILED':
      return { id, kind: 'problem', title: 'This machine needs its administrator', body: because, actions: [] };
    default:
      return null;
  }
}
