import type { Env } from '@floe/runtime';
import { DE } from './de.ts';
import { EN, type Words } from './en.ts';

/** By the first part of a locale's name. */
export const LANGUAGES: Readonly<Record<string, Words>> = { en: EN, de: DE };

/** How somebody reads. */
export interface Language {
  readonly words: Words;
  /** BCP 47, of times: the language of the words, with the customs of the reader's country. */
  readonly formats: string;
}

/** British customs are those of most countries: the day before the month, and 24 hours. */
export const ENGLISH: Language = { words: EN, formats: 'en-GB' };

/** `de_DE.UTF-8@euro` and the like; C and POSIX have no part that counts. */
const LOCALE = /^(?<language>[a-z]{2,3})(?:[_-](?<country>[A-Z]{2}))?(?:[.@].*)?$/;

/**
 * The language of an environment, by the rules of gettext: LANGUAGE is a list that counts unless the locale is C; LC_ALL comes before
 * LC_MESSAGES and LC_TIME, those before LANG. English where there is no translation.
 */
export function languageOf(env: Env): Language {
  const messages = localeOf(env, 'LC_MESSAGES');
  const wanted = messages === undefined ? [] : [...(env['LANGUAGE'] ?? '').split(':'), messages];
  const known = wanted.map((each) => LOCALE.exec(each)?.groups?.['language'] ?? '').find((each) => Object.hasOwn(LANGUAGES, each));
  if (known === undefined) return ENGLISH;
  const country = LOCALE.exec(localeOf(env, 'LC_TIME') ?? '')?.groups?.['country'];
  const formats = country === undefined ? (known === 'en' ? ENGLISH.formats : known) : `${known}-${country}`;
  return { words: LANGUAGES[known] ?? EN, formats };
}

/** Undefined for C and POSIX, and where nothing is set. */
function localeOf(env: Env, category: 'LC_MESSAGES' | 'LC_TIME'): string | undefined {
  const name = [env['LC_ALL'], env[category], env['LANG']].find((each) => each !== undefined && each !== '');
  return name === undefined || /^(?:C|POSIX)(?:\.|$)/.test(name) ? undefined : name;
}

/** `template` with its `{names}` filled in. What is filled in is not read again. */
export function fill(template: string, values: Readonly<Record<string, string>>): string {
  return template.replaceAll(/\{(\w+)\}/g, (whole, name: string) => values[name] ?? whole);
}
