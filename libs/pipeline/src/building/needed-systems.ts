import type { StorePath } from '@floe/model';
import type { FleetHost } from '@floe/store';

/** What a host runs, starts, was told, is kept on, or may be told next: whatever their age, these systems must stay available to it. */
export function neededSystems({ row, situation }: Pick<FleetHost, 'row' | 'situation'>): ReadonlySet<StorePath> {
  const { current, booted, profile } = row.observed;
  const { trial, pin, hold, rollout, stable, stone, directed } = situation;
  const releases = [row.desired, trial, pin, hold, rollout, stable, stone, directed].map((release) => release?.toplevel);
  const needed = [current, booted, profile?.toplevel, row.stateToplevel, row.went?.toplevel, ...releases];
  return new Set(needed.filter((path) => path !== null && path !== undefined));
}
