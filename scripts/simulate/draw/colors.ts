import type { RolloutState } from '@floe/model';
import type { Sample } from '../sample.ts';

export interface Shown {
  readonly color: string;
  readonly label: string;
}

/** What hosts run or do, from the bottom of the picture to its top. */
export const LAYERS = [
  { of: 'newest', color: '#2f9e62', label: 'on the newest good revision' },
  { of: 'changing', color: '#f0a830', label: 'changing right now' },
  { of: 'waiting', color: '#8fb8e8', label: 'waiting: downloads, or waits for a place, a window or its user' },
  { of: 'older', color: '#c3ccd6', label: 'on an older good one: not its turn yet' },
  { of: 'failed', color: '#e88b8b', label: 'tried a revision and rolled back' },
  { of: 'bad', color: '#b3131b', label: 'on a BAD revision' },
  { of: 'away', color: '#eceff2', label: 'away, on an older good one' },
] as const satisfies readonly (Shown & { readonly of: keyof Sample })[];

/** A state without a colour does not compile. */
export const STATES: Readonly<Record<RolloutState, Shown>> = {
  NEXT: { color: '#dfe5eb', label: 'waits for the rollout before it' },
  WAITING_APPROVAL: { color: '#9a86d1', label: 'waits for approval' },
  READY: { color: '#5aa9c9', label: 'ready: waits for its window' },
  ROLLING: { color: '#f0a830', label: 'rolling out' },
  SOAKING: { color: '#f7d898', label: 'soaking' },
  PAUSED: { color: '#d64545', label: 'paused' },
  COMPLETE: { color: '#8ccfaa', label: 'complete' },
  ABORTED: { color: '#6b4a3a', label: 'aborted' },
  SUPERSEDED: { color: '#f3f5f7', label: 'superseded' },
};

export const PUSHES = {
  good: { color: '#26323f', label: 'a good revision is pushed' },
  bad: { color: '#d0021b', label: 'a BAD revision is pushed' },
  fix: { color: '#1c62c4', label: 'an urgent fix is pushed' },
} as const satisfies Readonly<Record<string, Shown>>;

export function pushKind({ isBad, isHotfix }: { readonly isBad: boolean; readonly isHotfix: boolean }): keyof typeof PUSHES {
  return isBad ? 'bad' : isHotfix ? 'fix' : 'good';
}
