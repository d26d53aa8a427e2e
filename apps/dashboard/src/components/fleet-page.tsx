import { branchInWords, repositoryName } from '@floe/views';
import { useLayoutEffect } from 'preact/hooks';
import type { Dashboard } from '../dashboard.ts';
import { hostOf, type LiveFleet } from '../live-fleet.ts';
import type { Router } from '../router.ts';
import { AttentionList } from './attention-list.tsx';
import { Followed } from './followed.tsx';
import { HostSection } from './host-section.tsx';
import { Revision } from './revision.tsx';

export interface FleetPageProps {
  readonly dashboard: Dashboard;
  readonly router: Router;
  readonly fleet: LiveFleet;
}

/** What needs somebody, the newest revision, and all hosts. */
export function FleetPage({ dashboard, router, fleet }: FleetPageProps) {
  // Who comes back from a host's page goes on where they were in the list.
  useLayoutEffect(() => {
    const { scrollY, forHref } = router.leftFleet;
    scrollTo(0, scrollY);
    if (forHref !== '') document.querySelector<HTMLElement>(`main a[href="${CSS.escape(forHref)}"]`)?.focus({ preventScroll: true });
  }, []);
  const { revision } = fleet;
  return (
    <>
      <AttentionList dashboard={dashboard} attention={dashboard.attention.value} hasHost={(name) => hostOf(fleet, name) !== undefined} />
      {revision === null ? (
        <NoRevision fleet={fleet} />
      ) : (
        <section class="panel revision" aria-labelledby="revision-title">
          <Revision revision={revision} fleet={fleet} dashboard={dashboard}>
            <h2 id="revision-title" class="overline">
              Newest revision
            </h2>
          </Revision>
          <Followed dashboard={dashboard} fleet={fleet} />
        </section>
      )}
      <HostSection dashboard={dashboard} router={router} fleet={fleet} />
    </>
  );
}

function NoRevision({ fleet: { repository } }: { readonly fleet: LiveFleet }) {
  return (
    <section class="panel empty" aria-labelledby="revision-title">
      <h2 id="revision-title">No revision yet</h2>
      <p>
        Floe watches <strong>{branchInWords(repository)}</strong> of <strong>{repositoryName(repository.url)}</strong>
        {repository.lastFetchAt === null ? ', and has not fetched it yet' : ''}. Push a commit to it: its way to the machines shows up here.
      </p>
      <p class="aside">With a webhook that takes seconds; without one, until the server looks at the repository, every few minutes.</p>
    </section>
  );
}
