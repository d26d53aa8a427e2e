import type { Sample } from '../sample.ts';
import type { Simulation } from '../simulation.ts';
import type { RevisionStory } from '../story.ts';
import { LAYERS, PUSHES, pushKind } from './colors.ts';
import type { Drawing } from './drawing.ts';
import { xOf, type Frame } from './frame.ts';

const AXIS_STYLE = { size: 11, color: '#4d5c6b', anchor: 'end' } as const;

/** The share of the fleet by what it runs, over time; who is online; and when revisions were pushed. */
export function drawFleet(drawing: Drawing, frame: Frame, { samples, options }: Simulation, top: number, bottom: number): void {
  const y = (count: number): number => bottom - ((bottom - top) * count) / options.hosts;
  let below = samples.map(() => 0);
  for (const { of, color } of LAYERS) {
    const above = samples.map((sample, index) => (below[index] ?? 0) + sample[of]);
    const edge = (counts: readonly number[]) => samples.map(({ at }, index) => [xOf(frame, at), y(counts[index] ?? 0)] as const);
    drawing.shape([...edge(above), ...edge(below).toReversed()], `fill="${color}" data-of="${of}"`);
    below = above;
  }
  const online = samples.map((sample: Sample) => [xOf(frame, sample.at), y(sample.online)] as const);
  drawing.shape(online, 'fill="none" stroke="#26323f" stroke-width="1.4" stroke-dasharray="4 2" data-of="online"', 'polyline');
  for (const percent of [0, 25, 50, 75, 100]) {
    const at = y((options.hosts * percent) / 100);
    drawing.line([frame.left - 4, at], [frame.right, at], 'stroke="#26323f" stroke-opacity="0.18"');
    drawing.text(frame.left - 8, at + 4, `${percent} %`, AXIS_STYLE);
  }
  drawing.text(frame.left - 60, (top + bottom) / 2 - 22, 'share of', AXIS_STYLE);
  drawing.text(frame.left - 60, (top + bottom) / 2 - 8, 'the hosts', AXIS_STYLE);
}

const LANES = 3;

/** A line for each push, with its number where there is room for it: the rows below have all of them. */
export function markPushes(drawing: Drawing, frame: Frame, stories: readonly RevisionStory[], top: number, bottom: number): void {
  // What is bad, and what mends it, is named first.
  const byWeight = stories.toSorted((one, other) => Number(other.isBad || other.isHotfix) - Number(one.isBad || one.isHotfix));
  for (const story of byWeight) {
    const kind = pushKind(story);
    const { color } = PUSHES[kind];
    const x = xOf(frame, story.at);
    const width = kind === 'good' ? 'stroke-opacity="0.35"' : 'stroke-width="1.8"';
    drawing.line([x, top - 4], [x, bottom], `stroke="${color}" ${width} data-of="push-${kind}"`);
    const style = { size: 10, color, isBold: kind !== 'good', anchor: 'middle' } as const;
    for (let lane = 0; lane < LANES; lane += 1) if (drawing.textIfFree(x, top - 7 - lane * 12, `${story.sequence}`, style)) break;
  }
}
