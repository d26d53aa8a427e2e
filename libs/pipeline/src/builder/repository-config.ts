import { DEFAULT_REPOSITORY_LIMITS, parseBranchName, parseRepositoryUrl, type RepositoryLimits, type SshLogin } from '@floe/git';
import { HOSTS_ATTRIBUTE_FORM, HOSTS_FILE_FORM, keyProblem } from '@floe/nix';
import { ignores, IGNORE_RULE, parseIgnored, parseSshAddress } from '@floe/model';
import { describeError, withoutTrailingSlashes, type SecretSource } from '@floe/runtime';
import * as v from 'valibot';
import type { EvaluateSource } from '../evaluation/evaluate-source.ts';
import type { SettingsReader } from './settings-reader.ts';

/** The settings about the fleet's repository. */
export interface RepositoryConfig {
  readonly url: string;
  /** Undefined: the one that the server's HEAD names when it is looked at first. */
  readonly branch: string | undefined;
  /** The folder of its flake; undefined: the root. */
  readonly directory: string | undefined;
  readonly token: SecretSource | undefined;
  /** For an SSH address; undefined: it is none, or another program fetches. */
  readonly ssh: SshLogin | undefined;
  readonly limits: RepositoryLimits;
  /** How long its server may be silent. */
  readonly silenceMs: number;
  /** How many branches `testing/<host>` are followed; 0: none. */
  readonly testingBranches: number;
  /** Commits are evaluated with the files of their submodules. */
  readonly hasSubmodules: boolean;
  /** What of a commit is evaluated. */
  readonly source: EvaluateSource;
  /** A host is not evaluated where a commit changes nothing that its last evaluation looked at. */
  readonly skips: boolean;
}

/** The limits of HTTP servers for a URL, and of file systems for a ref's name. */
const MAX_URL_CHARACTERS = 2048;
const MAX_BRANCH_CHARACTERS = 200;
const MIB = 1024 ** 2;

const TestingBranches = v.pipe(v.string(), v.regex(/^\d{1,3}$/), v.transform(Number), v.maxValue(100));

function noteProblem(read: SettingsReader, name: string, parse: () => void): void {
  try {
    parse();
  } catch (error) {
    read.problem(`${name}: ${describeError(error)}`);
  }
}

/** Each part of the path is a plain name: it becomes part of a URL for Nix, and must stay inside the repository. */
const Directory = v.pipe(
  v.string(),
  v.maxLength(500),
  v.transform((text) => withoutTrailingSlashes(text.replace(/^\.\//, ''))),
  v.check(
    (path) =>
      path === '.' ||
      path.split('/').every((part) => /^[\w.+-]+$/.test(part) && part !== '.' && part !== '..' && !part.startsWith('-') && part !== '.git'),
  ),
);

/** What a path may have that is part of an option of ssh, which gives some characters a meaning. */
const PlainFile = v.pipe(v.string(), v.maxLength(1000), v.regex(/^\/[^\s%"'\\$]+$/));
const LOGIN = ['FLOE_REPOSITORY_SSH_KEY_FILE', 'FLOE_REPOSITORY_KNOWN_HOSTS_FILE'] as const;

/** `searchPath`: where ssh is. */
function parseSshLogin(read: SettingsReader, searchPath: string | undefined): SshLogin | undefined {
  const what = 'the absolute path of a file, without spaces';
  const [keyFile, knownHostsFile] = LOGIN.map((name) => read.checked<string | undefined>(name, PlainFile, undefined, what));
  // ssh reads both for each fetch; here, so that a mistake is reported at the start.
  if (keyFile !== undefined) read.secretSource('FLOE_REPOSITORY_SSH_KEY_FILE', undefined, keyProblem);
  if (knownHostsFile !== undefined) read.readText('FLOE_REPOSITORY_KNOWN_HOSTS_FILE', knownHostsFile);
  return keyFile === undefined || knownHostsFile === undefined ? undefined : { keyFile, knownHostsFile, searchPath };
}

/** A login for the other kind of address would never be used, and whoever set it would not know; one for SSH has two parts. */
function noteLoginProblems(read: SettingsReader, url: string): void {
  const isSsh = parseSshAddress(withoutTrailingSlashes(url)) !== undefined;
  if (isSsh && read.value('FLOE_REPOSITORY_TOKEN_FILE') !== undefined)
    read.problem('FLOE_REPOSITORY_TOKEN_FILE is not for the SSH address in FLOE_REPOSITORY_URL: leave it out, or set that to the https:// address');
  if (/^https?:/.test(url))
    for (const name of LOGIN)
      if (read.value(name) !== undefined) read.problem(`${name} is for an SSH address: leave it out, or set FLOE_REPOSITORY_URL to one`);
  const [key, hosts] = LOGIN.map((name) => read.value(name) !== undefined);
  if (isSsh && key === true && hosts !== true)
    read.problem(
      'FLOE_REPOSITORY_KNOWN_HOSTS_FILE is missing: set it to a file of known_hosts with the key of the host in FLOE_REPOSITORY_URL: "ssh-keyscan HOST" prints it, to be compared with what the host publishes',
    );
  if (isSsh && hosts === true && key !== true)
    read.problem('FLOE_REPOSITORY_SSH_KEY_FILE is missing: set it to a private key that may read the repository, and nothing else');
}

/** `fetches`: whether this program asks the server of the repository. `searchPath`: as in PATH. */
export function parseRepositoryConfig(
  read: SettingsReader,
  { fetches, searchPath }: { readonly fetches: boolean; readonly searchPath: string | undefined },
): RepositoryConfig {
  const directory = read.checked<string | undefined>(
    'FLOE_REPOSITORY_DIRECTORY',
    Directory,
    undefined,
    'the folder of the repository that has the flake.nix, such as nix/fleet: a relative path of letters, digits, ".", "_", "+" and "-", without ".."',
  );
  const url = read.required('FLOE_REPOSITORY_URL', v.string(), 'the https:// URL of the fleet repository') ?? '';
  const ssh = parseSshLogin(read, searchPath);
  // Of one that is not whole it is said below what is missing.
  const hasSshLogin = !fetches || LOGIN.some((name) => read.value(name) !== undefined);
  const branch = read.value('FLOE_REPOSITORY_BRANCH');
  if (url.length > MAX_URL_CHARACTERS)
    read.problem(`FLOE_REPOSITORY_URL has more than ${MAX_URL_CHARACTERS} characters: set it to the repository's URL`);
  else if (url !== '') noteProblem(read, 'FLOE_REPOSITORY_URL', () => parseRepositoryUrl(url, { hasSshLogin }));
  noteLoginProblems(read, url);
  if (branch !== undefined && branch.length > MAX_BRANCH_CHARACTERS)
    read.problem(`FLOE_REPOSITORY_BRANCH has more than ${MAX_BRANCH_CHARACTERS} characters: set it to a branch`);
  else if (branch !== undefined) noteProblem(read, 'FLOE_REPOSITORY_BRANCH', () => parseBranchName(branch));
  const hasSubmodules = read.checked('FLOE_REPOSITORY_SUBMODULES', v.picklist(['yes', 'no']), 'no', 'yes or no') === 'yes';
  // Nix 2.8 knows no folder of a flake that is given by its files.
  if (hasSubmodules && directory !== undefined && directory !== '.')
    read.problem(
      'FLOE_REPOSITORY_SUBMODULES=yes needs the flake.nix at the root of the repository: leave it out, or move the flake and leave FLOE_REPOSITORY_DIRECTORY out',
    );
  return {
    url,
    branch,
    directory: directory === '.' ? undefined : directory,
    token: read.secretSource('FLOE_REPOSITORY_TOKEN_FILE'),
    ssh,
    limits: {
      downloadBytes: MIB * read.count('FLOE_REPOSITORY_MAX_MIB', DEFAULT_REPOSITORY_LIMITS.downloadBytes / MIB, 'MiB'),
      objectBytes: MIB * read.count('FLOE_REPOSITORY_MAX_FILE_MIB', DEFAULT_REPOSITORY_LIMITS.objectBytes / MIB, 'MiB'),
    },
    testingBranches: read.checked('FLOE_REPOSITORY_TESTING_BRANCHES', TestingBranches, 0, 'how many branches testing/HOST are followed: 0 to 100'),
    hasSubmodules,
    skips: read.checked('FLOE_EVALUATE_SKIP', Skip, 'nothing', 'footprint (or nothing, the default)') === 'footprint',
    source: parseSource(read, directory === '.' ? undefined : directory),
    silenceMs: 1000 * read.count('FLOE_REPOSITORY_SILENCE_SECONDS', 120, 'seconds'),
  };
}

const HostsFile = v.pipe(v.string(), v.maxLength(500), v.regex(HOSTS_FILE_FORM));
const HostsAttribute = v.pipe(v.string(), v.regex(HOSTS_ATTRIBUTE_FORM));
const Skip = v.picklist(['nothing', 'footprint']);
const Source = v.picklist(['commit', 'tree']);

function parseSource(read: SettingsReader, directory: string | undefined): EvaluateSource {
  const kind = read.checked('FLOE_EVALUATE_SOURCE', Source, 'commit', 'commit or tree');
  const ignored = parseIgnored(read.value('FLOE_EVALUATE_IGNORE') ?? '');
  if (ignored === undefined)
    read.problem(`FLOE_EVALUATE_IGNORE is not a list of ${IGNORE_RULE}. Set it to such a list, with commas between, or leave it out`);
  // Nix 2.8 knows no folder of a flake that is given by its files.
  if (kind === 'tree' && directory !== undefined)
    read.problem(
      'FLOE_EVALUATE_SOURCE=tree needs the flake.nix at the root of the repository: leave it out, or move the flake and leave FLOE_REPOSITORY_DIRECTORY out',
    );
  const hostsFile = read.checked<string | undefined>(
    'FLOE_EVALUATE_HOSTS_FILE',
    HostsFile,
    undefined,
    'the file that gives the hosts of a repository that is no flake, such as hosts.nix: a relative path of letters, digits, ".", "_", "+" and "-"',
  );
  const lost = (hostsFile === undefined ? ['flake.nix', 'flake.lock'] : [hostsFile])
    .map((name) => (directory === undefined ? name : `${directory}/${name}`))
    .find((path) => ignores(ignored ?? [], path));
  if (lost !== undefined) read.problem(`FLOE_EVALUATE_IGNORE ignores ${lost}, which every evaluation needs: set it to narrower patterns`);
  const attribute = read.checked<string | undefined>(
    'FLOE_EVALUATE_ATTRIBUTE',
    HostsAttribute,
    undefined,
    'where the flake has its hosts: names with points between, such as colmenaHive.nodes',
  );
  return { kind, ignored: ignored ?? [], ...(attribute === undefined ? {} : { attribute }), ...(hostsFile === undefined ? {} : { hostsFile }) };
}
