import { describeError, reveal } from '@floe/runtime';
import { sendEmail } from './email.ts';
import { hideSecrets } from './hide-secrets.ts';
import { sendMatrix } from './matrix.ts';
import { prepare, type Message, type SendOutcome } from './message.ts';
import { sendSlack } from './slack.ts';
import type { TargetAddress } from './target.ts';
import { sendWebhook } from './webhook.ts';

/** One try, however the other side behaves. Shorter than the lease of a target, and than `floe` waits for an answer. */
export const SEND_LIMIT_MS = 20_000;
const MAX_REASON_CHARACTERS = 500;

/** Sends one message. Resolves within {@link SEND_LIMIT_MS}, also when `signal` aborts, and never throws. */
export async function send(
  target: TargetAddress,
  message: Message,
  { now, signal }: { readonly now: number; readonly signal: AbortSignal },
): Promise<SendOutcome> {
  const limit = AbortSignal.any([signal, AbortSignal.timeout(SEND_LIMIT_MS)]);
  try {
    const outcome = await sendTo(target, prepare(message), { now, signal: limit });
    const secrets = await secretsOf(target);
    return outcome.kind === 'sent' ? { ...outcome, answer: shown(outcome.answer, secrets) } : { ...outcome, reason: shown(outcome.reason, secrets) };
  } catch (error) {
    // A secret that cannot be read: its message names the setting.
    return { kind: 'failed', reason: shown(describeError(error), []) };
  }
}

async function sendTo(target: TargetAddress, message: Message, how: { readonly now: number; readonly signal: AbortSignal }): Promise<SendOutcome> {
  switch (target.kind) {
    case 'webhook':
      return await sendWebhook(target, message, how);
    case 'slack':
      return await sendSlack(target, message, how);
    case 'matrix':
      return await sendMatrix(target, message, how);
    case 'email':
      return await sendEmail(target, message, how);
  }
}

async function secretsOf(target: TargetAddress): Promise<readonly string[]> {
  switch (target.kind) {
    case 'webhook':
      return [await reveal(target.secret)];
    case 'slack':
      return [await reveal(target.url)];
    case 'matrix':
      return [await reveal(target.token)];
    case 'email': {
      if (target.login === undefined) return [];
      const password = await reveal(target.login.password);
      // As SMTP's AUTH PLAIN encodes it.
      return [password, `\0${target.login.user}\0${password}`];
    }
  }
}

function shown(text: string, secrets: readonly string[]): string {
  const hidden = hideSecrets(text, secrets);
  return hidden.length <= MAX_REASON_CHARACTERS ? hidden : `${hidden.slice(0, MAX_REASON_CHARACTERS - 1).replace(/[\uD800-\uDBFF]$/, '')}…`;
}
