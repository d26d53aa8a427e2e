import type { ProbeResult } from '@floe/model';
import { signWebhook } from '@floe/notify';
import { reveal } from '@floe/runtime';
import * as v from 'valibot';
import { askJson } from './ask-json.ts';
import type { ProbeAddress, ProbeQuestion } from './probe-address.ts';

/** Other keys are the receiver's own. */
const Answer = v.object({ verdict: v.picklist(['good', 'bad']), detail: v.optional(v.string(), '') });

export async function askWebhook(
  { url, secret }: Extract<ProbeAddress, { kind: 'webhook' }>,
  { id, probe, about }: ProbeQuestion,
  { now, signal }: { readonly now: number; readonly signal: AbortSignal },
): Promise<ProbeResult> {
  const { commit, ring, hosts } = about ?? { commit: null, ring: null, hosts: null };
  const body = JSON.stringify({ id, kind: about === undefined ? 'probe-test' : 'probe', at: now, probe, commit, ring, hosts });
  const timestamp = Math.floor(now / 1000);
  const signature = signWebhook(await reveal(secret), { id, timestamp, body });
  const headers = { 'content-type': 'application/json', 'webhook-id': id, 'webhook-timestamp': `${timestamp}`, 'webhook-signature': signature };
  const answer = await askJson(url, { method: 'POST', headers, body, signal });
  const nothing = { value: undefined, max: undefined, min: undefined };
  if (answer.kind === 'none') return { ...nothing, verdict: 'unknown', detail: answer.reason };
  const said = v.safeParse(Answer, answer.value);
  const isAnswer = answer.status >= 200 && answer.status < 300 && said.success;
  if (isAnswer) return { ...nothing, verdict: said.output.verdict, detail: said.output.detail };
  const what = answer.status >= 200 && answer.status < 300 ? ', which is not { "verdict": "good" } or { "verdict": "bad" }' : '';
  return { ...nothing, verdict: 'unknown', detail: `answered HTTP ${answer.status}${what}: ${JSON.stringify(answer.value)}` };
}
