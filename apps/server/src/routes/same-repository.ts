import { parseSshAddress, placeOfSsh } from '@floe/model';
import { withoutTrailingSlashes } from '@floe/runtime';

/**
 * Whether a forge tells of the repository at `ours`. Of one that is fetched over SSH any of its addresses does: there are two forms, and not all forges
 * name it.
 */
export function isSameRepository(ours: string, told: { readonly cloneUrl: string; readonly sshUrl: string }): boolean {
  if (parseSshAddress(withoutTrailingSlashes(ours)) === undefined) return withoutSuffix(told.cloneUrl) === withoutSuffix(ours);
  const place = placeOf(ours);
  return [told.sshUrl, told.cloneUrl].some((url) => placeOf(url) === place);
}

/** What the addresses of one repository have in common: `host/path`. Undefined: it is no address. */
function placeOf(address: string): string | undefined {
  const text = withoutSuffix(address);
  const ssh = parseSshAddress(text);
  if (ssh !== undefined) return placeOfSsh(ssh);
  const url = URL.parse(text);
  return url === null || url.hostname === '' ? undefined : `${url.hostname}${url.pathname}`;
}

function withoutSuffix(url: string): string {
  return withoutTrailingSlashes(url)
    .replace(/\.git$/, '')
    .toLowerCase();
}
