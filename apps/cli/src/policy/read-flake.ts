import { access } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { COMMIT_SHA_FORM } from '@floe/model';
import { mapOf, OWN_SETTINGS, POLICY_EXPRESSION, policyOfAnswer } from '@floe/nix';
import { FloeError, isFloeError, nixString } from '@floe/runtime';
import * as v from 'valibot';
import { shellWord } from '../view/enrolment.ts';
import { candidatesOf, OwnEntries, type FleetSource } from './fleet-source.ts';
import { nix, tryGit, type ProgramDeps } from './programs.ts';

export interface FlakeOptions {
  /** Also what hosts' own configurations say: each is evaluated, which takes a second or more for a NixOS system. */
  readonly readsHosts: boolean;
  /** Before hosts are evaluated. */
  readonly onHosts: (count: number) => void;
}

const Metadata = v.object({ path: v.string(), url: v.string(), locked: v.optional(v.nullable(v.object({ rev: v.optional(v.string()) }))) });
/** Platform → names. */
const Checks = mapOf(v.array(v.string()));
const Outline = v.object({ policy: v.nullable(v.unknown()), hosts: v.array(v.string()), checks: Checks, outputs: v.array(v.string()) });

/** Some in one process share what they have in common; many would need gigabytes. */
const HOSTS_PER_PROCESS = 4;
const PROCESSES = 2;

/**
 * Reads the policy and the hosts of the flake in `dir`, as the server does: purely where Nix can, and without writing a lock file. `rev`:
 * as a commit has it; else as the working tree is, without files that git does not know.
 */
export async function readFlake(deps: ProgramDeps, dir: string, rev: string | undefined, options: FlakeOptions): Promise<FleetSource> {
  const place = await placeOf(deps, dir);
  const unseen = rev === undefined ? await unseenFiles(deps, dir) : [];
  if (rev === undefined && !(await hasFlake(dir, place)))
    throw new FloeError('USAGE', `there is no flake.nix in ${resolve(dir)}: name the folder of the flake, or a file with its JSON`);
  // What Nix says of that names a path in its store, and neither git nor the folder.
  if (unseen.includes('flake.nix')) throw new FloeError('NIX_FAILED', unseenWords(dir, unseen));
  try {
    const flake = rev === undefined ? await urlOfTree(deps, dir, place) : await urlOfRevision(deps, dir, { place, rev });
    const source = await readWith(deps, flake, options);
    return unseen.length === 0 ? source : { ...source, notes: [unseenWords(dir, unseen), ...source.notes] };
  } catch (error) {
    if (!isFloeError(error, 'NIX_FAILED') || unseen.length === 0) throw error;
    throw new FloeError('NIX_FAILED', `${error.message}\n${unseenWords(dir, unseen)}`, { cause: error });
  }
}

/** Outside of git Nix looks in the folders above, too. */
async function hasFlake(dir: string, place: GitPlace | undefined): Promise<boolean> {
  for (let folder = resolve(dir); ; folder = dirname(folder)) {
    if (
      await access(join(folder, 'flake.nix')).then(
        () => true,
        () => false,
      )
    )
      return true;
    if (place !== undefined || folder === dirname(folder)) return false;
  }
}

async function readWith(deps: ProgramDeps, flake: FlakeUrl, options: FlakeOptions): Promise<FleetSource> {
  const outline = `names = set: builtins.attrNames set; in {
    policy = if flake ? floe then ${POLICY_EXPRESSION} else null; hosts = names (flake.nixosConfigurations or { });
    checks = builtins.mapAttrs (_: names) (flake.checks or { }); outputs = names flake.outputs; }`;
  const [{ policy, hosts, checks, outputs }, here] = await Promise.all([
    evaluate(deps, flake, outline, Outline),
    // Pure evaluation does not know it.
    nix(deps, ['eval', '--raw', '--impure', '--expr', 'builtins.currentSystem']),
  ]);
  const known = { policy: policy === null ? undefined : policyOfAnswer(policy), checks: knownChecks(checks, here.trim()), outputs };
  if (!options.readsHosts) return { ...known, ...candidatesOf(hosts.map((name) => [name, {}])) };
  options.onHosts(hosts.length);
  const own = await readOwnEntries(deps, flake, hosts);
  const candidates = candidatesOf(own.entries);
  return { ...known, ...candidates, notes: [...candidates.notes, ...own.notes] };
}

const SERVER_PLATFORMS = ['x86_64-linux', 'aarch64-linux'];

/** A server builds the checks of its own platform. Which one that is nobody says here: those of the flake, and this machine's, are possible. */
function knownChecks(checks: v.InferOutput<typeof Checks>, here: string): ReadonlyMap<string, readonly string[]> {
  const possible = [...new Set([...checks.keys(), here])].filter((platform) => SERVER_PLATFORMS.includes(platform)).toSorted();
  const platforms = possible.length === 0 ? SERVER_PLATFORMS : possible;
  const names = [...new Set([...checks.values()].flat())];
  return new Map(names.map((name) => [name, platforms.filter((platform) => checks.get(platform)?.includes(name) !== true)]));
}

const MAX_UNSEEN = 5;

/** Nix sees only files of which git knows. It says that one does not exist, or leaves out what the flake looks for. */
async function unseenFiles(deps: ProgramDeps, dir: string): Promise<readonly string[]> {
  const listed = await tryGit(deps, ['-C', resolve(dir), 'ls-files', '-z', '--others', '--exclude-standard', '--', '*.nix']);
  return (listed ?? '').split('\0').filter((file) => file !== '');
}

/** With the command that has git know them, from where the person is. */
function unseenWords(dir: string, files: readonly string[]): string {
  const git = resolve(dir) === resolve('.') ? 'git' : `git -C ${shellWord(dir)}`;
  const isMore = files.length > MAX_UNSEEN;
  const named = files.slice(0, MAX_UNSEEN).map(shellWord).join(' ');
  return `git does not know ${named}${isMore ? ' …' : ''}, so Nix does not see ${files.length === 1 ? 'it' : 'them'}: ${git} add ${isMore ? shellWord('*.nix') : named}`;
}

/** Where Nix finds a flake. */
interface FlakeUrl {
  readonly url: string;
  /** It names its content, so it can be evaluated purely, as the server does. */
  readonly isLocked: boolean;
}

/** The working tree as it is. */
async function urlOfTree(deps: ProgramDeps, dir: string, place: GitPlace | undefined): Promise<FlakeUrl> {
  // Outside of git Nix wants a path, without escapes.
  const unlocked = place === undefined ? resolve(dir) : gitUrl(place, {});
  const { path, url, locked } = parse(Metadata, await nix(deps, ['flake', 'metadata', '--json', '--no-write-lock-file', unlocked]));
  if (locked?.rev !== undefined) return { url, isLocked: true };
  // Changes that are not committed are copied to the store. A path there takes no folder (Nix 2.8).
  if (place !== undefined && place.folder !== '') return { url: unlocked, isLocked: false };
  const hash = (await nix(deps, ['hash', 'path', '--sri', path])).trim();
  return { url: `path:${path}?narHash=${encodeURIComponent(hash)}`, isLocked: true };
}

async function urlOfRevision(
  deps: ProgramDeps,
  dir: string,
  { place, rev }: { readonly place: GitPlace | undefined; readonly rev: string },
): Promise<FlakeUrl> {
  if (place === undefined) throw new FloeError('USAGE', `git finds no repository at ${dir}: --against needs one`);
  const sha = await tryGit(deps, ['-C', resolve(dir), 'rev-parse', '--verify', '--quiet', '--end-of-options', `${rev}^{commit}`]);
  if (sha === undefined || !COMMIT_SHA_FORM.test(sha)) throw new FloeError('USAGE', `git knows no revision "${rev}" in ${dir}`);
  if ((await tryGit(deps, ['-C', resolve(dir), 'cat-file', '-e', `${sha}:./flake.nix`])) === undefined)
    throw new FloeError('NIX_FAILED', `there is no flake.nix in ${resolve(dir)} as ${rev} has it`);
  return { url: gitUrl(place, { rev: sha, allRefs: '1' }), isLocked: true };
}

interface GitPlace {
  readonly top: string;
  /** Below it; empty: the top itself. */
  readonly folder: string;
}

/** Where a folder is in its repository; undefined: in none. */
async function placeOf(deps: ProgramDeps, dir: string): Promise<GitPlace | undefined> {
  const top = await tryGit(deps, ['-C', resolve(dir), 'rev-parse', '--show-toplevel']);
  const prefix = await tryGit(deps, ['-C', resolve(dir), 'rev-parse', '--show-prefix']);
  return top === undefined || prefix === undefined ? undefined : { top, folder: prefix.replace(/\/$/, '') };
}

function gitUrl({ top, folder }: GitPlace, query: Readonly<Record<string, string>>): string {
  const parameters = Object.entries({ ...(folder === '' ? {} : { dir: folder }), ...query });
  const path = top.split('/').map(encodeURIComponent).join('/');
  return `git+file://${path}${parameters.map(([name, value], index) => `${index === 0 ? '?' : '&'}${name}=${encodeURIComponent(value)}`).join('')}`;
}

interface OwnRead {
  readonly entries: OwnEntries;
  readonly notes: readonly string[];
}

/** Some hosts at a time. When one of them fails, each is read on its own, so that the mistake of one is not that of the others. */
async function readOwnEntries(deps: ProgramDeps, flake: FlakeUrl, hosts: readonly string[]): Promise<OwnRead> {
  const own = async (names: readonly string[]): Promise<OwnEntries> =>
    await evaluate(
      deps,
      flake,
      `own = ${OWN_SETTINGS}; entry = name: { inherit name; value = own (flake.nixosConfigurations.\${name}.config or { }); };
      in builtins.listToAttrs (map entry [ ${names.map(nixString).join(' ')} ])`,
      OwnEntries,
    );
  const queue = Array.from({ length: Math.ceil(hosts.length / HOSTS_PER_PROCESS) }, (_, index) =>
    hosts.slice(index * HOSTS_PER_PROCESS, (index + 1) * HOSTS_PER_PROCESS),
  );
  const entries: OwnEntries[number][] = [];
  const notes: string[] = [];
  async function worker(): Promise<void> {
    for (let names = queue.shift(); names !== undefined; names = queue.shift()) {
      try {
        entries.push(...(await own(names)));
      } catch (error) {
        if (!isFloeError(error, 'NIX_FAILED')) throw error;
        const [only, ...more] = names;
        if (only !== undefined && more.length === 0) {
          entries.push([only, {}]);
          notes.push(`${only}: its configuration cannot be read, so only its name counts here\n${error.message}`);
        } else queue.unshift(...names.map((name) => [name]));
      }
    }
  }
  await Promise.all(Array.from({ length: PROCESSES }, worker));
  return { entries: entries.toSorted(([a], [b]) => (a < b ? -1 : 1)), notes };
}

/** `expression`: the rest of a `let` in which `flake` is the flake. */
async function evaluate<Schema extends v.GenericSchema>(
  deps: ProgramDeps,
  { url, isLocked }: FlakeUrl,
  expression: string,
  schema: Schema,
): Promise<v.InferOutput<Schema>> {
  const options = ['--option', 'eval-cache', 'false', '--option', 'accept-flake-config', 'false', ...(isLocked ? [] : ['--impure'])];
  return parse(schema, await nix(deps, ['eval', '--json', ...options, '--expr', `let flake = builtins.getFlake ${nixString(url)}; ${expression}`]));
}

function parse<Schema extends v.GenericSchema>(schema: Schema, text: string): v.InferOutput<Schema> {
  try {
    return v.parse(schema, JSON.parse(text));
  } catch (cause) {
    throw new FloeError('NIX_FAILED', 'Nix printed something unexpected', { cause });
  }
}
