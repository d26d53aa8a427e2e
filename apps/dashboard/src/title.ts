import { revisionWords, shortSha, standingWords, type Verdict } from '@floe/views';
import type { Session } from './dashboard.ts';
import { hostOf, type LiveFleet } from './live-fleet.ts';
import type { Route } from './route.ts';

export interface TitleFacts {
  readonly session: Session;
  readonly fleet: LiveFleet | null;
  readonly verdict: Verdict | null;
  readonly route: Route;
}

/** What the tab of the browser says: where that stands which the page shows. */
export function titleOf({ session, fleet, verdict, route }: TitleFacts): string {
  if (session === 'signed-out') return 'Sign in · Floe';
  if (fleet === null || verdict === null) return 'Floe';
  return `${subjectOf(route, fleet, verdict)} · Floe`;
}

function subjectOf(route: Route, fleet: LiveFleet, verdict: Verdict): string {
  switch (route.kind) {
    case 'fleet':
      return verdict.short;
    case 'host': {
      const host = hostOf(fleet, route.host);
      return host === undefined ? `${route.host}: no such host` : `${route.host}: ${standingWords(host)}`;
    }
    case 'revisions':
      return 'Revisions';
    case 'revision': {
      const { revision } = fleet;
      const commit = `Commit ${shortSha(route.sha)}`;
      if (revision?.sha.startsWith(route.sha) !== true) return commit;
      return `${commit}: ${revision.rollout === null ? revisionWords(revision) : revision.rollout.description}`;
    }
  }
}
