import { FloeError, reveal, type Secret, type SecretSource } from '@floe/runtime';
import { createAppAuth } from '@octokit/auth-app';
import type { request } from '@octokit/request';

/** How to sign in to GitHub's API. A function is called each time, so that a new token is used immediately. */
export type GithubAuth =
  | { readonly kind: 'token'; readonly token: Secret | SecretSource }
  /** As an installation of a GitHub App. `privateKey`: PEM, as downloaded from GitHub. */
  | { readonly kind: 'app'; readonly appId: string; readonly privateKey: Secret | SecretSource; readonly installationId: number };

/** GitHub's installation tokens are valid for an hour. One that is about to expire is not used. */
const EXPIRY_MARGIN_MS = 5 * 60_000;

export interface SignIn {
  /**
   * The value of the authorization header, and whether it was fetched just now. Throws the errors of the request, and
   * `FloeError('APP_KEY_UNUSABLE')`.
   */
  authorization(api: typeof request): Promise<{ readonly header: string; readonly isFresh: boolean }>;
  /** The forge refused the header: fetches the next one again. */
  forget(): void;
}

/** Signs in as `auth` says. Caches an installation's token until it is about to expire. */
export function createSignIn(auth: GithubAuth, now: () => number): SignIn {
  if (auth.kind === 'token') {
    return { authorization: async () => ({ header: `Bearer ${await reveal(auth.token)}`, isFresh: true }), forget: () => undefined };
  }
  const { appId, privateKey, installationId } = auth;
  let kept: { readonly header: string; readonly expiresAt: number } | undefined;
  return {
    async authorization(api) {
      if (kept !== undefined && now() < kept.expiresAt - EXPIRY_MARGIN_MS) return { header: kept.header, isFresh: false };
      // Created for each token: `api` carries the caller's signal. `refresh`, because the caching is done here: the library's
      // cache goes only by the age of the token, and its hook uses timers that cannot be cancelled.
      const app = createAppAuth({ appId, privateKey: await reveal(privateKey), installationId, request: api, log: { warn: () => undefined } });
      await checkKey(app);
      const { token, expiresAt } = await app({ type: 'installation', refresh: true });
      kept = { header: `Bearer ${token}`, expiresAt: Date.parse(expiresAt) };
      return { header: kept.header, isFresh: true };
    },
    forget() {
      kept = undefined;
    },
  };
}

async function checkKey(app: ReturnType<typeof createAppAuth>): Promise<void> {
  try {
    await app({ type: 'app' });
  } catch (error) {
    throw new FloeError('APP_KEY_UNUSABLE', "the GitHub App's private key cannot be used: store the PEM file as downloaded from GitHub", {
      cause: error,
    });
  }
}
