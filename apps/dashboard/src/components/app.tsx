import { useEffect } from 'preact/hooks';
import type { Dashboard } from '../dashboard.ts';
import type { LiveFleet } from '../live-fleet.ts';
import type { Router } from '../router.ts';
import { titleOf } from '../title.ts';
import { FleetPage } from './fleet-page.tsx';
import { HostPage } from './host-page.tsx';
import { Advice, ConnectionBanner, FetchNotice } from './notices.tsx';
import { RevisionPage } from './revision-page.tsx';
import { RevisionsPage } from './revisions-page.tsx';
import { SignIn } from './sign-in.tsx';
import { TopBar } from './top-bar.tsx';
import { Verdict } from './verdict.tsx';

export interface AppProps {
  readonly dashboard: Dashboard;
  readonly router: Router;
}

/** The page: a form, or the verdict and what the address names. */
export function App({ dashboard, router }: AppProps) {
  const route = router.route.value;
  const fleet = dashboard.fleet.value;
  const verdict = dashboard.verdict.value;
  const title = titleOf({ session: dashboard.session.value, fleet, verdict, route });
  useEffect(() => {
    document.title = title;
  }, [title]);
  if (dashboard.session.value === 'signed-out') return <SignIn dashboard={dashboard} />;
  return (
    <>
      <TopBar dashboard={dashboard} route={route} />
      <main>
        <ConnectionBanner dashboard={dashboard} />
        {fleet === null || verdict === null ? (
          dashboard.connection.value.kind === 'connecting' && <p class="opening">Connecting to the server …</p>
        ) : (
          <>
            <Verdict verdict={verdict} />
            <FetchNotice repository={fleet.repository} now={dashboard.now} />
            <Advice repository={fleet.repository} />
            <Page dashboard={dashboard} router={router} fleet={fleet} />
          </>
        )}
      </main>
      <p class="unseen" role="status" aria-live="polite">
        {dashboard.announcement}
      </p>
    </>
  );
}

function Page({ dashboard, router, fleet }: AppProps & { readonly fleet: LiveFleet }) {
  const route = router.route.value;
  switch (route.kind) {
    case 'fleet':
      return <FleetPage dashboard={dashboard} router={router} fleet={fleet} />;
    case 'host':
      return <HostPage key={route.host} dashboard={dashboard} fleet={fleet} name={route.host} />;
    case 'revisions':
      return <RevisionsPage dashboard={dashboard} fleet={fleet} />;
    case 'revision':
      return <RevisionPage key={route.sha} dashboard={dashboard} fleet={fleet} sha={route.sha} />;
  }
}
