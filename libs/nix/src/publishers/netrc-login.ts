import { reveal, type SecretSource } from '@floe/runtime';
import type { Authorize } from '../remote-cache/http-files.ts';

/** What is wrong with a netrc file for this host; undefined: nothing. */
export function netrcProblem(text: string, host: string): string | undefined {
  return passwordFor(text, host) === undefined ? `has no login for ${host}: write "machine ${host} login NAME password PASSWORD"` : undefined;
}

/** The login for a cache from a netrc file, as curl and Nix read it. */
export function netrcAuthorize(netrc: SecretSource): Authorize {
  return async (_method, url) => {
    const found = passwordFor(await reveal(netrc), url.hostname);
    return found === undefined ? {} : { authorization: `Basic ${Buffer.from(`${found.login}:${found.password}`).toString('base64')}` };
  };
}

function passwordFor(text: string, host: string): { readonly login: string; readonly password: string } | undefined {
  const words = text.split(/\s+/).filter((word) => word !== '');
  for (let start = 0; start < words.length; start += 1) {
    const isDefault = words[start] === 'default';
    if (!isDefault && !(words[start] === 'machine' && words[start + 1] === host)) continue;
    const entry = new Map<string, string>();
    for (let at = start + (isDefault ? 1 : 2); at + 1 < words.length && words[at] !== 'machine' && words[at] !== 'default'; at += 2)
      entry.set(words[at] ?? '', words[at + 1] ?? '');
    const password = entry.get('password');
    if (password !== undefined) return { login: entry.get('login') ?? '', password };
  }
  return undefined;
}
