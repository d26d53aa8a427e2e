import { TOKEN_FORM, type InputAccess } from '@floe/nix';
import * as v from 'valibot';
import type { SecretSettingsReader } from './repository-config.ts';
import { Path, readSettingsFile } from './settings-file.ts';

const MAX_HOSTS = 50;
/** The login that GitHub, GitLab and Forgejo accept with a token as its password. */
const ANY_USER = 'x-access-token';

const Host = v.pipe(
  v.string(),
  v.maxLength(253),
  v.regex(
    /^[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?(?::(?!443$)[1-9]\d{0,4})?$/,
    'a git host as in a URL, in lower case, such as git.example.org, or git.example.org:8443 where https has another port than 443',
  ),
);
const Input = v.strictObject({
  tokenFile: Path,
  user: v.optional(v.pipe(v.string(), v.regex(/^[\w.@+-]{1,200}$/, 'a login of letters, digits, or . _ @ + -')), ANY_USER),
});
const File = v.strictObject({ inputs: v.pipe(v.record(Host, Input), v.maxEntries(MAX_HOSTS, `at most ${MAX_HOSTS} hosts`)) });

type Reader = Pick<SecretSettingsReader, 'problem' | 'secretSource'>;

/** How private inputs are fetched, from the file of `setting`. Every problem goes to `read.problem`. */
export function parseInputs(setting: string, text: string, read: Reader): readonly InputAccess[] {
  const inputs = readSettingsFile(setting, text, File, read)?.inputs ?? {};
  return Object.entries(inputs).map(([host, { tokenFile, user }]) => ({
    host,
    user,
    token: read.secretSource(`${setting}: inputs.${host}.tokenFile`, tokenFile, isToken),
  }));
}

function isToken(text: string): string | undefined {
  return TOKEN_FORM.test(text) ? undefined : 'holds no token: one line of letters, digits, or . _ ~ + / = : -';
}
