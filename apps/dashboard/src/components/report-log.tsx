import type { ReportView } from '@floe/protocol';
import { useSignal } from '@preact/signals';
import { useEffect } from 'preact/hooks';
import type { Answer, Api } from '../api.ts';

export interface ReportLogProps {
  readonly api: Api;
  readonly report: ReportView;
  readonly title: string;
  /** Unfolded from the start. */
  readonly isOpen?: boolean;
}

/** What matters of a log is at its end. */
function toItsEnd(log: HTMLElement | null): void {
  if (log !== null) log.scrollTop = log.scrollHeight;
}

/** The log of a step that failed: asked for when somebody unfolds it. */
export function ReportLog({ api, report, title, isOpen: isOpenFirst = false }: ReportLogProps) {
  const { host, series, seq } = report;
  const isOpen = useSignal(isOpenFirst);
  const answer = useSignal<Answer<string> | undefined>(undefined);
  useEffect(() => {
    if (!isOpen.value || answer.value?.kind === 'ok') return undefined;
    const leave = new AbortController();
    async function load(): Promise<void> {
      const got = await api.reportLog({ host, series, seq }, leave.signal);
      if (!leave.signal.aborted) answer.value = got;
    }
    void load();
    return () => leave.abort();
  }, [host, series, seq, isOpen.value]);
  return (
    <details class="log" open={isOpen.value} onToggle={(event) => (isOpen.value = event.currentTarget.open)}>
      <summary>{title}</summary>
      {!isOpen.value ? null : answer.value === undefined ? (
        <p class="aside">Loading …</p>
      ) : answer.value.kind === 'ok' ? (
        // The keyboard scrolls what has the focus.
        <pre ref={toItsEnd} tabIndex={0} aria-label={title} role="region">
          {answer.value.value}
        </pre>
      ) : (
        <p role="alert">{answer.value.message}</p>
      )}
    </details>
  );
}
