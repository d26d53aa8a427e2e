import type { RevisionView } from '@floe/protocol';
import { count, failureWords, firstLine } from '@floe/views';

/** When everything fails it is for one reason: the first few say it. */
const MAX_SHOWN = 20;

/** The hosts that this revision could not be evaluated or built for, and those that warn, each with its words to unfold. */
export function RevisionErrors({ revision }: { readonly revision: RevisionView }) {
  const failed = revision.hosts.filter((host) => host.error !== null);
  const warning = revision.hosts.filter((host) => host.warnings.length > 0);
  if (failed.length === 0 && warning.length === 0 && revision.warnings.length === 0) return null;
  return (
    <div class="errors">
      {revision.warnings.map((text) => (
        <p key={text} class="told">
          {text}
        </p>
      ))}
      {failed.length > 0 && <h3 class="overline">{count(failed.length, 'host')} failed in this commit</h3>}
      {failed.slice(0, MAX_SHOWN).map((host) => (
        <details key={host.host}>
          <summary>
            <strong>{host.host}</strong> {failureWords(host.outcome)}
            {host.retryAt === null ? '' : ', is tried again'}: <span class="told">{firstLine(host.error ?? '')}</span>
          </summary>
          <pre class="error">{host.error}</pre>
        </details>
      ))}
      {warning.slice(0, MAX_SHOWN).map((host) => (
        <details key={`${host.host} warns`}>
          <summary>
            <strong>{host.host}</strong> warns: <span class="told">{firstLine(host.warnings[0] ?? '')}</span>
          </summary>
          <pre>{host.warnings.join('\n')}</pre>
        </details>
      ))}
      {failed.length > MAX_SHOWN && <p class="aside">And {failed.length - MAX_SHOWN} more: filter the hosts below by “behind”.</p>}
    </div>
  );
}
