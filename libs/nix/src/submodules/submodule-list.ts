import type { CommitSha } from '@floe/model';
import { parseSshAddress, placeOfSsh, storableText } from '@floe/model';
import { FloeError, withoutTrailingSlashes } from '@floe/runtime';

/** A submodule as its commit and `.gitmodules` describe it. */
export interface Submodule {
  /** From the root of the repository that has it. */
  readonly path: string;
  readonly sha: CommitSha;
  /** `https://…`, `http://…` or `ssh://…`, without a password. */
  readonly url: string;
}

/** A fleet has a handful; each takes a download. */
export const MAX_SUBMODULES = 100;
/** Submodules in submodules. */
export const MAX_DEPTH = 5;
const MAX_URL_CHARACTERS = 2048;
const SHOWN_CHARACTERS = 200;
const SCP_LIKE = /^([\w.+-]+)@([\w.-]+):(?!\/\/)\/?(.+)$/;

/**
 * The submodules of a commit, by `git ls-tree -r -z` and `git config -z --list` of its `.gitmodules`. One that no entry names, or whose entry says
 * `update = none`, is left out, and so is an entry without one. `base`: the address of the repository. Throws SUBMODULES_REFUSED.
 */
export function readSubmodules(tree: string, config: string, base: string): Submodule[] {
  const entries = readConfig(config);
  const found = tree.split('\0').flatMap((line): Submodule[] => {
    const [, sha, path] = /^160000 commit ([0-9a-f]{40})\t(.+)$/s.exec(line) ?? [];
    const entry = path === undefined ? undefined : entries.get(path);
    if (sha === undefined || path === undefined || entry === undefined || entry.update === 'none') return [];
    return [{ path, sha: sha as CommitSha, url: submoduleUrl(entry.url, base, entry.name) }];
  });
  if (found.length > MAX_SUBMODULES) throw refused(`there are ${found.length} submodules: ${MAX_SUBMODULES} are the most`);
  return found;
}

interface Entry {
  readonly name: string;
  readonly url: string;
  readonly update: string | undefined;
}

/** By path. */
function readConfig(config: string): ReadonlyMap<string, Entry> {
  const sections = new Map<string, Map<string, string>>();
  for (const line of config.split('\0')) {
    const [, name, key, value] = /^submodule\.(.+)\.(path|url|update)\n(.*)$/s.exec(line) ?? [];
    if (name === undefined || key === undefined || value === undefined) continue;
    const section = sections.get(name) ?? new Map<string, string>();
    sections.set(name, section.set(key, value));
  }
  const entries = new Map<string, Entry>();
  for (const [name, section] of sections) {
    // As git itself: the name of a folder that it would make.
    if (name.split(/[/\\]/).includes('..')) throw refused(`the submodule "${shown(name)}" has a name with ".."`);
    const [path, url] = [section.get('path'), section.get('url')];
    if (path === undefined || url === undefined) continue;
    const other = entries.get(path);
    if (other !== undefined) throw refused(`the submodules "${shown(other.name)}" and "${shown(name)}" have the same path`);
    entries.set(path, { name, url, update: section.get('update') });
  }
  return entries;
}

/** Where a submodule is, for git. Throws SUBMODULES_REFUSED for whatever is not on a server by HTTP or SSH, or could be read as something else. */
export function submoduleUrl(text: string, base: string, name: string): string {
  const wrong = (reason: string): FloeError => refused(`the submodule "${shown(name)}": ${reason}`);
  // oxlint-disable-next-line no-control-regex -- git would pass them on
  if (text.length > MAX_URL_CHARACTERS || /[\u0000-\u0020\u007f]/.test(text)) throw wrong('its url is no address');
  const isRelative = text.startsWith('./') || text.startsWith('../');
  const [, user, host, path] = SCP_LIKE.exec(text) ?? [];
  const written = isRelative ? relativeUrl(text, base) : path === undefined ? text : `ssh://${user}@${host}/${path}`;
  const url = written === undefined ? null : URL.parse(written);
  if (url === null) throw wrong(isRelative ? `its url "${shown(text)}" leads out of the repository's server` : 'its url is no address');
  if (!['https:', 'http:', 'ssh:'].includes(url.protocol))
    throw wrong(`its url begins with ${shown(url.protocol)}: https:// and ssh:// are possible`);
  if (url.password !== '' || (url.protocol !== 'ssh:' && url.username !== ''))
    throw wrong('its url has a login in it: take it out, and give the server a token for the git host');
  if (
    !/^[\w.+-]*$/.test(url.username) ||
    url.username.startsWith('-') ||
    !/^(?:[\w.-]+|\[[0-9a-f:.]+\])$/i.test(url.hostname) ||
    url.hostname.startsWith('-')
  )
    throw wrong('its url has a login or a host that git could misread');
  if (url.search !== '' || url.hash !== '' || url.pathname.length < 2) throw wrong('its url is not one that "git clone" takes');
  return url.href;
}

/** As `git@host:path` is written above. */
function asUrl(address: string): string {
  const ssh = address.startsWith('ssh://') ? undefined : parseSshAddress(withoutTrailingSlashes(address));
  return ssh === undefined ? address : `ssh://${ssh.user === undefined ? '' : `${ssh.user}@`}${placeOfSsh(ssh)}`;
}

/** Undefined: it leads out of the server. */
function relativeUrl(text: string, base: string): string | undefined {
  const url = URL.parse(asUrl(base));
  if (url === null) return undefined;
  const names = url.pathname.split('/').filter((name) => name !== '');
  for (const part of text.split('/')) {
    if (part === '' || part === '.') continue;
    if (part !== '..') names.push(part);
    else if (names.pop() === undefined) return undefined;
  }
  return `${url.protocol}//${url.username === '' ? '' : `${url.username}@`}${url.host}/${names.join('/')}`;
}

/** The commit cannot be used as it is. */
export function refused(reason: string): FloeError {
  return new FloeError('SUBMODULES_REFUSED', `its submodules cannot be used: ${reason}`);
}

function shown(text: string): string {
  return storableText(text, SHOWN_CHARACTERS);
}
