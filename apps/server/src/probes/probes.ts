import { countRing, dueProbes, soakEnd, type ProbeResult, type RolloutFacts } from '@floe/model';
import type { Clock, Logger } from '@floe/runtime';
import { createWake } from '@floe/runtime';
import type { CurrentRollout, ProbeOfRing, StorePart } from '@floe/store';
import { ask, ASK_LIMIT_MS } from './ask.ts';
import type { ProbeQuestion } from './probe-address.ts';
import type { ConfiguredProbe } from './probes-config.ts';

/** Longer than one question takes, so that one that lives needs no renewal. */
const LEASE_MS = ASK_LIMIT_MS + 20_000;

export interface ProbesDeps {
  readonly probes: readonly ConfiguredProbe[];
  readonly store: StorePart<{ rollouts: 'claimProbe' | 'answerProbe'; revisions: 'get' }>;
  readonly clock: Clock;
  readonly random: () => number;
  readonly logger: Logger;
}

interface Due {
  readonly probe: ProbeOfRing;
  readonly revisionId: string;
  readonly about: Omit<NonNullable<ProbeQuestion['about']>, 'commit'>;
}

/**
 * Asks the probes of the rollout that hosts follow, and stores what they answer: the decision about the rollout reads that. Of several
 * servers one asks at a time, under a claim in the database; what an ended server did not ask is due for the next look.
 */
export class Probes {
  readonly #deps: ProbesDeps;
  readonly #wake = createWake();
  #due = new Map<string, Due>();
  readonly #asking = new Map<string, Promise<void>>();

  constructor(deps: ProbesDeps) {
    this.#deps = deps;
  }

  /** Notes which probes are due by what a look at the fleet found. Returns in how many ms the next one is, if time alone brings it. */
  look(rollout: CurrentRollout, facts: RolloutFacts, now: number): number | undefined {
    const { id: rolloutId, revisionId, course } = rollout;
    const due = dueProbes(course, facts, soakEnd(course, facts), now);
    this.#due = new Map(
      due.flatMap(({ name, at }) => {
        if (at > now) return [];
        const ring = facts.policy.rings[course.ring]?.name ?? '';
        const hosts = countRing(facts.hosts.filter((host) => host.ring === course.ring));
        const probe = { rolloutId, ring: course.ring, name };
        return [[`${rolloutId} ${course.ring} ${name}`, { probe, revisionId, about: { ring, hosts } }] as const];
      }),
    );
    if (this.#due.size > 0) this.#wake.wake();
    // What is due now is asked by somebody: its answer brings the next look.
    const later = due.filter(({ at }) => at > now).map(({ at }) => at - now);
    return later.length === 0 ? undefined : Math.min(...later);
  }

  /** Asks what is due, until `signal` aborts. A probe that is slow holds up no other. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      for (const [key, due] of this.#due) {
        if (this.#asking.has(key)) continue;
        const asking = this.#ask(due, signal).finally(() => this.#asking.delete(key));
        this.#asking.set(key, asking);
      }
      this.#due.clear();
      await this.#wake.wait(LEASE_MS, signal);
    }
    await Promise.all(this.#asking.values());
  }

  async #ask({ probe, revisionId, about }: Due, signal: AbortSignal): Promise<void> {
    const { store, clock, logger } = this.#deps;
    const { name } = probe;
    try {
      const claim = await store.rollouts.claimProbe(probe, clock.now(), LEASE_MS);
      if (claim === undefined) return;
      const revision = await store.revisions.get(revisionId);
      const askedAt = clock.now();
      const id = `probe:${probe.rolloutId}:${probe.ring}:${name}:${claim}`;
      const result = await this.#askOne(name, { id, probe: name, about: { ...about, commit: revision?.sha ?? '' } }, signal);
      // Cut off by us: whoever runs next asks again.
      if (signal.aborted) return;
      await store.rollouts.answerProbe(probe, claim, { ...result, askedAt });
      const { verdict, value, detail } = result;
      logger.info('a probe answered', { rollout: probe.rolloutId, ring: about.ring, probe: name, verdict, value, detail });
    } catch (error) {
      // The next look finds it due.
      logger.warn('a probe could not be asked; trying again', { probe: name, error });
    }
  }

  async #askOne(name: string, question: ProbeQuestion, signal: AbortSignal): Promise<ProbeResult> {
    const { probes, clock } = this.#deps;
    const configured = probes.find((each) => each.name === name);
    if (configured !== undefined) return await ask(configured.address, question, { now: clock.now(), signal });
    const known = probes.map((each) => each.name).join(', ') || 'none';
    const detail = `this server has no probe ${name}: FLOE_PROBES_FILE names those that it has (${known})`;
    return { verdict: 'unknown', value: undefined, max: undefined, min: undefined, detail };
  }

  /** Asks a probe about nothing, as a test. Undefined: there is no such probe. */
  async test(name: string): Promise<(ProbeResult & { readonly tookMs: number }) | undefined> {
    const { probes, clock, random } = this.#deps;
    if (!probes.some((each) => each.name === name)) return undefined;
    const startedAt = clock.monotonic();
    const id = `probe-test:${name}:${clock.now()}:${Math.floor(random() * 2 ** 32)}`;
    const result = await this.#askOne(name, { id, probe: name, about: undefined }, new AbortController().signal);
    return { ...result, tookMs: Math.round(clock.monotonic() - startedAt) };
  }

  list(): readonly ConfiguredProbe[] {
    return this.#deps.probes;
  }
}
