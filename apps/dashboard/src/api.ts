import { printable, printableValue } from '@floe/model';
import { ActorView, ApiError, ReportLogView, ReportView, RevisionView, RolloutAnswer, RolloutHostsView, WhyView } from '@floe/protocol';
import { decisionRequest, type Decision } from '@floe/views';
import * as v from 'valibot';

/** What came of a request. `signed-out`: the token is missing, wrong or revoked. `failed`: a sentence for people. */
export type Answer<T> =
  | { readonly kind: 'ok'; readonly value: T }
  | { readonly kind: 'signed-out'; readonly message: string }
  | { readonly kind: 'failed'; readonly message: string };

/** The part of the server's API that the page uses. No method throws. */
export interface Api {
  /** Turns an API token into this browser's session cookie. */
  signIn(token: string): Promise<Answer<null>>;
  signOut(): Promise<Answer<null>>;
  /** Who is signed in, and with which role. */
  whoAmI(): Promise<Answer<ActorView>>;
  /** So many of the newest reports of a host, newest first. */
  reports(host: string, limit: number, signal: AbortSignal): Promise<Answer<readonly ReportView[]>>;
  /** What stands between a host and the newest commit. */
  why(host: string, signal: AbortSignal): Promise<Answer<WhyView>>;
  /** Who is how far in a ring of the rollout that hosts follow. */
  ringHosts(ring: string, signal: AbortSignal): Promise<Answer<RolloutHostsView>>;
  /** The last words of the step that failed. */
  reportLog(report: Pick<ReportView, 'host' | 'series' | 'seq'>, signal: AbortSignal): Promise<Answer<string>>;
  /** One revision, by its commit. */
  revision(sha: string, signal: AbortSignal): Promise<Answer<RevisionView>>;
  /** The newest revisions with a sequence below `before`, newest first. */
  revisions(before: number | undefined, signal: AbortSignal): Promise<Answer<readonly RevisionView[]>>;
  /** What a person decides, and why; the value is the server's sentence on what comes of it, where it has one. */
  decide(decision: Decision, reason: string): Promise<Answer<string | null>>;
  /** The live stream: a snapshot, then changes. */
  openEvents(signal: AbortSignal): Promise<Answer<ReadableStream<Uint8Array>>>;
}

export interface ApiDeps {
  readonly fetch: typeof globalThis.fetch;
  /** The page's own address: the API is found relative to it. */
  readonly baseUrl: string;
}

const REVISIONS_SHOWN = 30;

/**
 * The API over HTTP. What it says is made printable here, where it comes into the page: Preact escapes it, but a browser
 * obeys the marks in it that turn the reading order round.
 */
export function createApi(deps: ApiDeps): Api {
  async function request<T>(path: string, init: RequestInit, read: (response: Response) => Promise<T>): Promise<Answer<T>> {
    let response: Response;
    try {
      response = await deps.fetch(new URL(path, deps.baseUrl), { cache: 'no-store', credentials: 'same-origin', ...init });
    } catch {
      return { kind: 'failed', message: 'The server cannot be reached.' };
    }
    if (!response.ok) return await refusal(response);
    try {
      return { kind: 'ok', value: await read(response) };
    } catch {
      return { kind: 'failed', message: 'The server answered in another form than this page knows. Reload the page.' };
    }
  }

  return {
    signIn: async (token) =>
      await request('api/session', { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ token }) }, nothing),
    signOut: async () => await request('api/session', { method: 'DELETE' }, nothing),
    whoAmI: async () => await request('api/session', {}, async (response) => printableValue(v.parse(ActorView, await response.json()))),
    reports: async (host, limit, signal) =>
      await request(`api/hosts/${encodeURIComponent(host)}/reports?limit=${limit}`, { signal }, async (response) =>
        printableValue(v.parse(v.array(ReportView), await response.json())),
      ),
    why: async (host, signal) =>
      await request(`api/hosts/${encodeURIComponent(host)}/why`, { signal }, async (response) =>
        printableValue(v.parse(WhyView, await response.json())),
      ),
    ringHosts: async (ring, signal) =>
      await request(`api/rollout/hosts?ring=${encodeURIComponent(ring)}`, { signal }, async (response) =>
        printableValue(v.parse(RolloutHostsView, await response.json())),
      ),
    reportLog: async ({ host, series, seq }, signal) =>
      await request(`api/hosts/${encodeURIComponent(host)}/reports/${series}/${seq}/log`, { signal }, async (response) =>
        printable(v.parse(ReportLogView, await response.json()).log),
      ),
    revision: async (sha, signal) =>
      await request(`api/revisions/${encodeURIComponent(sha)}`, { signal }, async (response) =>
        printableValue(v.parse(RevisionView, await response.json())),
      ),
    revisions: async (before, signal) =>
      await request(`api/revisions?limit=${REVISIONS_SHOWN}${before === undefined ? '' : `&before=${before}`}`, { signal }, async (response) =>
        printableValue(v.parse(v.array(RevisionView), await response.json())),
      ),
    decide: async (decision, reason) => {
      const { method, path, body } = decisionRequest(decision);
      const init = { method, headers: { 'content-type': 'application/json' }, body: JSON.stringify({ ...body, reason }) };
      return await request(path.slice(1), init, async (response) => {
        const answer = v.safeParse(RolloutAnswer, await response.json().catch(() => null));
        return answer.success ? printable(answer.output.message) : null;
      });
    },
    openEvents: async (signal) =>
      await request('api/events', { signal, headers: { accept: 'text/event-stream' } }, async (response) => {
        if (response.body === null) throw new TypeError('the event stream has no body');
        return await Promise.resolve(response.body);
      }),
  };
}

async function nothing(): Promise<null> {
  return await Promise.resolve(null);
}

async function refusal(response: Response): Promise<Answer<never>> {
  const body: unknown = await response.json().catch(() => null);
  const parsed = v.safeParse(ApiError, body);
  // Whatever stands between (a proxy) may answer without our form.
  const message = parsed.success ? printable(parsed.output.error.message) : `The server answered ${response.status}.`;
  return response.status === 401 ? { kind: 'signed-out', message } : { kind: 'failed', message };
}
