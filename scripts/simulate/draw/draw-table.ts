import type { RevisionStory } from '../story.ts';
import { describeMs, timeTo } from '../summary.ts';
import { PUSHES, pushKind } from './colors.ts';
import type { Drawing } from './drawing.ts';

const COLUMNS = ['no.', 'hosts that it changes', 'began with it', 'run it', '50 % after', '90 % after', '99 % after', 'its policy, its orders'];
const FIRST = 40;
const COLUMN = 150;
const ROW = 18;

/** The figures of each revision. Returns where it ends. */
export function drawTable(drawing: Drawing, stories: readonly RevisionStory[], top: number): number {
  const row = (cells: readonly string[], y: number, color: string, isBold: boolean): void => {
    for (const [index, cell] of cells.entries()) drawing.text(FIRST + index * COLUMN, y, cell, { size: 11, color, isBold, anchor: 'end' });
  };
  row(COLUMNS, top, '#26323f', true);
  for (const [index, story] of stories.entries()) {
    const { sequence, changed, tried, arrived } = story;
    const kind = pushKind(story);
    const numbers = [changed.size, tried.size, arrived.size].map((count) => count.toLocaleString('en-GB'));
    const times = [50, 90, 99].map((percent) => describeMs(timeTo(story, percent)));
    row([`${sequence}`, ...numbers, ...times, story.wants], top + (index + 1) * ROW, PUSHES[kind].color, kind !== 'good');
  }
  return top + (stories.length + 1) * ROW;
}
