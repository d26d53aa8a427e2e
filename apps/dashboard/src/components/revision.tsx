import type { RevisionView } from '@floe/protocol';
import { buildLines, hotfixCommand, olderWords, revisionWords, rolloutDecisions, shortSha } from '@floe/views';
import type { ComponentChildren } from 'preact';
import type { Dashboard } from '../dashboard.ts';
import type { LiveFleet } from '../live-fleet.ts';
import { Age, clockTime } from './age.tsx';
import { CommitLink, ForgeLink } from './commit-link.tsx';
import { DecisionsWithCommands } from './decision-button.tsx';
import { RevisionErrors } from './revision-errors.tsx';
import { Rings } from './rings.tsx';
import { RolloutProgress } from './rollout-progress.tsx';
import { StageList } from './stage-list.tsx';

type Now = Dashboard['now'];

export interface RevisionProps {
  readonly revision: RevisionView;
  readonly fleet: LiveFleet;
  readonly dashboard: Dashboard;
  /** The heading. */
  readonly children: ComponentChildren;
}

/** A revision with its way from the push to the machines; what is on its page and on the fleet's. */
export function Revision({ revision, fleet, dashboard, children }: RevisionProps) {
  const { now } = dashboard;
  return (
    <>
      {children}
      <p class="subject">{revision.subject}</p>
      <p class="aside facts-line">
        <span>
          <CommitLink commit={revision.sha} /> · {revisionWords(revision)}
        </span>
        <span>by {revision.author}</span>
        <span>
          received <Age at={revision.receivedAt} now={now} />
        </span>
        {revision.supersededBy !== null && (
          <span>
            superseded by <CommitLink commit={revision.supersededBy} />
          </span>
        )}
        <ForgeLink fleet={fleet} revision={revision} />
      </p>
      {revision.waits !== null && <Waits revision={revision} waits={revision.waits} now={now} />}
      {revision.error !== null && <pre class="error">{revision.error}</pre>}
      <StageList revision={revision} now={now} />
      {revision.builds.length + revision.checkBuilds.length > 0 && <Builds revision={revision} now={now} />}
      {revision.rollout !== null && <RolloutProgress rollout={revision.rollout} now={now} />}
      {revision.rollout !== null && <Rings rollout={revision.rollout} fleet={fleet} dashboard={dashboard} />}
      <DecisionsWithCommands dashboard={dashboard} decisions={rolloutDecisions(revision, dashboard.actor.value?.person)} />
      <RevisionErrors revision={revision} />
    </>
  );
}

/** By itself, since it changes with every second. */
function Builds({ revision, now }: Pick<RevisionProps, 'revision'> & { readonly now: Now }) {
  return (
    <ul class="aside" aria-label="Builds that run">
      {buildLines(revision, now.value).map((line) => (
        <li key={line}>{line}</li>
      ))}
    </ul>
  );
}

/** By itself, since the day of a time changes at midnight. */
function Waits({
  revision,
  waits,
  now,
}: Pick<RevisionProps, 'revision'> & { readonly waits: NonNullable<RevisionView['waits']>; readonly now: Now }) {
  return (
    <p class="aside">
      {olderWords(waits, (at) => clockTime(at, now.value))}, or: <code>{hotfixCommand(shortSha(revision.sha))}</code>
    </p>
  );
}
