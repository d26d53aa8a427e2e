import { isCommit, parseSshAddress, placeOfSsh } from '@floe/model';

/** Where well-known forges show a commit, below a repository's address. */
const COMMIT_PATHS: ReadonlyMap<string, string> = new Map(
  Object.entries({
    'github.com': 'commit',
    'gitlab.com': '-/commit',
    'codeberg.org': 'commit',
    'bitbucket.org': 'commits',
  }),
);

/** The page of a commit on its forge; null where it is not known whether there is one. */
export function commitPage(repositoryUrl: string, sha: string): string | null {
  if (!isCommit(sha)) return null;
  const ssh = parseSshAddress(repositoryUrl.replace(/\/$/, ''));
  const url = URL.parse(ssh === undefined ? repositoryUrl : `https://${placeOfSsh(ssh)}`);
  const path = url === null || url.protocol !== 'https:' ? undefined : COMMIT_PATHS.get(url.hostname);
  if (url === null || path === undefined) return null;
  return `https://${url.host}${url.pathname.replace(/\/$/, '').replace(/\.git$/, '')}/${path}/${sha}`;
}
