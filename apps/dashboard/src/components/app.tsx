import type { ReadonlySignal } from '@preact/signals';
import type { Dashboard } from '../dashboard.ts';
import type { Route } from '../route.ts';
import { HostSection } from './host-section.tsx';
import { ConnectionBanner, RepositoryNotices } from './notices.tsx';
import { RevisionSection } from './revision-section.tsx';
import { SignIn } from './sign-in.tsx';
import { TopBar } from './top-bar.tsx';
import { Verdict } from './verdict.tsx';

export interface AppProps {
  readonly dashboard: Dashboard;
  readonly route: ReadonlySignal<Route>;
}

/** The page: a form, or the fleet. */
export function App({ dashboard, route }: AppProps) {
  if (dashboard.session.value === 'signed-out') return <SignIn dashboard={dashboard} />;
  const fleet = dashboard.fleet.value;
  return (
    <>
      <TopBar dashboard={dashboard} />
      <main>
        <ConnectionBanner dashboard={dashboard} />
        {fleet === null ? (
          dashboard.connection.value.kind === 'connecting' && <p class="opening">Connecting to the server …</p>
        ) : (
          <>
            <Verdict fleet={fleet} />
            <RepositoryNotices repository={fleet.repository} now={dashboard.now} />
            <RevisionSection dashboard={dashboard} fleet={fleet} route={route.value} />
            <HostSection dashboard={dashboard} fleet={fleet} route={route.value} />
          </>
        )}
      </main>
      <p class="unseen" role="status" aria-live="polite">
        {dashboard.announcement}
      </p>
    </>
  );
}
