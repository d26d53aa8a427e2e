import type { Simulation } from '../simulation.ts';
import type { RevisionStory } from '../story.ts';
import { describeMs } from '../summary.ts';
import { PUSHES, pushKind, STATES } from './colors.ts';
import { fitting, type Drawing } from './drawing.ts';
import { counted, dateOf, WIDTH, xOf, type Frame } from './frame.ts';

export const ROW_HEIGHT = 20;
const STYLE = { size: 11 } as const;

/** A row for each revision: its rollout as a bar by state, and beside it its result, in words. */
export function drawRollouts(drawing: Drawing, frame: Frame, simulation: Simulation, top: number): void {
  const { stories, end } = simulation;
  for (const [index, story] of stories.entries()) {
    const y = top + index * ROW_HEIGHT;
    const kind = pushKind(story);
    const style = { ...STYLE, color: PUSHES[kind].color, isBold: kind !== 'good' };
    const what = kind === 'bad' ? 'BAD' : kind === 'fix' ? 'urgent fix' : 'good';
    drawing.text(36, y + 14, `${story.sequence}`, { ...style, anchor: 'end' });
    drawing.text(46, y + 14, dateOf(story.at), style);
    drawing.text(frame.left - 10, y + 14, what, { ...style, anchor: 'end' });
    for (const { state, from, to, words } of segments(story, stories[index + 1]?.at ?? end, end)) {
      const { color, label } = STATES[state];
      const box = { x: xOf(frame, from), y: y + 3, width: Math.max(1, xOf(frame, to) - xOf(frame, from)), height: ROW_HEIGHT - 6 };
      drawing.rect(box, color, { of: state, title: words ?? label });
    }
    const told = fitting(outcome(story, simulation), WIDTH - frame.right - 24, style);
    drawing.text(frame.right + 12, y + 14, told, style);
  }
}

interface Segment {
  readonly state: keyof typeof STATES;
  readonly from: number;
  readonly to: number;
  readonly words: string | undefined;
}

/** `nextAt`: when the next revision was pushed. */
function segments({ at, steps, supersededAt }: RevisionStory, nextAt: number, end: number): readonly Segment[] {
  const [first] = steps;
  const over = supersededAt ?? end;
  const waited: Segment = { state: 'NEXT', from: at, to: first?.at ?? nextAt, words: undefined };
  const own = steps.map((step, index): Segment => ({
    state: step.state,
    from: step.at,
    to: Math.min(over, steps[index + 1]?.at ?? over),
    words: step.pause,
  }));
  return first === undefined || first.at > at ? [waited, ...own] : own;
}

function outcome(story: RevisionStory, { stories, options }: Simulation): string {
  const { steps, tried, isBad, at, changed } = story;
  const next = stories.find(({ sequence }) => sequence > story.sequence);
  const pauses = steps.filter(({ state }) => state === 'PAUSED');
  const [pause] = pauses;
  const paused =
    pause === undefined ? [] : [`paused in ${pause.ringName}: ${pause.pause}${pauses.length > 1 ? ` (and ${pauses.length - 1} more)` : ''}`];
  const complete = steps.findLast(({ state }) => state === 'COMPLETE');
  const last = steps.at(-1);
  const ending =
    last === undefined
      ? `never began: ${next?.sequence ?? 'none'} took its place`
      : complete !== undefined
        ? changed.size === 0
          ? 'complete: it changed no host'
          : `complete after ${describeMs(complete.at - at)}`
        : story.supersededAt !== undefined
          ? `left ${last.state === 'PAUSED' ? 'paused' : 'unfinished'} when a newer one began`
          : STATES[last.state].label;
  const hit = isBad ? [`${counted(tried.size)} of ${options.hosts.toLocaleString('en-GB')} ever ran it`] : [];
  return [...hit, ...paused, ...(isBad && paused.length > 0 ? [] : [ending])].join('; ');
}
