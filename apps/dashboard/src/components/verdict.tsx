import { attentionOf, sameAttention, verdictOf } from '@floe/views';
import type { LiveFleet } from '../live-fleet.ts';
import { Icon } from './icon.tsx';

/** More than these are found by the filter. */
const MAX_NAMED = 5;

/** What `floe status` says at its end: how much needs a person, and what. */
export function Verdict({ fleet }: { readonly fleet: LiveFleet }) {
  const attention = attentionOf({ repository: fleet.repository, revision: fleet.revision, hosts: fleet.hosts.values() });
  const subjects = [...new Set(sameAttention(attention).flatMap((each) => each.subjects))];
  const isCalm = attention.length === 0;
  return (
    <p class={`verdict mark tone-${isCalm ? 'good' : 'bad'}`}>
      <Icon name={isCalm ? 'done' : 'failed'} />
      <span>
        <strong>{verdictOf(attention)}</strong>
        {!isCalm && `: ${subjects.slice(0, MAX_NAMED).join(', ')}`}
        {subjects.length > MAX_NAMED && ` and ${subjects.length - MAX_NAMED} more`}
      </span>
    </p>
  );
}
