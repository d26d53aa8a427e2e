import type { StorePath } from './brands.ts';

/** The systems that a host has, as read from its file system; `null` where nothing could be read. */
export interface Observed {
  /** Target of `/run/current-system`: what runs now. */
  readonly current: StorePath | null;
  /** Target of `/run/booted-system`: what the machine booted. */
  readonly booted: StorePath | null;
  /** The system profile: what the machine boots next, and its local generation number. */
  readonly profile: { readonly generation: number; readonly toplevel: StorePath } | null;
}

export const NOTHING_OBSERVED: Observed = { current: null, booted: null, profile: null };

/** True when the machine runs `toplevel` and boots it next. */
export function isOn(observed: Observed, toplevel: StorePath): boolean {
  return observed.current === toplevel && observed.profile?.toplevel === toplevel;
}
