import { oneLine } from '@floe/model';

/** The longest description that GitHub accepts, in characters. */
const MAX_DESCRIPTION_LENGTH = 140;

/** One line of at most `maxLength` characters; a cut is marked by `…`. Surrogate pairs stay whole. */
export function fitDescription(text: string, maxLength = MAX_DESCRIPTION_LENGTH): string {
  const characters = [...oneLine(text)];
  if (characters.length <= maxLength) return characters.join('');
  return `${characters
    .slice(0, maxLength - 1)
    .join('')
    .trimEnd()}…`;
}
