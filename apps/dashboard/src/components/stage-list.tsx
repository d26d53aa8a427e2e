import type { RevisionView } from '@floe/protocol';
import type { ReadonlySignal } from '@preact/signals';
import { capitalised, duration, stageMs, stagesOf, type Stage } from '@floe/views';
import { exactTime } from './age.tsx';
import { Icon } from './icon.tsx';

/** A revision's steps in order, each with its standing in words and how long it took. */
export function StageList({ revision, now }: { readonly revision: RevisionView; readonly now: ReadonlySignal<number> }) {
  return (
    <ol class="stages" aria-label="Stages">
      {stagesOf(revision).map((stage) => (
        <li key={stage.name} class={`stage stage-${stage.status}`}>
          <Icon name={stage.status === 'waiting' ? 'to-come' : stage.status} />
          <span class="stage-title">{titleOf(stage)}</span>
          <StageTime stage={stage} now={now} />
        </li>
      ))}
    </ol>
  );
}

function titleOf({ name }: Stage): string {
  return name === 'rollout' ? 'Rolled out' : capitalised(name);
}

function StageTime({ stage, now }: { readonly stage: Stage; readonly now: ReadonlySignal<number> }) {
  if (stage.status === 'waiting') return <span class="aside">waiting</span>;
  if (stage.status === 'skipped') return <span class="aside">not done</span>;
  // Only a running stage is drawn again every second.
  const ms = stageMs(stage, stage.status === 'running' ? now.value : 0);
  if (stage.status === 'held') return <span class="tone-warn">held</span>;
  if (stage.status === 'failed') return <span class="tone-bad">{stage.share === null ? 'failed' : `failed, ${stage.share}`}</span>;
  if (stage.status === 'running')
    return <span class="tone-busy">{ms === null ? 'under way' : `for ${duration(Math.floor(ms / 1_000) * 1_000)}`}</span>;
  if (stage.at === null) return <span class="aside">{stage.share ?? 'done'}</span>;
  return (
    <time class="aside" dateTime={new Date(stage.at).toISOString()} title={exactTime(stage.at)}>
      {ms === null ? new Date(stage.at).toLocaleTimeString() : `in ${duration(ms)}`}
      {stage.share !== null && <span class="tone-warn">, {stage.share}</span>}
    </time>
  );
}
