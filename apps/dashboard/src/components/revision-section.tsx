import type { RevisionView } from '@floe/protocol';
import { useSignal, type ReadonlySignal } from '@preact/signals';
import type { ComponentChildren } from 'preact';
import { useEffect } from 'preact/hooks';
import type { Answer } from '../api.ts';
import type { Dashboard } from '../dashboard.ts';
import type { LiveFleet } from '../live-fleet.ts';
import { formatRoute, type Route } from '../route.ts';
import { repositoryName, shortSha, words } from '@floe/views';
import { Age } from './age.tsx';
import { RevisionErrors } from './revision-errors.tsx';
import { RolloutProgress } from './rollout-progress.tsx';
import { StageList } from './stage-list.tsx';

export interface RevisionSectionProps {
  readonly dashboard: Dashboard;
  readonly fleet: LiveFleet;
  readonly route: Route;
}

/** The newest revision, live; or the one that the address names, as it stands. */
export function RevisionSection({ dashboard, fleet, route }: RevisionSectionProps) {
  const { revision } = fleet;
  if (route.kind === 'revision' && !revision?.sha.startsWith(route.sha))
    return <OlderRevision key={route.sha} sha={route.sha} dashboard={dashboard} />;
  if (revision !== null) return <Revision revision={revision} title="Newest revision" now={dashboard.now} />;
  const { repository } = fleet;
  return (
    <section class="panel empty" aria-labelledby="revision-title">
      <h2 id="revision-title">No revision yet</h2>
      <p>
        Floe watches <strong>{repository.branch}</strong> of <strong>{repositoryName(repository.url)}</strong>
        {repository.lastFetchAt === null ? ', and has not fetched it yet' : ''}. Push a commit to it: its way to the machines shows up here.
      </p>
      <p class="aside">With a webhook that takes seconds; without one, until the server looks by itself, which it does every few minutes.</p>
    </section>
  );
}

function OlderRevision({ sha, dashboard }: { readonly sha: string; readonly dashboard: Dashboard }) {
  const answer = useSignal<Answer<RevisionView> | undefined>(undefined);
  useEffect(() => {
    const leave = new AbortController();
    async function load(): Promise<void> {
      const got = await dashboard.api.revision(sha, leave.signal);
      if (!leave.signal.aborted) answer.value = got;
    }
    void load();
    return () => leave.abort();
  }, [sha]);
  const back = <a href={formatRoute({ kind: 'fleet' })}>Show the newest revision</a>;
  if (answer.value?.kind === 'ok') {
    return (
      <Revision revision={answer.value.value} title="Revision" now={dashboard.now}>
        {back}
      </Revision>
    );
  }
  return (
    <section class="panel empty" aria-labelledby="revision-title">
      <h2 id="revision-title">Revision {shortSha(sha)}</h2>
      <p role="status">{answer.value === undefined ? 'Loading …' : answer.value.message}</p>
      <p>{back}</p>
    </section>
  );
}

interface RevisionProps {
  readonly revision: RevisionView;
  readonly title: string;
  readonly now: ReadonlySignal<number>;
  readonly children?: ComponentChildren;
}

function Revision({ revision, title, now, children }: RevisionProps) {
  return (
    <section class="panel revision" aria-labelledby="revision-title">
      <h2 id="revision-title" class="overline">
        {title} <span class="aside">{words(revision.state)}</span>
      </h2>
      <p class="subject">{revision.subject}</p>
      <p class="aside">
        <code title={revision.sha}>{shortSha(revision.sha)}</code> by {revision.author}, received <Age at={revision.receivedAt} now={now} />{' '}
        {children}
      </p>
      {revision.error !== null && <pre class="error">{revision.error}</pre>}
      <StageList revision={revision} now={now} />
      {revision.rollout !== null && <RolloutProgress rollout={revision.rollout} />}
      <RevisionErrors revision={revision} />
    </section>
  );
}
