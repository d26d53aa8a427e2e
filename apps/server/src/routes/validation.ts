import type { Context } from 'hono';
import { foreign, prose, valueText } from '@floe/protocol';
import { utcSeconds } from '@floe/views';
import * as v from 'valibot';
import { refuse } from '../http-error.ts';

/** An administrator's reason, kept in the audit log. */
export const ReasonText = v.pipe(prose(500), v.trim(), v.minLength(1, 'give a reason'));
export const Reason = foreign(v.strictObject({ reason: ReasonText }));

/** The beginning of a commit's id. */
export const ShaPrefix = v.pipe(v.string(), v.regex(/^[0-9a-f]{7,40}$/, 'give at least 7 digits of the commit'));

/** A whole number, as an address has it. */
export function numberText(least: number, most: number) {
  const problem = ({ input }: { readonly input: unknown }): string => `${valueText(input)} is not a whole number from ${least} to ${most}`;
  const digits = v.pipe(v.string(), v.regex(/^\d{1,16}$/, problem));
  return v.pipe(digits, v.transform(Number), v.minValue(least, problem), v.maxValue(most, problem));
}

/** An order that has ended before it began; undefined: it has not. */
export function refuseIfPast(c: Context, until: number | undefined, now: number) {
  if (until === undefined || until > now) return undefined;
  return refuse(c, 400, 'UNTIL_PAST', `the end ${utcSeconds(until)} is in the past: it is ${utcSeconds(now)} here`);
}
