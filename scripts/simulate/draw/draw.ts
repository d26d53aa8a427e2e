import type { Simulation } from '../simulation.ts';
import { summarize } from '../summary.ts';
import { nameDays, shadeDays } from './draw-calendar.ts';
import { drawFleet, markPushes } from './draw-fleet.ts';
import { drawLegend } from './draw-legend.ts';
import { drawRollouts, ROW_HEIGHT } from './draw-rollouts.ts';
import { drawTable } from './draw-table.ts';
import { Drawing, fitting, type Label } from './drawing.ts';
import { counted, FRAME, WIDTH } from './frame.ts';

const FLEET_HEIGHT = 340;
const EDGE = 16;
const HEADING = { size: 14, isBold: true } as const;

export interface Drawn {
  readonly svg: string;
  /** Where its texts are. */
  readonly labels: readonly Label[];
  /** What its legend explains. */
  readonly explained: ReadonlySet<string>;
}

/** The weeks of a simulated fleet as one picture: what its hosts run, what each rollout did and why, and the run's figures. */
export function draw(simulation: Simulation): Drawn {
  const { stories, options } = simulation;
  const drawing = new Drawing(WIDTH);
  const frame = { ...FRAME, days: options.days };
  drawing.text(EDGE, 30, `What ${counted(options.hosts)} ran in ${counted(options.days, 'day')}`, { size: 20, isBold: true });
  const fleetTop = 96;
  const fleetBottom = fleetTop + FLEET_HEIGHT;
  drawFleet(drawing, frame, simulation, fleetTop, fleetBottom);
  shadeDays(drawing, frame, fleetTop, fleetBottom);
  markPushes(drawing, frame, stories, fleetTop, fleetBottom);
  nameDays(drawing, frame, fleetBottom + 18);
  const legendEnd = drawLegend(drawing, 'fleet', EDGE, WIDTH - EDGE, fleetBottom + 60);
  const rolloutsTop = legendEnd + 34;
  drawing.text(EDGE, rolloutsTop - 10, 'The rollout of each revision, by state', HEADING);
  drawing.text(FRAME.right + 12, rolloutsTop - 10, 'its result', HEADING);
  const rolloutsBottom = rolloutsTop + stories.length * ROW_HEIGHT;
  drawRollouts(drawing, frame, simulation, rolloutsTop);
  shadeDays(drawing, frame, rolloutsTop, rolloutsBottom);
  nameDays(drawing, frame, rolloutsBottom + 18);
  const statesEnd = drawLegend(drawing, 'rollouts', EDGE, WIDTH - EDGE, rolloutsBottom + 60);
  drawing.text(EDGE, statesEnd + 24, 'Figures', HEADING);
  const tableEnd = drawTable(drawing, stories, statesEnd + 50);
  const { lines } = summarize(simulation);
  for (const [index, line] of lines.entries()) drawing.text(EDGE, tableEnd + 24 + index * 18, fitting(line, WIDTH - 2 * EDGE));
  return { svg: drawing.toSvg(tableEnd + 30 + lines.length * 18), labels: drawing.labels, explained: drawing.explained };
}
