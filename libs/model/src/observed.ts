import type { StorePath } from './brands.ts';

/** What a host really has, as read back from its file system; `null` where there is nothing to read. */
export interface Observed {
  /** Target of `/run/current-system`: what runs now. */
  readonly current: StorePath | null;
  /** Target of `/run/booted-system`: what the machine was started with. */
  readonly booted: StorePath | null;
  /** The system profile: what the machine starts next time, and its local generation number. */
  readonly profile: { readonly generation: number; readonly toplevel: StorePath } | null;
}

export const NOTHING_OBSERVED: Observed = { current: null, booted: null, profile: null };

/** True when `toplevel` both runs and is what the machine starts next time. */
export function isOn(observed: Observed, toplevel: StorePath): boolean {
  return observed.current === toplevel && observed.profile?.toplevel === toplevel;
}
