import type { ProbeResult } from '@floe/model';

type Answer = Pick<ProbeResult, 'verdict' | 'value' | 'max' | 'min' | 'detail'> & { readonly name: string };

/** "probe errors: 0.031 is above 0.01", "probe shop says no: checkout fails", "probe errors gives no answer: did not answer in time" */
export function probeAnswerWords({ name, verdict, value, max, min, detail }: Answer): string {
  const why = detail === '' ? '' : `: ${detail}`;
  if (verdict === 'unknown') return `probe ${name} gives no answer${why}`;
  if (verdict === 'good') return `probe ${name} says yes${value === undefined ? why : `: ${value}`}`;
  if (value === undefined) return `probe ${name} says no${why}`;
  return `probe ${name}: ${value} is not ${boundWords({ max, min })}${detail === '' ? '' : ` (${detail})`}`;
}

/** "at most 0.01" */
export function boundWords({ max, min }: Pick<Answer, 'max' | 'min'>): string {
  const bounds = [...(min === undefined ? [] : [`at least ${min}`]), ...(max === undefined ? [] : [`at most ${max}`])];
  return bounds.length === 0 ? 'good' : bounds.join(' and ');
}

/** What a probe last said: it has not answered yet where `answer` is undefined. */
export function probeWords(name: string, answer: Omit<Answer, 'name'> | undefined): string {
  return answer === undefined ? `probe ${name}` : probeAnswerWords({ ...answer, name });
}
