import type { AgentState } from '../agent/state.ts';
import type { HostName, StorePath } from '../brands.ts';
import type { PermittedRelease, ReleaseRef } from '../resolve.ts';
import type { Went } from '../rollout/progress.ts';
import type { SteppingStone } from '../stepping-stone.ts';
import { pathOf } from './rollout-facts.ts';

/** The time zones of the world's hosts. */
export const ZONES = ['near', 'far'] as const;

/** What a host last reported, and what it would report now. */
export interface Told {
  readonly state: AgentState;
  readonly subject: StorePath | undefined;
  readonly runs: StorePath;
}

export interface WorldHost {
  /** The one that its machine is enrolled under. */
  name: HostName;
  /** The one that the newest commit has for it: another one until its rename; undefined: it left the flake. */
  called: HostName | undefined;
  readonly ring: number;
  labels: readonly string[];
  readonly platform: string;
  readonly timeZone: string;
  /** Hosts with the same one have the same systems. */
  readonly image: string | undefined;
  isEnrolled: boolean;
  isConnected: boolean;
  awaySince: number;
  /** What it is. */
  is: Told;
  /** What the server knows of it. */
  seen: Told;
  went: Went | undefined;
  directed: PermittedRelease | undefined;
  /** The highest sequence that it was told, as the server knows, and that its agent accepted. */
  told: number;
  accepted: number;
  stable: ReleaseRef | undefined;
  stones: readonly SteppingStone[];
  pin: PermittedRelease | undefined;
  /** What it has in its profile. */
  verified: StorePath | undefined;
  /** What a person keeps it on, when there is no pin. */
  hold: ReleaseRef | undefined;
  pinnedUntil: number;
  isOverridden: boolean;
  quarantined: Set<StorePath>;
  /** What it ever ran: a pin may have brought it there. */
  readonly tried: Set<StorePath>;
}

/** The name that the newest commit has for a machine which waits for its rename; undefined: it waits for none. */
export function awaitedName({ name, called }: WorldHost): HostName | undefined {
  return called === name ? undefined : called;
}

/** A host that has done nothing yet. Its platform, zone and image follow from its number. */
export function worldHost({ name, ...rest }: Pick<WorldHost, 'name' | 'ring' | 'labels' | 'isEnrolled'>, now: number): WorldHost {
  const number = Number(name.slice(1));
  const is: Told = { state: 'IDLE', subject: undefined, runs: pathOf('factory') };
  return {
    name,
    called: name,
    ...rest,
    timeZone: number % 3 === 1 ? 'far' : 'near',
    platform: number % 2 === 1 ? 'aarch64-linux' : 'x86_64-linux',
    image: name === 'h2' || name === 'h4' ? 'image' : undefined,
    isConnected: rest.isEnrolled,
    awaySince: now,
    is,
    seen: is,
    went: undefined,
    directed: undefined,
    told: 0,
    accepted: 0,
    stable: undefined,
    stones: [],
    pin: undefined,
    hold: undefined,
    verified: undefined,
    pinnedUntil: Infinity,
    isOverridden: false,
    quarantined: new Set(),
    tried: new Set(),
  };
}
