import type { RevisionView } from '@floe/protocol';
import { count, firstLine } from '@floe/views';

/** When everything fails it is for one reason: the first few say it. */
const MAX_SHOWN = 20;

/** The hosts that this revision could not be evaluated or built for, each with its error to unfold. */
export function RevisionErrors({ revision }: { readonly revision: RevisionView }) {
  const failed = revision.hosts.filter((host) => host.error !== null);
  if (failed.length === 0) return null;
  return (
    <div class="errors">
      <h3 class="overline">{count(failed.length, 'host')} without a release of it</h3>
      {failed.slice(0, MAX_SHOWN).map((host) => (
        <details key={host.host}>
          <summary>
            <strong>{host.host}</strong> {host.outcome === 'BUILD_ERROR' ? 'does not build' : 'does not evaluate'}:{' '}
            <span class="told">{firstLine(host.error ?? '')}</span>
          </summary>
          <pre class="error">{host.error}</pre>
        </details>
      ))}
      {failed.length > MAX_SHOWN && <p class="aside">And {failed.length - MAX_SHOWN} more: filter the hosts below by “behind”.</p>}
    </div>
  );
}
