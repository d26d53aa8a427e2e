import { FloeError, readBoundedText, systemClock, withoutTrailingSlashes } from '@floe/runtime';
import { request } from '@octokit/request';
import { fitDescription } from './fit-description.ts';
import { judgeGithubFailure, neverLeft, unexpectedAnswer } from './github-failure.ts';
import { findGithubStatus } from './github-read.ts';
import { createSignIn, type GithubAuth } from './github-sign-in.ts';
import type { CommitStatuses, OutgoingStatus, PostOutcome, ReadOutcome } from './status.ts';

const DEFAULT_TIMEOUT_MS = 10_000;
/** GitHub's answer to a status has about 2 kB. @octokit/request has no limit of its own. */
const MAX_ANSWER_BYTES = 1024 * 1024;
/** The version of the API that the requests are written for. */
const API_VERSION = '2022-11-28';

export interface GithubStatusesOptions {
  /** `https://api.github.com`, or `https://HOST/api/v3` of a GitHub Enterprise Server. */
  readonly apiUrl: string;
  /** `owner/name` */
  readonly repository: string;
  readonly auth: GithubAuth;
  /** GitHub rejects requests without one. */
  readonly userAgent: string;
  /** For each request. Signing in as an App takes one more. */
  readonly timeoutMs?: number;
  /** Milliseconds since 1970. */
  readonly now?: () => number;
}

/** Posts commit statuses to a repository at GitHub. Throws `FloeError('GITHUB_REPOSITORY_INVALID')`. */
export function createGithubStatuses(options: GithubStatusesOptions): CommitStatuses {
  const { apiUrl, repository, userAgent, timeoutMs = DEFAULT_TIMEOUT_MS, now = () => systemClock.now() } = options;
  const { owner, repo } = splitRepository(repository);
  const signIn = createSignIn(options.auth, now);

  /** The API for one call: each of its requests ends with `signal` or after the time limit. */
  function apiFor(signal: AbortSignal): typeof request {
    return request.defaults({
      baseUrl: withoutTrailingSlashes(apiUrl),
      headers: { 'user-agent': userAgent, accept: 'application/vnd.github+json', 'x-github-api-version': API_VERSION },
      request: {
        fetch: async (url: string, init: RequestInit) => {
          const answer = await fetch(url, { ...init, signal: AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]) });
          const text = await readBoundedText(answer, MAX_ANSWER_BYTES);
          return new Response(text === '' ? null : text, { status: answer.status, headers: answer.headers });
        },
        log: { debug: ignore, info: ignore, warn: ignore, error: ignore },
      },
    });
  }

  async function post(status: OutgoingStatus, signal: AbortSignal): Promise<PostOutcome> {
    const api = apiFor(signal);
    let isFresh = true;
    let isOnItsWay = false;
    try {
      const authorization = await signIn.authorization(api);
      isFresh = authorization.isFresh;
      isOnItsWay = true;
      const answer = await api('POST /repos/{owner}/{repo}/statuses/{sha}', {
        owner,
        repo,
        sha: status.sha,
        state: status.state,
        context: status.context,
        description: fitDescription(status.description),
        target_url: status.targetUrl,
        headers: { authorization: authorization.header },
      });
      // Not every 2xx: a redirected POST returns the 200 of a GET, and posts nothing.
      return answer.status === 201 ? { kind: 'sent' } : unexpectedAnswer(answer.status);
    } catch (error) {
      const failure = judgeGithubFailure(error, now());
      if (failure.kind === 'retry') return { ...failure, isMissed: failure.isMissed && isOnItsWay && !neverLeft(error) };
      if (failure.code !== 'CREDENTIALS_REFUSED') return failure;
      signIn.forget();
      // A cached token may have been revoked early: that does not mean that the App is refused.
      return isFresh ? failure : await post(status, signal);
    }
  }

  async function read({ sha, context }: Pick<OutgoingStatus, 'sha' | 'context'>, signal: AbortSignal): Promise<ReadOutcome> {
    const api = apiFor(signal);
    try {
      const { header } = await signIn.authorization(api);
      return await findGithubStatus(
        async (page, pageSize) =>
          (
            await api('GET /repos/{owner}/{repo}/commits/{ref}/status', {
              owner,
              repo,
              ref: sha,
              per_page: pageSize,
              page,
              headers: { authorization: header },
            })
          ).data,
        context,
      );
    } catch (error) {
      const failure = judgeGithubFailure(error, now());
      if (failure.kind === 'retry' && failure.code === 'RATE_LIMITED') return { ...failure, code: failure.code };
      if (failure.code === 'CREDENTIALS_REFUSED') signIn.forget();
      return { kind: 'unknown', message: failure.message };
    }
  }

  function isSame(found: Omit<OutgoingStatus, 'sha' | 'context'>, status: OutgoingStatus): boolean {
    return found.state === status.state && found.description === fitDescription(status.description) && found.targetUrl === status.targetUrl;
  }
  return { post, read, isSame };
}

function splitRepository(repository: string): { owner: string; repo: string } {
  const [, owner, repo] = /^([\w.-]+)\/([\w.-]+)$/.exec(repository) ?? [];
  if (owner !== undefined && repo !== undefined) return { owner, repo };
  throw new FloeError('GITHUB_REPOSITORY_INVALID', `"${repository}" is not a repository at GitHub: write it as owner/name`, { data: { repository } });
}

function ignore(): void {
  // @octokit/request would log to the console.
}
