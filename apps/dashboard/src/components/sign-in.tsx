import { useSignal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import type { Dashboard } from '../dashboard.ts';

/** Asks for an API token, which the server turns into a cookie; the page itself keeps none. */
export function SignIn({ dashboard }: { readonly dashboard: Dashboard }) {
  const field = useRef<HTMLInputElement>(null);
  const message = useSignal(dashboard.signedOutBecause.value);
  const isRefused = useSignal(false);
  const isBusy = useSignal(false);
  useEffect(() => field.current?.focus(), []);

  async function submit(event: Event): Promise<void> {
    event.preventDefault();
    const token = field.current?.value.trim() ?? '';
    if (token === '') {
      message.value = 'Enter an API token.';
      isRefused.value = true;
      field.current?.focus();
      return;
    }
    isBusy.value = true;
    message.value = '';
    const answer = await dashboard.signIn(token);
    isBusy.value = false;
    if (answer.kind === 'ok') return;
    isRefused.value = answer.kind === 'signed-out';
    message.value = answer.kind === 'signed-out' ? 'This token is not known to the server, expired or was revoked.' : answer.message;
    field.current?.select();
  }

  return (
    <main class="sign-in">
      <form onSubmit={(event) => void submit(event)} aria-labelledby="sign-in-title">
        <h1 id="sign-in-title">
          <span class="wordmark">Floe</span> Sign in
        </h1>
        <label for="token">API token</label>
        <input
          ref={field}
          id="token"
          name="token"
          type="password"
          autocomplete="current-password"
          spellcheck={false}
          aria-describedby="token-help token-message"
          aria-invalid={isRefused.value}
        />
        <p id="token-message" class="message" role="alert">
          {message}
        </p>
        <button type="submit" class="primary" disabled={isBusy.value}>
          {isBusy.value ? 'Signing in …' : 'Sign in'}
        </button>
        <p id="token-help" class="help">
          The server wrote its first token to <code>admin-token</code> in its data folder. It is the same that <code>floe login</code> asks for.
        </p>
      </form>
    </main>
  );
}
