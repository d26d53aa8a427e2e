import { createHmac } from 'node:crypto';
import { reveal } from '@floe/runtime';
import { deliver } from './http.ts';
import type { Message, SendOutcome } from './message.ts';
import type { TargetAddress } from './target.ts';

const PREFIX = 'whsec_';

/**
 * The signature of the Standard Webhooks specification (standardwebhooks.com), for which most languages have a library: HMAC-SHA256 of
 * `id.timestamp.body`. The timestamp, in seconds, is signed: receivers refuse an old one, and with it a recorded request.
 */
export function signWebhook(
  secret: string,
  { id, timestamp, body }: { readonly id: string; readonly timestamp: number; readonly body: string },
): string {
  const key = secret.startsWith(PREFIX) ? Buffer.from(secret.slice(PREFIX.length), 'base64') : Buffer.from(secret);
  return `v1,${createHmac('sha256', key).update(`${id}.${timestamp}.${body}`).digest('base64')}`;
}

/** The body of a webhook. */
export function webhookBody({ id, kind, at, title, lines, url, commit, host, events }: Message): string {
  const facts = { commit: commit ?? null, host: host ?? null, events };
  return JSON.stringify({ id, kind, at, title, text: lines.join('\n'), url, ...facts });
}

export async function sendWebhook(
  { url, secret }: Extract<TargetAddress, { kind: 'webhook' }>,
  message: Message,
  { now, signal }: { readonly now: number; readonly signal: AbortSignal },
): Promise<SendOutcome> {
  const body = webhookBody(message);
  const timestamp = Math.floor(now / 1000);
  const signature = signWebhook(await reveal(secret), { id: message.id, timestamp, body });
  const headers = { 'webhook-id': message.id, 'webhook-timestamp': `${timestamp}`, 'webhook-signature': signature };
  return await deliver({ method: 'POST', url, headers, body }, signal);
}
