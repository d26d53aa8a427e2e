import { useSignal } from '@preact/signals';
import type { Dashboard } from '../dashboard.ts';
import { repositoryName, shortSha } from '@floe/views';
import { Icon } from './icon.tsx';

/** What is tracked, whether the page is live, and the way out. */
export function TopBar({ dashboard }: { readonly dashboard: Dashboard }) {
  const repository = dashboard.fleet.value?.repository;
  return (
    <header class="top">
      <h1 class="wordmark">Floe</h1>
      {repository !== undefined && (
        <dl class="tracked">
          <div>
            <dt>Repository</dt>
            <dd class="repository">{repositoryName(repository.url)}</dd>
          </div>
          <div>
            <dt>Branch</dt>
            <dd>{repository.branch}</dd>
          </div>
          <div>
            <dt>Head</dt>
            <dd>
              {repository.acceptedCommit === null ? 'none yet' : <code title={repository.acceptedCommit}>{shortSha(repository.acceptedCommit)}</code>}
            </dd>
          </div>
        </dl>
      )}
      <div class="session">
        <LiveMark dashboard={dashboard} />
        <SignOut dashboard={dashboard} />
      </div>
    </header>
  );
}

function LiveMark({ dashboard }: { readonly dashboard: Dashboard }) {
  switch (dashboard.connection.value.kind) {
    case 'live':
      return (
        <span class="mark tone-good">
          <Icon name="online" /> Live
        </span>
      );
    case 'connecting':
      return (
        <span class="mark tone-quiet">
          <Icon name="running" /> Connecting
        </span>
      );
    case 'lost':
      return (
        <span class="mark tone-warn">
          <Icon name="behind" /> Not live
        </span>
      );
  }
}

function SignOut({ dashboard }: { readonly dashboard: Dashboard }) {
  const isBusy = useSignal(false);
  async function leave(): Promise<void> {
    isBusy.value = true;
    await dashboard.signOut();
    isBusy.value = false;
  }
  return (
    <button type="button" disabled={isBusy.value} onClick={() => void leave()}>
      Sign out
    </button>
  );
}
