import { useSignal } from '@preact/signals';
import type { Dashboard } from '../dashboard.ts';
import { branchInWords, repositoryName } from '@floe/views';
import { FLEET, formatRoute, type Route } from '../route.ts';
import { CommitLink } from './commit-link.tsx';
import { Icon } from './icon.tsx';

/** What is tracked, whether the page is live, and the way out. */
export function TopBar({ dashboard, route }: { readonly dashboard: Dashboard; readonly route: Route }) {
  const repository = dashboard.fleet.value?.repository;
  return (
    <header class="top">
      <h1 class="wordmark">Floe</h1>
      <nav class="pages" aria-label="Pages">
        <a href={formatRoute(FLEET)} aria-current={route.kind === 'fleet' ? 'page' : route.kind === 'host' ? 'true' : undefined}>
          Fleet
        </a>
        <a
          href={formatRoute({ kind: 'revisions' })}
          aria-current={route.kind === 'revisions' ? 'page' : route.kind === 'revision' ? 'true' : undefined}
        >
          Revisions
        </a>
      </nav>
      {repository !== undefined && (
        <dl class="tracked">
          <div>
            <dt>Repository</dt>
            <dd class="repository">{repositoryName(repository.url)}</dd>
          </div>
          <div>
            <dt>Branch</dt>
            <dd>{branchInWords(repository)}</dd>
          </div>
          <div>
            <dt>Head</dt>
            <dd>{repository.acceptedCommit === null ? 'none yet' : <CommitLink commit={repository.acceptedCommit} />}</dd>
          </div>
        </dl>
      )}
      <div class="session">
        <LiveMark dashboard={dashboard} />
        {dashboard.actor.value !== null && (
          <span class="aside" title={`Signed in with the token ${dashboard.actor.value.name}`}>
            {dashboard.actor.value.name} ({dashboard.actor.value.role})
          </span>
        )}
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
