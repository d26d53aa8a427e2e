import type { RepositoryView } from '@floe/protocol';
import { capitalised, freezeWords, labelStopWords, pauseDecisions, rolloutDecisions, rolloutStateWords } from '@floe/views';
import type { Dashboard } from '../dashboard.ts';
import type { LiveFleet } from '../live-fleet.ts';
import { CommitLink } from './commit-link.tsx';
import { DecisionsWithCommands } from './decision-button.tsx';
import { Rings } from './rings.tsx';

interface FollowedProps {
  readonly dashboard: Dashboard;
  readonly fleet: LiveFleet;
}

/** What hosts go by while the newest commit has no rollout that they follow: an older commit's, and what people paused. */
export function Followed({ dashboard, fleet }: FollowedProps) {
  const { followed } = fleet.repository;
  if (followed === null) return fleet.revision?.rollout === null ? <Pauses dashboard={dashboard} repository={fleet.repository} /> : null;
  const { sha, subject, rollout } = followed;
  return (
    <section class="followed" aria-label="The rollout that hosts follow">
      <p class="facts-line">
        <span>
          Hosts follow <CommitLink commit={sha} subject={subject} />: its rollout {rolloutStateWords(rollout.state)}
        </span>
        <span class="aside">{rollout.description}</span>
      </p>
      <Rings rollout={rollout} fleet={fleet} dashboard={dashboard} />
      <DecisionsWithCommands dashboard={dashboard} decisions={rolloutDecisions({ sha, rollout }, dashboard.actor.value?.person)} />
    </section>
  );
}

function Pauses({ dashboard, repository: { freeze, stops } }: { readonly dashboard: Dashboard; readonly repository: RepositoryView }) {
  const told = [...(freeze === null ? [] : [freezeWords(freeze)]), ...stops.map(labelStopWords)];
  if (told.length === 0) return null;
  return (
    <section class="followed" aria-label="What people paused">
      {told.map((text) => (
        <p class="freeze" key={text}>
          {capitalised(text)}
        </p>
      ))}
      <DecisionsWithCommands dashboard={dashboard} decisions={pauseDecisions({ freeze, stops })} />
    </section>
  );
}
