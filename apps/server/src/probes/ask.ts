import { printableLine, type ProbeResult } from '@floe/model';
import { hideSecrets } from '@floe/notify';
import { describeError, reveal } from '@floe/runtime';
import type { ProbeAddress, ProbeQuestion } from './probe-address.ts';
import { askPrometheus } from './ask-prometheus.ts';
import { askWebhook } from './ask-webhook.ts';

/** One question, however the other side behaves. */
export const ASK_LIMIT_MS = 10_000;
const MAX_DETAIL_CHARACTERS = 500;

/** Asks once. Resolves within {@link ASK_LIMIT_MS}, also when `signal` aborts, and never throws. */
export async function ask(
  probe: ProbeAddress,
  question: ProbeQuestion,
  { now, signal }: { readonly now: number; readonly signal: AbortSignal },
): Promise<ProbeResult> {
  const limit = AbortSignal.any([signal, AbortSignal.timeout(ASK_LIMIT_MS)]);
  try {
    const result =
      probe.kind === 'webhook' ? await askWebhook(probe, question, { now, signal: limit }) : await askPrometheus(probe, { signal: limit });
    const secrets = await secretsOf(probe);
    return { ...result, detail: endOf(hideSecrets(result.detail, secrets)) };
  } catch (error) {
    // A secret that cannot be read: its message names the setting.
    return { verdict: 'unknown', value: undefined, max: undefined, min: undefined, detail: endOf(describeError(error)) };
  }
}

async function secretsOf(probe: ProbeAddress): Promise<readonly string[]> {
  if (probe.kind === 'webhook') return [await reveal(probe.secret)];
  if (probe.login === undefined) return [];
  const password = await reveal(probe.login.password);
  return [password, `${probe.login.user}:${password}`];
}

/** In one line, without what could steer a terminal or a page. The end of an answer says most. */
function endOf(text: string): string {
  const line = printableLine(text.length <= 4 * MAX_DETAIL_CHARACTERS ? text : text.slice(-4 * MAX_DETAIL_CHARACTERS)).trim();
  return line.length <= MAX_DETAIL_CHARACTERS ? line : `…${line.slice(1 - MAX_DETAIL_CHARACTERS).replace(/^[\uDC00-\uDFFF]/, '')}`;
}
