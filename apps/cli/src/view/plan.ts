import type { RolloutPlanView } from '@floe/protocol';
import {
  capitalised,
  nameMany,
  nextWords,
  PLAN_ASSUMES,
  planBegins,
  planNeeds,
  planPasses,
  planStopped,
  planUnpublished,
  rolloutStateWords,
  shortSha,
} from '@floe/views';
import { minuteTime } from './clock-time.ts';
import { formatBlock, formatTable, type Cell, type View } from './terminal.ts';

/** What is to come of a rollout: when, who, and under which gates. */
export function formatPlan({ sha, state, waits, unpublished, rings, stopped }: RolloutPlanView, view: View): string {
  const { style, now } = view;
  const begins = state === 'NEXT' ? 'has not begun' : rolloutStateWords(state);
  const where = waits === null ? begins : nextWords(waits, minuteTime);
  const known = unpublished === null ? [] : planUnpublished(unpublished);
  const title = [`${style('strong', shortSha(sha))}  the rollout ${where}`, ...known].join('\n');
  const waiting = stopped.map((each) => capitalised(`${planStopped(each, minuteTime)}.`));
  if (rings.length === 0 && unpublished?.isListed === false) return title;
  if (rings.length === 0) return [`${title}\n${waiting.length === 0 ? 'Nothing is to come.' : 'All rings have passed.'}`, ...waiting].join('\n');
  const rows = rings.map((ring): Cell[] => [
    { text: ring.name },
    { text: ring.eligible === 0 ? '–' : String(ring.eligible) },
    { text: ring.eligible === ring.connected ? '–' : String(ring.eligible - ring.connected) },
    { text: planBegins(ring, now, minuteTime) },
    { text: planPasses(ring, now, minuteTime) },
    { text: planNeeds(ring) },
  ]);
  const table = formatTable(['RING', 'CHANGE', 'AWAY', 'BEGINS', 'PASSED', 'NEEDS'], rows, view, ['AWAY']);
  const blocks = rings
    .filter(({ isSkipped }) => !isSkipped)
    .map(({ name, hosts, eligible, gates }) => {
      // Those without a name are only counted.
      const names = Array.from({ length: eligible }, (_, index) => hosts[index] ?? '');
      return `${style('strong', `Ring ${name}`)}  ${nameMany(names)}\n${formatBlock(gates.join('\n'))}`;
    });
  return [`${title}\n${style('quiet', PLAN_ASSUMES)}`, table, ...(waiting.length === 0 ? [] : [waiting.join('\n')]), ...blocks].join('\n\n');
}
