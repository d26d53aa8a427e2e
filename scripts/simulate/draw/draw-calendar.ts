import { DAY, dayKind, START } from '../fleet-days.ts';
import { widthOf, type Drawing } from './drawing.ts';
import { dayOf, xOf, type Frame } from './frame.ts';

const DAY_STYLE = { size: 10, color: '#4d5c6b' } as const;

/** Weekends and holidays over everything that is drawn between `top` and `bottom`. */
export function shadeDays(drawing: Drawing, frame: Frame, top: number, bottom: number): void {
  for (const { kind, from, to } of freeDays(frame.days)) {
    const x = xOf(frame, from);
    drawing.rect({ x, y: top, width: xOf(frame, to) - x, height: bottom - top }, `url(#${kind})`, { of: kind, title: kind });
  }
}

/** The names of days, as many as have room, and above them which are free. */
export function nameDays(drawing: Drawing, frame: Frame, y: number): void {
  const dayWidth = (frame.right - frame.left) / frame.days;
  const every = Math.ceil((widthOf('Wed 28', DAY_STYLE) + 6) / dayWidth);
  for (let day = 0; day < frame.days; day += 1) {
    const x = xOf(frame, START + day * DAY);
    drawing.line([x, y - 13], [x, y - 8], 'stroke="#8794a1"');
    if (day % every === 0) drawing.text(x + 2, y, dayOf(START + day * DAY), DAY_STYLE);
  }
  for (const { kind, from, to } of freeDays(frame.days)) {
    const [left, right] = [xOf(frame, from), xOf(frame, to)];
    if (right - left >= widthOf(kind, DAY_STYLE)) drawing.text((left + right) / 2, y + 14, kind, { ...DAY_STYLE, anchor: 'middle', isBold: false });
  }
}

interface FreeDays {
  readonly kind: 'weekend' | 'holiday';
  readonly from: number;
  readonly to: number;
}

/** Days of one kind in a row are one. */
function freeDays(days: number): readonly FreeDays[] {
  const found: FreeDays[] = [];
  for (let day = 0; day < days; day += 1) {
    const kind = dayKind(day);
    if (kind === 'workday') continue;
    const from = START + day * DAY;
    const last = found.at(-1);
    if (last?.kind === kind && last.to === from) found[found.length - 1] = { ...last, to: from + DAY };
    else found.push({ kind, from, to: from + DAY });
  }
  return found;
}
