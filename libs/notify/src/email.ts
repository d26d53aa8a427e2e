import { createHash } from 'node:crypto';
import { describeError, isAbort, reveal } from '@floe/runtime';
import { createTransport } from 'nodemailer';
import type { Message, SendOutcome } from './message.ts';
import type { TargetAddress } from './target.ts';

const MAX_SUBJECT_CHARACTERS = 150;

/** Headers are ours but for the subject, which is one line; a repeat has the same Message-ID, by which mail programs drop it. */
export function emailOf({ id, title, lines, url }: Pick<Message, 'id' | 'title' | 'lines' | 'url'>, from: string) {
  const domain = /@([A-Za-z0-9.-]+)>?\s*$/.exec(from)?.[1] ?? 'floe.invalid';
  return {
    subject: `[floe] ${title}`.slice(0, MAX_SUBJECT_CHARACTERS).toWellFormed(),
    text: [title, '', ...lines, '', url, ''].join('\n'),
    messageId: `<${createHash('sha256').update(id).digest('hex').slice(0, 32)}@${domain}>`,
    // Out of office replies to it help nobody (RFC 3834).
    headers: { 'Auto-Submitted': 'auto-generated' },
  };
}

export async function sendEmail(
  { host, port, security, from, to, login }: Extract<TargetAddress, { kind: 'email' }>,
  message: Message,
  { signal }: { readonly signal: AbortSignal },
): Promise<SendOutcome> {
  const transport = createTransport({
    host,
    port,
    secure: security === 'tls',
    // Without it a server, or somebody in between, could have the password sent in clear by not offering TLS.
    requireTLS: security === 'starttls',
    ignoreTLS: security === 'none',
    ...(login === undefined ? {} : { auth: { user: login.user, pass: await reveal(login.password) } }),
    disableFileAccess: true,
    disableUrlAccess: true,
  });
  try {
    const sent = await transport.sendMail({ ...emailOf(message, from), from, to: [...to], signal });
    const { rejected } = sent;
    if (rejected.length > 0) return { kind: 'failed', reason: `did not take the message for ${rejected.map(String).join(', ')}` };
    return { kind: 'sent', answer: sent.response };
  } catch (error) {
    if (isAbort(error) || signal.aborted) return { kind: 'failed', reason: 'did not answer in time' };
    return { kind: 'failed', reason: `did not take the message: ${describeError(error)}` };
  } finally {
    transport.close();
  }
}
