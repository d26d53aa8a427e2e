import type { LiveFleet } from './live-fleet.ts';
import { revisionWords, shortSha, standingWords } from '@floe/views';

/** More changes at once than this are counted, not read out. */
const MAX_NAMED = 3;

/** What a person who does not see the page should hear about a change; empty when it is not worth a word. */
export function announce(before: LiveFleet, after: LiveFleet): string {
  const told: string[] = [];
  if (after.repository.held !== null && before.repository.held?.commit !== after.repository.held.commit) {
    told.push(`Commit ${shortSha(after.repository.held.commit)} is held`);
  }
  if (after.repository.problem !== null && before.repository.problem?.code !== after.repository.problem.code) {
    told.push(`Problem with the repository: ${after.repository.problem.message}`);
  }
  const { revision } = after;
  if (revision !== null && (before.revision?.sha !== revision.sha || before.revision.state !== revision.state)) {
    told.push(`Revision ${shortSha(revision.sha)} ${revisionWords(revision)}`);
  } else if (revision?.rollout?.state === 'COMPLETE' && before.revision?.rollout?.state !== 'COMPLETE') {
    told.push(`Rollout complete: ${revision.rollout.description}`);
  } else if (revision?.rollout != null && before.revision?.rollout != null && revision.rollout.state !== before.revision.rollout.state) {
    told.push(`Rollout: ${revision.rollout.description}`);
  }
  return [...told, ...announceHosts(before, after)].join('. ');
}

/** Steps of a host that is under way are seen, but not read out. */
function announceHosts(before: LiveFleet, after: LiveFleet): readonly string[] {
  const named: string[] = [];
  let changed = 0;
  for (const [name, host] of after.hosts) {
    const earlier = before.hosts.get(name);
    if (earlier === host || earlier?.standing === host.standing) continue;
    changed += 1;
    if (named.length < MAX_NAMED) named.push(`${name} ${standingWords(host)}`);
  }
  return changed <= MAX_NAMED ? named : [`${changed} hosts changed`];
}
