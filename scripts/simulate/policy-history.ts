import { assignRings, type HostName, type RolloutPolicy } from '@floe/model';
import type { CurrentRollout } from '@floe/store';
import type { FlakeHost } from './commit.ts';
import { FIRST_VALUES, isLooser, ringsWith, type PolicyValues, type RingId } from './company-policy.ts';
import type { TriedIn } from './story.ts';

/** What a commit has. */
interface Policed {
  readonly values: PolicyValues;
  readonly policy: RolloutPolicy;
  readonly hosts: readonly FlakeHost[];
}

interface Known extends Policed {
  readonly ringOf: ReadonlyMap<HostName, RingId | undefined>;
}

/** The policies of rollouts, and in which ring each host was in the last complete one that had it, whatever that ring is called. */
export class PolicyHistory {
  readonly #rollouts = new Map<string, Known>();
  readonly #last = new Map<HostName, RingId | undefined>();
  /** The last rollout that was complete. */
  #complete: string | undefined;

  add(rolloutId: string, of: Policed): void {
    const rings = ringsWith(of.values);
    const { ringOf } = assignRings(of.policy, of.hosts);
    this.#rollouts.set(rolloutId, { ...of, ringOf: new Map([...ringOf].map(([host, ring]) => [host, rings[ring]] as const)) });
  }

  noteIfComplete(rollout: Pick<CurrentRollout, 'id' | 'state'> | undefined): void {
    if (rollout?.state !== 'COMPLETE' || this.#complete === rollout.id) return;
    this.#complete = rollout.id;
    for (const [host, ring] of this.#rollouts.get(rollout.id)?.ringOf ?? []) this.#last.set(host, ring);
  }

  ringOf({ id, policy }: CurrentRollout, ring: number): TriedIn {
    const { shape } = this.#rollouts.get(id)?.values ?? FIRST_VALUES;
    return { ring, name: policy.rings[ring]?.name ?? `${ring}`, order: shape };
  }

  /** Its policy is weaker than that of the last complete one, or it moves hosts: an administrator approves that before anybody is told. */
  loosens(rolloutId: string): boolean {
    const before = this.#complete === undefined ? undefined : this.#rollouts.get(this.#complete);
    const after = this.#rollouts.get(rolloutId);
    if (before === undefined || after === undefined || this.#complete === rolloutId) return false;
    return isLooser(before.values, after.values) || this.#areMoved(after);
  }

  #areMoved({ hosts, ringOf }: Known): boolean {
    const there = new Set(hosts.map(({ host }) => host));
    return hosts.some(({ host, formerHost }) => {
      const former = formerHost === undefined || there.has(formerHost) ? undefined : this.#last.get(formerHost);
      const was = this.#last.get(host) ?? former;
      return was !== undefined && was !== ringOf.get(host);
    });
  }

  /** The machine has another name. */
  rename(from: HostName, to: HostName): void {
    const ring = this.#last.get(from);
    this.#last.delete(from);
    if (ring !== undefined && !this.#last.has(to)) this.#last.set(to, ring);
  }

  /** One that is enrolled under that name later is new. */
  forget(host: HostName): void {
    this.#last.delete(host);
  }
}
