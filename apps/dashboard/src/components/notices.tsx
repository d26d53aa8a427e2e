import type { RepositoryView } from '@floe/protocol';
import type { ReadonlySignal } from '@preact/signals';
import type { Dashboard } from '../dashboard.ts';
import { ago, capitalised, shortSha } from '@floe/views';
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

/** What keeps the repository's newest commit from the fleet, and what to do about it. */
export function RepositoryNotices({ repository, now }: { readonly repository: RepositoryView; readonly now: ReadonlySignal<number> }) {
  const { problem, held, notices, fetching } = repository;
  return (
    <>
      {notices.map(({ code, message, since }) => (
        <section key={code} class="notice tone-bad" aria-label="Problem with the server">
          <Icon name="failed" />
          <div>
            <p>
              <strong>The server has a problem</strong>, since <Age at={since} now={now} />.
            </p>
            <p class="told">{message}</p>
          </div>
        </section>
      ))}
      {fetching !== null && (
        <section class="notice" aria-label="Fetch under way">
          <Icon name="under-way" />
          <div>
            <p class="told">
              {capitalised(fetching.message)}, begun <Age at={fetching.since} now={now} />.
            </p>
          </div>
        </section>
      )}
      {problem !== null && (
        <section class="notice tone-bad" aria-label="Problem with the repository">
          <Icon name="failed" />
          <div>
            <p>
              <strong>The repository has a problem</strong>, since <Age at={problem.since} now={now} />. The machines stay as they are.
            </p>
            <p class="told">{problem.message}</p>
          </div>
        </section>
      )}
      {held !== null && (
        <section class="notice tone-warn" aria-label="Held commit">
          <Icon name="behind" />
          <div>
            <p>
              <strong>
                Commit <code title={held.commit}>{shortSha(held.commit)}</code> is held
              </strong>
              , since <Age at={held.since} now={now} />. No machine gets it until someone lets it in.
            </p>
            <p class="told">{held.reason}</p>
            <p class="aside">Push a commit that follows the accepted one, or let this one in with:</p>
            <pre class="command">{`floe accept ${held.commit} --reason "…"`}</pre>
          </div>
        </section>
      )}
    </>
  );
}
