import { createHash } from 'node:crypto';
import { reveal } from '@floe/runtime';
import { escapeHtml, withoutMentions } from './chat-text.ts';
import { deliver } from './http.ts';
import type { Message, SendOutcome } from './message.ts';
import type { TargetAddress } from './target.ts';

/** The content of the room's event: a notice, which mentions nobody. */
export function matrixContent({ title, lines, url }: Pick<Message, 'title' | 'lines' | 'url'>) {
  const text = withoutMentions(lines.join('\n'));
  const html = text.trim() === '' ? '' : `<pre><code>${escapeHtml(text)}</code></pre>`;
  return {
    msgtype: 'm.notice',
    body: [withoutMentions(title), ...(text.trim() === '' ? [] : [text]), url].join('\n'),
    format: 'org.matrix.custom.html',
    formatted_body: `<strong>${escapeHtml(withoutMentions(title))}</strong>${html}<p><a href="${escapeHtml(encodeURI(url))}">${escapeHtml(url)}</a></p>`,
    'm.mentions': {},
  };
}

/** The transaction id is the message's, so that the homeserver itself drops a repeat. */
export async function sendMatrix(
  { homeserver, room, token }: Extract<TargetAddress, { kind: 'matrix' }>,
  message: Message,
  { signal }: { readonly signal: AbortSignal },
): Promise<SendOutcome> {
  const transaction = createHash('sha256').update(message.id).digest('hex');
  const url = `${homeserver}/_matrix/client/v3/rooms/${encodeURIComponent(room)}/send/m.room.message/${transaction}`;
  const headers = { authorization: `Bearer ${await reveal(token)}` };
  return await deliver({ method: 'PUT', url, headers, body: JSON.stringify(matrixContent(message)) }, signal);
}
