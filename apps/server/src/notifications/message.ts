import { createHash } from 'node:crypto';
import type { NotificationEvent } from '@floe/model';
import type { Message } from '@floe/notify';
import { notificationWords, summaryWords } from '@floe/views';

/** The message about these events: a summary when there are several. The same events make a message of the same id. */
export function messageOf(events: readonly NotificationEvent[], publicUrl: string, now: number): Message {
  const keys = events.map(({ key }) => key);
  const [only] = events;
  if (only === undefined || events.length > 1) {
    const id = `summary:${createHash('sha256').update(keys.join('\n')).digest('hex').slice(0, 32)}`;
    return { id, kind: 'summary', at: now, ...summaryWords(events), url: `${publicUrl}/`, events: keys };
  }
  const { key, kind, since, commit, host } = only;
  const page = commit === undefined ? (host === undefined ? '' : `#/hosts/${host}`) : `#/revisions/${commit}`;
  return { id: key, kind, at: since, ...notificationWords(only), url: `${publicUrl}/${page}`, commit, host, events: keys };
}
