import { NEEDS_YOU, sameAttention, withShortPaths, type Attention, type SharedAttention } from '@floe/views';
import type { Dashboard } from '../dashboard.ts';
import { formatRoute } from '../route.ts';
import { Age } from './age.tsx';
import { DecisionButtons } from './decision-button.tsx';

/** More than these are found by the filter of the hosts. */
const MAX_SHOWN = 12;
const MAX_LINKS = 12;

export interface AttentionListProps {
  readonly dashboard: Dashboard;
  readonly attention: readonly Attention[];
  readonly hasHost: (name: string) => boolean;
}

/** What `floe status` says at its end: each trouble once, with its reason and what to do. */
export function AttentionList({ dashboard, attention, hasHost }: AttentionListProps) {
  if (attention.length === 0) return null;
  const groups = sameAttention(attention);
  const rest = groups.slice(MAX_SHOWN).reduce((sum, { subjects }) => sum + subjects.length, 0);
  return (
    <section class="panel attention" aria-labelledby="attention-title">
      <h2 id="attention-title" class="overline">
        {NEEDS_YOU}
      </h2>
      <ul>
        {groups.slice(0, MAX_SHOWN).map((group) => (
          <li key={`${group.kind} ${group.subjects[0] ?? ''} ${group.message}`}>
            <Trouble dashboard={dashboard} group={group} hasHost={hasHost} />
          </li>
        ))}
      </ul>
      {rest > 0 && <p class="aside">And {rest.toLocaleString('en')} more: see the hosts below.</p>}
    </section>
  );
}

function Trouble({ dashboard, group, hasHost }: { readonly group: SharedAttention } & Omit<AttentionListProps, 'attention'>) {
  const { subjects, message, code, todo, since } = group;
  const hidden = subjects.length - MAX_LINKS;
  return (
    <>
      <p class="who">
        {subjects.slice(0, MAX_LINKS).map((subject, index) => (
          <span key={subject}>
            {index > 0 && ', '}
            {group.kind === 'host' && hasHost(subject) ? (
              <a href={formatRoute({ kind: 'host', host: subject })}>{subject}</a>
            ) : (
              <strong>{subject}</strong>
            )}
          </span>
        ))}
        {hidden > 0 && ` and ${hidden.toLocaleString('en')} more`}
        {code !== undefined && <span class="aside"> {code}</span>}
        {since !== null && (
          <span class="aside">
            {' '}
            <Age at={since} now={dashboard.now} />
          </span>
        )}
      </p>
      <pre class="reason" tabIndex={message.includes('\n') ? 0 : undefined}>
        {withShortPaths(message)}
      </pre>
      {todo !== null && <p class="todo">{todo}</p>}
      {/* Of several hosts each is decided about on its own page. */}
      {subjects.length === 1 && <DecisionButtons dashboard={dashboard} decisions={group.decisions} />}
    </>
  );
}
