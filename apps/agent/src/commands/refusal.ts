import { isFloeError } from '@floe/runtime';
import { textFor } from '../text/people.ts';
import type { Words } from '../text/words/en.ts';
import { fill } from '../text/words/languages.ts';

/** Why a request was not carried out, for people; undefined: there are no words for that. */
export function refusalInWords(error: unknown, { refused }: Words): string | undefined {
  if (!isFloeError(error)) return undefined;
  const { group } = error.data;
  if (error.code === 'NOT_ALLOWED' && typeof group === 'string') return fill(refused.NOT_IN_GROUP, { group });
  return textFor(refused, error.code);
}
