import { FloeError, reveal, type Secret, type SecretSource } from '@floe/runtime';
import { createAppAuth } from '@octokit/auth-app';
import type { request } from '@octokit/request';

/** How to sign in to GitHub's API. A source is read each time, so that a new token is used at once. */
export type GithubAuth =
  | { readonly kind: 'token'; readonly token: Secret | SecretSource }
  /** As an installation of a GitHub App. `privateKey`: PEM, as GitHub hands it out. */
  | { readonly kind: 'app'; readonly appId: string; readonly privateKey: Secret | SecretSource; readonly installationId: number };

/** GitHub's installation tokens live for an hour; one that is about to end is not used. */
const EXPIRY_MARGIN_MS = 5 * 60_000;

export interface SignIn {
  /**
   * The value of the authorization header, and whether it was fetched just now. Throws what the request threw, and
   * `FloeError('APP_KEY_UNUSABLE')`.
   */
  authorization(api: typeof request): Promise<{ readonly header: string; readonly isFresh: boolean }>;
  /** The forge refused the header: the next one is fetched anew. */
  forget(): void;
}

/** Signs in as `auth` says; keeps an installation's token until it is about to end. */
export function createSignIn(auth: GithubAuth, now: () => number): SignIn {
  if (auth.kind === 'token') {
    return { authorization: async () => ({ header: `Bearer ${await reveal(auth.token)}`, isFresh: true }), forget: () => undefined };
  }
  const { appId, privateKey, installationId } = auth;
  let kept: { readonly header: string; readonly expiresAt: number } | undefined;
  return {
    async authorization(api) {
      if (kept !== undefined && now() < kept.expiresAt - EXPIRY_MARGIN_MS) return { header: kept.header, isFresh: false };
      // Made anew for each token: `api` carries the caller's signal. `refresh`, since the keeping is done here: the
      // library's own cache goes by the age of the token alone, and its hook waits on timers that nothing can end.
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
    throw new FloeError('APP_KEY_UNUSABLE', "the GitHub App's private key cannot be used: store the PEM file as GitHub hands it out", {
      cause: error,
    });
  }
}
