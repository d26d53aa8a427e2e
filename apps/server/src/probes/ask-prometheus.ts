import type { ProbeResult, ProbeVerdict } from '@floe/model';
import { reveal } from '@floe/runtime';
import * as v from 'valibot';
import { askJson } from './ask-json.ts';
import type { ProbeAddress } from './probe-address.ts';

// The HTTP API of Prometheus, an instant query: https://prometheus.io/docs/prometheus/latest/querying/api/

const Sample = v.tuple([v.number(), v.pipe(v.string(), v.maxLength(64))]);
const Series = v.object({ metric: v.looseObject({}), value: v.optional(Sample) });
const Answer = v.variant('status', [
  v.object({
    status: v.literal('success'),
    data: v.variant('resultType', [
      v.object({ resultType: v.literal('vector'), result: v.array(Series) }),
      v.object({ resultType: v.literal('scalar'), result: Sample }),
    ]),
  }),
  v.object({ status: v.literal('error'), errorType: v.optional(v.string(), ''), error: v.optional(v.string(), '') }),
]);

/** A number as Go writes it. */
const NUMBER = /^[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:e[+-]?\d+)?$/i;

interface Measured {
  readonly text: string;
  /** Of a vector: `shop="eu"`. */
  readonly labels: string;
}

type Prometheus = Extract<ProbeAddress, { kind: 'prometheus' }>;

export async function askPrometheus(probe: Prometheus, { signal }: { readonly signal: AbortSignal }): Promise<ProbeResult> {
  const { url, query, login, max, min } = probe;
  const nothing = { verdict: 'unknown', value: undefined, max, min } as const;
  const basic = login === undefined ? undefined : Buffer.from(`${login.user}:${await reveal(login.password)}`).toString('base64');
  const headers = basic === undefined ? {} : { authorization: `Basic ${basic}` };
  const answer = await askJson(`${url}/api/v1/query?${new URLSearchParams({ query }).toString()}`, { method: 'GET', headers, signal });
  if (answer.kind === 'none') return { ...nothing, detail: answer.reason };
  const { status } = answer;
  const read = v.safeParse(Answer, answer.value);
  if (!read.success)
    return { ...nothing, detail: `answered HTTP ${status}, which is no vector and no number of Prometheus: ${JSON.stringify(answer.value)}` };
  if (read.output.status === 'error' || status !== 200) {
    const why = read.output.status === 'error' ? `: ${read.output.errorType}: ${read.output.error}` : '';
    return { ...nothing, detail: `answered HTTP ${status}${why}` };
  }
  const { data } = read.output;
  if (data.resultType === 'scalar') return judge([{ text: data.result[1], labels: '' }], probe);
  if (data.result.length === 0) return { ...nothing, detail: 'the query has no result: a series that may be missing needs "or vector(0)"' };
  return judge(
    data.result.map(({ metric, value }) => ({ text: value?.[1] ?? 'a histogram', labels: labelsOf(metric) })),
    probe,
  );
}

function labelsOf(metric: object): string {
  return Object.entries(metric)
    .map(([name, value]) => `${name}=${JSON.stringify(value)}`)
    .join(', ');
}

/** The worst value decides: one series that is not within the bounds is enough. */
function judge(measured: readonly Measured[], { max, min }: Prometheus): ProbeResult {
  const ORDER: readonly ProbeVerdict[] = ['bad', 'unknown', 'good'];
  const judged = measured.map((each) => ({ ...each, verdict: judgeValue(each.text, { max, min }) }));
  const worst = ORDER.flatMap((verdict) => judged.filter((each) => each.verdict === verdict))[0];
  if (worst === undefined) return { verdict: 'unknown', value: undefined, max, min, detail: '' };
  const { verdict, text, labels } = worst;
  if (verdict === 'unknown')
    return { verdict, value: undefined, max, min, detail: `${text} is not a number to compare${labels === '' ? '' : ` (${labels})`}` };
  return { verdict, value: text, max, min, detail: labels };
}

/** NaN is a division by nothing: nothing is known of what it counts. */
export function judgeValue(text: string, { max, min }: Pick<Prometheus, 'max' | 'min'>): ProbeVerdict {
  const value = numberOf(text);
  if (value === undefined) return 'unknown';
  return (max !== undefined && value > max) || (min !== undefined && value < min) ? 'bad' : 'good';
}

function numberOf(text: string): number | undefined {
  if (text === '+Inf' || text === 'Inf') return Number.POSITIVE_INFINITY;
  if (text === '-Inf') return Number.NEGATIVE_INFINITY;
  return NUMBER.test(text) ? Number(text) : undefined;
}
