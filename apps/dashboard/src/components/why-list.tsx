import { useAsked } from './loaded.tsx';
import type { Dashboard } from '../dashboard.ts';

export interface WhyListProps {
  readonly dashboard: Dashboard;
  readonly host: string;
  /** Whatever the answer may depend on: it is asked again when one of them changes. Their number stays the same. */
  readonly keys: readonly unknown[];
}

/** What stands between the host and the newest commit, a line for each rule, and what ends it: as `floe why` says it. */
export function WhyList({ dashboard, host, keys }: WhyListProps) {
  const { answer } = useAsked(async (signal) => await dashboard.api.why(host, signal), [host, ...keys]);
  if (answer?.kind !== 'ok' || answer.value.length === 0) return null;
  return (
    <>
      <h3 class="overline">Why it does not run the newest commit</h3>
      <ol class="why" aria-label="Why it does not run the newest commit">
        {answer.value.map(({ text, end }) => (
          <li key={text}>
            {text} <span class="aside">→ {end}</span>
          </li>
        ))}
      </ol>
    </>
  );
}
