import { reveal } from '@floe/runtime';
import { withoutMentions } from './chat-text.ts';
import { deliver } from './http.ts';
import type { Message, SendOutcome } from './message.ts';
import type { TargetAddress } from './target.ts';

/** What Slack asks for: with these no `<!channel>`, `<@user>` or `<link|text>` is left. */
function escape(text: string): string {
  return withoutMentions(text).replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}

/**
 * Untrusted lines are a block of code: in it neither Slack nor those that read Markdown in its place (Mattermost, Discord) make
 * links or mentions. No text can end it.
 */
export function slackText({ title, lines, url }: Pick<Message, 'title' | 'lines' | 'url'>): string {
  const heading = escape(title).replaceAll(/[`[\]]/g, '\u02cb');
  const body = escape(lines.join('\n')).replaceAll('`', '\u02cb');
  return [`*${heading}*`, ...(body.trim() === '' ? [] : [`\`\`\`\n${body}\n\`\`\``]), `<${encodeURI(url)}>`].join('\n');
}

export async function sendSlack(
  { url }: Extract<TargetAddress, { kind: 'slack' }>,
  message: Message,
  { signal }: { readonly signal: AbortSignal },
): Promise<SendOutcome> {
  const body = JSON.stringify({ text: slackText(message), link_names: false, unfurl_links: false, unfurl_media: false });
  return await deliver({ method: 'POST', url: await reveal(url), headers: {}, body }, signal);
}
