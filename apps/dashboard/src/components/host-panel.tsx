import type { HostView, ReportView } from '@floe/protocol';
import { useSignal } from '@preact/signals';
import type { ComponentChildren } from 'preact';
import { useEffect } from 'preact/hooks';
import type { Answer } from '../api.ts';
import type { Dashboard } from '../dashboard.ts';
import { capitalised, reasonOf, reasonToWait, standingWords, todoOf } from '@floe/views';
import { Age, Since } from './age.tsx';
import { ReportTable } from './report-table.tsx';

export interface HostPanelProps {
  readonly dashboard: Dashboard;
  readonly host: HostView;
}

/** All that is known of one host, and its last reports; they are read again when its state changes. */
export function HostPanel({ dashboard, host }: HostPanelProps) {
  const answer = useSignal<Answer<readonly ReportView[]> | undefined>(undefined);
  const attempt = useSignal(0);
  const todo = todoOf(host);
  useEffect(() => {
    const leave = new AbortController();
    async function load(): Promise<void> {
      const got = await dashboard.api.reports(host.host, leave.signal);
      if (!leave.signal.aborted) answer.value = got;
    }
    void load();
    return () => leave.abort();
  }, [host.host, host.state, host.stateSince, attempt.value]);
  return (
    <div class="host-panel">
      {host.problem === null ? <Reason dashboard={dashboard} host={host} /> : <pre class="error">{host.problem}</pre>}
      {todo !== null && <p class="todo">{todo}</p>}
      <Facts dashboard={dashboard} host={host} />
      <h3 class="overline">Last reports</h3>
      <Reports answer={answer.value} dashboard={dashboard} onRetry={() => (attempt.value += 1)} />
    </div>
  );
}

/** Why a host that is no problem is not on what it was told, and since when. */
function Reason({ dashboard, host }: HostPanelProps) {
  const hint = reasonOf(host);
  if (hint === null) return null;
  if (reasonToWait(host) === null || host.stateSince === null) return <p class="told">{hint}</p>;
  return (
    <p class="told">
      <strong>
        {capitalised(standingWords(host))} since <Since at={host.stateSince} now={dashboard.now} />
      </strong>
      : {hint}
    </p>
  );
}

interface ReportsProps {
  readonly answer: Answer<readonly ReportView[]> | undefined;
  readonly dashboard: Dashboard;
  readonly onRetry: () => void;
}

function Reports({ answer, dashboard, onRetry }: ReportsProps) {
  if (answer === undefined) return <p class="aside">Loading …</p>;
  if (answer.kind !== 'ok') {
    return (
      <p role="alert">
        {answer.message}{' '}
        <button type="button" onClick={onRetry}>
          Try again
        </button>
      </p>
    );
  }
  if (answer.value.length === 0) return <p class="aside">It has not reported anything yet.</p>;
  return <ReportTable reports={answer.value} dashboard={dashboard} />;
}

function Facts({ dashboard, host }: HostPanelProps) {
  const { desired, observed } = host;
  return (
    <dl class="facts">
      <Fact name="Desired">
        {desired === null ? 'nothing yet' : <code>{desired.toplevel}</code>}
        {desired !== null && (
          <span class="aside">
            {desired.commit !== null && `commit ${desired.commit}, `}sequence {desired.sequence}, epoch {desired.epoch},{' '}
            <Age at={desired.since} now={dashboard.now} />
          </span>
        )}
      </Fact>
      <Fact name="Runs">{observed.current === null ? 'unknown' : <code>{observed.current}</code>}</Fact>
      <Fact name="Was started with">{observed.booted === null ? 'unknown' : <code>{observed.booted}</code>}</Fact>
      <Fact name="Starts next time">
        {observed.profile === null ? 'unknown' : <code>{observed.profile.toplevel}</code>}
        {observed.profile !== null && <span class="aside">generation {observed.profile.generation}</span>}
      </Fact>
      <Fact name="Agent">{host.agentVersion ?? 'unknown'}</Fact>
      <Fact name="Machine id">{host.machineId === null ? 'unknown' : <code>{host.machineId}</code>}</Fact>
    </dl>
  );
}

function Fact({ name, children }: { readonly name: string; readonly children: ComponentChildren }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}
