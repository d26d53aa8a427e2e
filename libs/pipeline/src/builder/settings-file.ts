import { shortened } from '@floe/runtime';
import * as v from 'valibot';
import type { SettingsReader } from './settings-reader.ts';

// What settings files of JSON have in common: they hold addresses, and name the files of their secrets.

export const Path = v.pipe(v.string(), v.maxLength(1000), v.startsWith('/', 'an absolute path'));

/** No login in it: that would be shown. */
export const Address = v.pipe(
  v.string(),
  v.maxLength(2048),
  v.check((text) => isHttpUrl(text), 'an http:// or https:// URL without a user name and password'),
);

function isHttpUrl(text: string): boolean {
  if (!/^https?:\/\//i.test(text) || /\s/.test(text) || !URL.canParse(text)) return false;
  const { username, password } = new URL(text);
  return username === '' && password === '';
}

/** What the file of `setting` says. Every problem goes to `read.problem`; with one it is undefined. */
export function readSettingsFile<Schema extends v.GenericSchema>(
  setting: string,
  text: string,
  schema: Schema,
  read: Pick<SettingsReader, 'problem'>,
): v.InferOutput<Schema> | undefined {
  const parsed = v.safeParse(v.pipe(v.string(), v.parseJson(undefined, 'not JSON'), schema), text);
  if (parsed.success) return parsed.output;
  for (const issue of parsed.issues) {
    const path = (issue.path ?? []).map(({ key }) => String(key)).join('.');
    read.problem(`${setting}: ${path === '' ? '' : `${shortened(path)}: `}${issue.message}`);
  }
  return undefined;
}
