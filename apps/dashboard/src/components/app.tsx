import type { HostName } from '@floe/model';
import type { ReadonlySignal } from '@preact/signals';
import type { Dashboard } from '../dashboard.ts';
import type { Route } from '../route.ts';
import { HostSection } from './host-section.tsx';
import { AttentionList } from './attention-list.tsx';
import { ConnectionBanner, FetchNotice } from './notices.tsx';
import { RevisionSection } from './revision-section.tsx';
import { SignIn } from './sign-in.tsx';
import { TopBar } from './top-bar.tsx';
import { titleOf } from '../title.ts';
import { Verdict } from './verdict.tsx';
import { useEffect } from 'preact/hooks';

export interface AppProps {
  readonly dashboard: Dashboard;
  readonly route: ReadonlySignal<Route>;
}

/** The page: a form, or the fleet. */
export function App({ dashboard, route }: AppProps) {
  const title = titleOf({ session: dashboard.session.value, fleet: dashboard.fleet.value, verdict: dashboard.verdict.value, route: route.value });
  useEffect(() => {
    document.title = title;
  }, [title]);
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
            {dashboard.verdict.value !== null && <Verdict verdict={dashboard.verdict.value} />}
            <FetchNotice repository={fleet.repository} now={dashboard.now} />
            <AttentionList attention={dashboard.attention.value} now={dashboard.now} hasHost={(name) => fleet.hosts.has(name as HostName)} />
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
