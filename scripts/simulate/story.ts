import type { HostName, RolloutCourse, RolloutPause, RolloutPolicy, RolloutState } from '@floe/model';
import type { Push } from './fleet-days.ts';

/** One revision, and where it got. */
export interface RevisionStory extends Push {
  readonly sequence: number;
  readonly changed: ReadonlySet<HostName>;
  /** What it changes of the policy, and what people want of it, in words. */
  readonly wants: string;
  /** When each host ran it. */
  readonly arrived: Map<HostName, number>;
  /** Changed hosts that were online while it was the newest. */
  readonly reachable: Set<HostName>;
  /** Hosts that began to activate it, and the ring that they were in. */
  readonly tried: Map<HostName, TriedIn>;
  /** What its rollout did while hosts followed it. */
  readonly steps: RolloutMoment[];
  end: RolloutState | undefined;
  supersededAt: number | undefined;
}

/** The ring of a rollout. */
export interface TriedIn {
  readonly ring: number;
  readonly name: string;
  /** Which rings there were, and in which order. */
  readonly order: number;
}

/** Since when a rollout was where. */
export interface RolloutMoment {
  readonly at: number;
  readonly state: RolloutState;
  readonly ring: number;
  readonly ringName: string;
  /** Why it is paused, in words. */
  readonly pause: string | undefined;
}

/** Adds where the rollout is now: of several steps of one look the last. */
export function noteMoment(steps: RolloutMoment[], { state, ring, since, pause }: RolloutCourse, { rings }: RolloutPolicy): void {
  const last = steps.at(-1);
  if (last?.state === state && last.ring === ring && last.at === since) return;
  steps.push({ at: since, state, ring, ringName: rings[ring]?.name ?? `${ring}`, pause: pause && causeOf(pause) });
}

function causeOf(pause: RolloutPause): string {
  switch (pause.cause) {
    case 'failures': {
      const [first] = pause.failures;
      return pause.count === 1 ? `${first?.host} failed` : `${pause.count} hosts failed, ${first?.host} among them`;
    }
    case 'deadline':
      return `${pause.missing} verified of ${pause.eligible} were missing at its deadline`;
    case 'probe':
      return `a probe said no: ${pause.answers.map(({ name }) => name).join(', ')}`;
    case 'after-ring':
      return 'the policy wants a person to look';
    case 'freeze':
      return `frozen by ${pause.by}: ${pause.reason}`;
  }
}
