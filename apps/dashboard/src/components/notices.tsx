import type { RepositoryView } from '@floe/protocol';
import type { ReadonlySignal } from '@preact/signals';
import type { Dashboard } from '../dashboard.ts';
import { ago, capitalised } from '@floe/views';
import { Age, exactTime } from './age.tsx';
import { Icon } from './icon.tsx';

/** Says that what is shown may be old, since when, and when the next attempt is. Not a live region: it counts seconds. */
export function ConnectionBanner({ dashboard }: { readonly dashboard: Dashboard }) {
  const connection = dashboard.connection.value;
  if (connection.kind !== 'lost') return null;
  const now = dashboard.now.value;
  const heardAt = dashboard.lastHeardAt.value;
  const waitS = Math.ceil((connection.retryAt - now) / 1_000);
  return (
    <section class="notice tone-warn banner" aria-label="Connection">
      <Icon name="behind" />
      <div>
        <p>
          <strong>Not live</strong>
          {heardAt !== null && (
            <>
              , last seen <time dateTime={new Date(heardAt).toISOString()}>{exactTime(heardAt)}</time> ({ago(heardAt, now)})
            </>
          )}
          . {connection.reason}
        </p>
        <p class="aside">{waitS > 0 ? `Next attempt in ${waitS} s.` : 'Trying again …'}</p>
      </div>
      <button type="button" onClick={() => dashboard.retryNow()}>
        Try now
      </button>
    </section>
  );
}

/** What would make things better; nobody has to do it. */
export function Advice({ repository: { advice } }: { readonly repository: RepositoryView }) {
  if (advice === null) return null;
  return (
    <section class="notice" aria-label="Advice">
      <Icon name="waiting" />
      <div>
        <p class="told">{capitalised(advice)}.</p>
      </div>
    </section>
  );
}

/** How far a fetch is that takes long. */
export function FetchNotice({ repository: { fetching }, now }: { readonly repository: RepositoryView; readonly now: ReadonlySignal<number> }) {
  if (fetching === null) return null;
  return (
    <section class="notice" aria-label="Fetch under way">
      <Icon name="under-way" />
      <div>
        <p class="told">
          {capitalised(fetching.message)}, begun <Age at={fetching.since} now={now} />.
        </p>
      </div>
    </section>
  );
}
