import { KNOWN_HOST_FORM, keyProblem, TOKEN_FORM, type InputAccess } from '@floe/nix';
import * as v from 'valibot';
import type { SettingsReader } from './settings-reader.ts';
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
const KnownHost = v.pipe(v.string(), v.maxLength(8_000), v.regex(KNOWN_HOST_FORM, 'a line of known_hosts, as ssh-keyscan prints it'));
const Input = v.strictObject({
  tokenFile: v.optional(Path),
  user: v.optional(v.pipe(v.string(), v.regex(/^[\w.@+-]{1,200}$/, 'a login of letters, digits, or . _ @ + -')), ANY_USER),
  sshKeyFile: v.optional(Path),
  knownHosts: v.optional(v.pipe(v.array(KnownHost), v.maxLength(100)), []),
});
type Input = v.InferOutput<typeof Input>;
const File = v.strictObject({ inputs: v.pipe(v.record(Host, Input), v.maxEntries(MAX_HOSTS, `at most ${MAX_HOSTS} hosts`)) });

type Reader = Pick<SettingsReader, 'problem' | 'secretSource'>;

/** How private inputs are fetched, from the file of `setting`. Every problem goes to `read.problem`. */
export function parseInputs(setting: string, text: string, read: Reader): readonly InputAccess[] {
  const inputs = readSettingsFile(setting, text, File, read)?.inputs ?? {};
  return Object.entries(inputs).map(([host, input]) => accessOf(`${setting}: inputs.${host}`, host, input, read));
}

function accessOf(place: string, host: string, { tokenFile, user, sshKeyFile, knownHosts }: Input, read: Reader): InputAccess {
  const token = tokenFile === undefined ? undefined : read.secretSource(`${place}.tokenFile`, tokenFile, tokenProblem);
  const key = sshKeyFile === undefined ? undefined : read.secretSource(`${place}.sshKeyFile`, sshKeyFile, keyProblem);
  if (tokenFile === undefined && sshKeyFile === undefined) read.problem(`${place}: set tokenFile, or sshKeyFile and knownHosts`);
  if ((sshKeyFile === undefined) !== (knownHosts.length === 0)) {
    const [name = ''] = host.split(':');
    read.problem(
      `${place}: set sshKeyFile and knownHosts, or neither: "ssh-keyscan ${name}" prints its lines, to be compared with what the host publishes`,
    );
  }
  return { host, user, token, ssh: key === undefined ? undefined : { key, knownHosts } };
}

function tokenProblem(text: string): string | undefined {
  return TOKEN_FORM.test(text) ? undefined : 'holds no token: one line of letters, digits, or . _ ~ + / = : -';
}
