import { dueProbes, soakEnd, type ProbeVerdict, type RolloutFacts, type StorePath } from '@floe/model';
import type { CurrentRollout, ProbeOfRing, StorePart } from '@floe/store';
import type { SimulatedHost } from './simulated-host.ts';

export interface SimulatedProbesDeps {
  readonly store: StorePart<{ rollouts: 'claimProbe' | 'answerProbe' }>;
  /** Answers some time later. */
  readonly ask: (answer: (verdict: ProbeVerdict) => () => Promise<void>) => void;
  readonly onAnswer: () => void;
  readonly now: () => number;
}

const LEASE_MS = 60_000;

/** Asks what is due of a rollout's probes, as `apps/server/src/probes` does, of something that is simulated. */
export class SimulatedProbes {
  readonly #deps: SimulatedProbesDeps;
  /** Since when: an answer is lost with the server. */
  readonly #asking = new Map<string, number>();

  constructor(deps: SimulatedProbesDeps) {
    this.#deps = deps;
  }

  look({ id: rolloutId, course }: CurrentRollout, facts: RolloutFacts, now: number): number | undefined {
    const due = dueProbes(course, facts, soakEnd(course, facts), now);
    for (const { name } of due.filter(({ at }) => at <= now)) this.#askOne({ rolloutId, ring: course.ring, name });
    const later = due.filter(({ at }) => at > now).map(({ at }) => at - now);
    return later.length === 0 ? undefined : Math.min(...later);
  }

  #askOne(probe: ProbeOfRing): void {
    const { store, ask, onAnswer, now } = this.#deps;
    const key = `${probe.rolloutId} ${probe.ring} ${probe.name}`;
    if (now() < (this.#asking.get(key) ?? 0) + LEASE_MS) return;
    this.#asking.set(key, now());
    ask((verdict) => async () => {
      this.#asking.delete(key);
      const claim = await store.rollouts.claimProbe(probe, now(), LEASE_MS);
      if (claim === undefined) return;
      const answer = { verdict, value: undefined, max: undefined, min: undefined, detail: '', askedAt: now() };
      if (await store.rollouts.answerProbe(probe, claim, answer)) onAnswer();
    });
  }
}

/** After so long it is seen that a commit made things worse: within the soak of the first ring. */
const REGRESS_MS = 10 * 60_000;

/** What is measured of the fleet: it gets worse some time after the first host runs a commit that regresses, and is well when none does. */
export function verdictOf(machines: readonly SimulatedHost[], regresses: (toplevel: StorePath) => boolean, now: number): ProbeVerdict {
  const isWorse = machines.some(({ runs, arrivedAt }) => runs !== undefined && regresses(runs) && (arrivedAt.get(runs) ?? now) + REGRESS_MS <= now);
  return isWorse ? 'bad' : 'good';
}
