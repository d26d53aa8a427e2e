import type { FreezeView, HostView, ReportView } from '@floe/protocol';
import {
  capitalised,
  freezeWords,
  labelStopWords,
  orderWords,
  reasonOf,
  standingWords,
  stepWords,
  submissionWords,
  switchesOf,
  todoOf,
  trialEndWords,
} from '@floe/views';
import { useSignal } from '@preact/signals';
import type { ComponentChildren } from 'preact';
import type { Dashboard } from '../dashboard.ts';
import { hostOf, type LiveFleet } from '../live-fleet.ts';
import { FLEET, formatRoute } from '../route.ts';
import { iconOf, toneOf } from '../standing.ts';
import { Age, Since } from './age.tsx';
import { CommitLink } from './commit-link.tsx';
import { DecisionsWithCommands } from './decision-button.tsx';
import { Icon } from './icon.tsx';
import { Loaded, useAsked } from './loaded.tsx';
import { PageTitle } from './page-title.tsx';
import { Presence } from './presence.tsx';
import { ReportLog } from './report-log.tsx';
import { SwitchTable } from './switch-table.tsx';
import { WhyList } from './why-list.tsx';

export interface HostPageProps {
  readonly dashboard: Dashboard;
  readonly fleet: LiveFleet;
  readonly name: string;
}

/** Reports read at first, and all that the server gives at once. */
const REPORTS = { first: 100, most: 1_000 } as const;

/** All that is known of one host; its history is read again when its state changes. */
export function HostPage({ dashboard, fleet, name }: HostPageProps) {
  const host = hostOf(fleet, name);
  return (
    <section class="panel host-page" aria-labelledby="page-title">
      <nav class="crumbs" aria-label="Path">
        <a href={formatRoute(FLEET)}>All hosts</a>
      </nav>
      <PageTitle>{name}</PageTitle>
      {host === undefined ? (
        <p>There is no host {name} in this fleet.</p>
      ) : (
        <Host dashboard={dashboard} host={host} freeze={fleet.repository.freeze} course={courseOf(fleet)} />
      )}
    </section>
  );
}

interface HostProps {
  readonly dashboard: Dashboard;
  readonly host: HostView;
}

/** A text that changes whenever commits or rollouts go on. */
function courseOf({ revision, repository }: LiveFleet): string {
  const { freeze, followed } = repository;
  return JSON.stringify([revision?.sha, revision?.state, revision?.waits, revision?.rollout?.description, followed?.rollout.description, freeze?.at]);
}

function Host({ dashboard, host, freeze, course }: HostProps & { readonly freeze: FreezeView | null; readonly course: string }) {
  const limit = useSignal<number>(REPORTS.first);
  const asked = useAsked(async (signal) => await dashboard.api.reports(host.host, limit.value, signal), [host.state, host.stateSince, limit.value]);
  const reason = reasonOf(host) ?? host.detail?.message ?? null;
  const todo = todoOf(host);
  const orders = [...host.orders.map(orderWords), ...host.stops.map(labelStopWords), ...(freeze === null ? [] : [freezeWords(freeze)])].map(
    capitalised,
  );
  return (
    <>
      <p class="standing-line">
        <span class={`mark tone-${toneOf(host)}`}>
          <Icon name={iconOf(host)} />
          <strong>{capitalised(standingWords(host))}</strong>
        </span>
        {host.standing === 'under-way' && <span>{stepWords(host)}</span>}
        {host.stateSince !== null && (
          <span class="aside">
            since <Since at={host.stateSince} now={dashboard.now} />
          </span>
        )}
        <Presence dashboard={dashboard} host={host} />
      </p>
      {reason !== null && <pre class={host.problem === null ? 'reason' : 'error'}>{reason}</pre>}
      {orders.length > 0 && (
        <ul class="orders" aria-label="Ordered">
          {orders.map((text) => (
            <li key={text}>{text}</li>
          ))}
        </ul>
      )}
      {todo !== null && <p class="todo">{todo}</p>}
      <DecisionsWithCommands dashboard={dashboard} decisions={host.actions.map((kind) => ({ kind, host: host.host }))} />
      <WhyList
        dashboard={dashboard}
        host={host.host}
        keys={[course, host.standing, host.isConnected, host.state, host.stateSince, host.desired?.epoch, orders.join()]}
      />
      <LastLog dashboard={dashboard} host={host} reports={asked.answer?.kind === 'ok' ? asked.answer.value : []} />
      <Facts dashboard={dashboard} host={host} />
      <h3 class="overline">Switches</h3>
      <Loaded asked={asked}>
        {(reports) => (
          <>
            <SwitchTable switches={switchesOf(reports)} dashboard={dashboard} />
            {reports.length >= limit.value && limit.value < REPORTS.most && (
              <p class="more">
                <button type="button" onClick={() => (limit.value = REPORTS.most)}>
                  Show older
                </button>
              </p>
            )}
          </>
        )}
      </Loaded>
    </>
  );
}

/** The end of the log of the last failure, as long as the host is not where it should be. */
function LastLog({ dashboard, host, reports }: HostProps & { readonly reports: readonly ReportView[] }) {
  const logged = host.standing === 'in-sync' ? undefined : reports.find(({ hasLog }) => hasLog);
  if (logged === undefined) return null;
  return <ReportLog key={`${logged.series} ${logged.seq}`} api={dashboard.api} report={logged} title="End of the log" isOpen />;
}

function Facts({ dashboard, host }: HostProps) {
  const { desired, observed, runs } = host;
  const isSame = desired !== null && desired.toplevel === observed.current;
  return (
    <dl class="facts">
      <Fact name="Runs">
        {runs !== null && <CommitLink commit={runs.commit} subject={runs.subject} />}
        {observed.current === null ? 'unknown' : <code>{observed.current}</code>}
      </Fact>
      <Fact name="Should run">
        {desired === null ? (
          'nothing yet'
        ) : isSame ? (
          'what it runs'
        ) : (
          <>
            {desired.commit !== null && <CommitLink commit={desired.commit} subject={desired.subject} />}
            <code>{desired.toplevel}</code>
          </>
        )}
        {desired !== null && (
          <span class="aside">
            sequence {desired.sequence}, epoch {desired.epoch}, told <Age at={desired.since} now={dashboard.now} />
          </span>
        )}
      </Fact>
      {host.trial !== null && (
        <Fact name="Tries">
          <CommitLink commit={host.trial.commit} subject={null} />
          <span class="aside">
            until <Since at={host.trial.endsAt} now={dashboard.now} />, by {host.trial.by}; to end it:
          </span>
          <code>{`floe try ${host.host} --end --reason "…"`}</code>
        </Fact>
      )}
      {host.lastTrial !== null && (
        <Fact name="Last trial">
          {trialEndWords(host.lastTrial)}
          <span class="aside">
            <Age at={host.lastTrial.endedAt} now={dashboard.now} />
          </span>
        </Fact>
      )}
      {host.submission !== null && <Fact name="Store path">{submissionWords(host.submission)}</Fact>}
      <Fact name="Starts next time">
        {observed.profile === null ? (
          'unknown'
        ) : observed.profile.toplevel === observed.current ? (
          'what it runs'
        ) : (
          <code>{observed.profile.toplevel}</code>
        )}
        {observed.profile !== null && <span class="aside">generation {observed.profile.generation}</span>}
      </Fact>
      <Fact name="Was started with">
        {observed.booted === null ? 'unknown' : observed.booted === observed.current ? 'what it runs' : <code>{observed.booted}</code>}
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
