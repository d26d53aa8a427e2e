import { LAYERS, PUSHES, STATES } from './colors.ts';
import { widthOf, type Drawing } from './drawing.ts';

const ROW = 18;
const STYLE = { size: 11 } as const;

interface Entry {
  readonly of: string;
  readonly label: string;
  readonly symbol: (x: number, y: number) => void;
}

/** Says what each colour and line is. Returns where it ends. */
export function drawLegend(drawing: Drawing, which: 'fleet' | 'rollouts', left: number, right: number, top: number): number {
  const box = (fill: string) => (x: number, y: number) => drawing.rect({ x, y: y - 10, width: 12, height: 12 }, fill, { stroke: '#8794a1' });
  const stroke = (attributes: string) => (x: number, y: number) => drawing.line([x, y - 4], [x + 13, y - 4], attributes);
  const fleet: readonly Entry[] = [
    ...LAYERS.map(({ of, color, label }) => ({ of, label, symbol: box(color) })),
    { of: 'online', label: 'how many are online', symbol: stroke('stroke="#26323f" stroke-width="1.4" stroke-dasharray="4 2"') },
    { of: 'weekend', label: 'weekend', symbol: box('url(#weekend)') },
    { of: 'holiday', label: 'holiday', symbol: box('url(#holiday)') },
    ...Object.entries(PUSHES).map(([kind, { color, label }]) => ({
      of: `push-${kind}`,
      label,
      symbol: stroke(`stroke="${color}" stroke-width="2"`),
    })),
  ];
  const rollouts = Object.entries(STATES).map(([of, { color, label }]): Entry => ({ of, label, symbol: box(color) }));
  let [x, y] = [left, top];
  for (const { of, label, symbol } of which === 'fleet' ? fleet : rollouts) {
    const width = 18 + widthOf(label, STYLE);
    if (x > left && x + width > right) [x, y] = [left, y + ROW];
    symbol(x, y);
    drawing.text(x + 18, y, label, STYLE);
    drawing.explain(of);
    x += width + 16;
  }
  return y + ROW;
}
