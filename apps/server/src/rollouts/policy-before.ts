import { isDeepStrictEqual } from 'node:util';
import {
  assignRings,
  DEFAULT_POLICY,
  isConfigurationKnown,
  weakenings,
  withKnownHosts,
  type HostName,
  type Loosening,
  type PolicyInForce,
  type RolloutPolicy,
} from '@floe/model';
import type { CompleteBefore, EvaluatedRevision, Evaluation, LostRollout, StorePart } from '@floe/store';
import { looseningsOf, LOST_POLICY } from './loosenings.ts';

/** Where the policies, and the hosts that they are about, are read. */
export type PolicyStore = StorePart<{ rollouts: 'completeBefore'; revisions: 'evaluationsOf' }>;

/** The same for one look, in which several ask for the same: each is read once. */
export function readOnce({ rollouts, revisions }: PolicyStore): PolicyStore {
  const complete = new Map<string, Promise<CompleteBefore>>();
  const evaluated = new Map<string, Promise<EvaluatedRevision | undefined>>();
  return {
    rollouts: {
      async completeBefore(id) {
        const known = complete.get(id) ?? rollouts.completeBefore(id);
        complete.set(id, known);
        return await known;
      },
    },
    revisions: {
      async evaluationsOf(ids) {
        const missing = ids.filter((id) => !evaluated.has(id));
        if (missing.length > 0) {
          const found = revisions.evaluationsOf(missing);
          for (const id of missing) evaluated.set(id, readFrom(found, id));
        }
        const all = await Promise.all(ids.map(async (id) => [id, await evaluated.get(id)] as const));
        return new Map(all.flatMap(([id, each]) => (each === undefined ? [] : [[id, each] as const])));
      },
    },
  };
}

async function readFrom(found: Promise<ReadonlyMap<string, EvaluatedRevision>>, id: string): Promise<EvaluatedRevision | undefined> {
  return (await found).get(id);
}

export async function readEvaluations({ revisions }: PolicyStore, revisionId: string): Promise<readonly Evaluation[]> {
  return (await revisions.evaluationsOf([revisionId])).get(revisionId)?.evaluations ?? [];
}

/** Of which revision, with its policy. */
interface OfRevision {
  readonly revisionId: string;
  readonly policy: RolloutPolicy;
}

export interface InForce extends PolicyInForce {
  /** Hosts that are still evaluated, or were not when a newer commit went first. */
  readonly unknown: ReadonlySet<HostName>;
}

/** How the policy is weaker than that of the last complete rollout: a revision does not loosen its own gates. */
export async function weakerThanBefore(store: PolicyStore, { revisionId, policy }: OfRevision): Promise<readonly Loosening[]> {
  const { rollouts } = store;
  const { last, lost } = await rollouts.completeBefore(revisionId);
  if (lost !== undefined) return await weakerThanLost(store, { revisionId, policy }, lost);
  if (last === undefined || areOpen(last.policy, policy)) return [];
  const evaluated = await store.revisions.evaluationsOf([last.revisionId, revisionId]);
  const before = inForceOf(last.policy, evaluated.get(last.revisionId)?.evaluations);
  const found = inForceOf(policy, evaluated.get(revisionId)?.evaluations);
  const known = withKnownHosts(before, found, last.known);
  // Until a host is evaluated it is taken to be as it was: it is compared when it is, and loosens nothing before.
  const after = withHosts(
    found,
    known.hosts.filter(({ host }) => found.unknown.has(host)),
  );
  return looseningsOf(weakenings(withKnownHosts(before, after, last.known), after));
}

/** Of the policy that was in force a rebuilt database knows nothing, unless it was the default one, which keeps hosts nowhere. */
async function weakerThanLost(store: PolicyStore, { revisionId, policy }: OfRevision, lost: LostRollout): Promise<readonly Loosening[]> {
  if (!lost.isDefault) return looseningsOf([{ text: LOST_POLICY }]);
  if (areOpen(policy)) return [];
  const before = { policy: DEFAULT_POLICY, hosts: [], assignment: assignRings(DEFAULT_POLICY, []) };
  return looseningsOf(weakenings(before, await readInForce(store, revisionId, policy)));
}

export async function readInForce(store: PolicyStore, revisionId: string, policy: RolloutPolicy): Promise<InForce> {
  return inForceOf(policy, await readEvaluations(store, revisionId));
}

function inForceOf(policy: RolloutPolicy, evaluations: readonly Evaluation[] = []): InForce {
  // A host that left, is not Floe's, or whose configuration is broken, fills no ring.
  const there = evaluations.filter(({ outcome }) => isConfigurationKnown(outcome));
  const hosts = there.map(({ host, labels, ring, formerHost, timeZone }) => ({ host, labels: labels ?? [], ring, formerHost, timeZone }));
  const unknown = new Set(evaluations.flatMap(({ host, outcome }) => (outcome === 'NOT_EVALUATED' ? [host] : [])));
  return { policy, hosts, assignment: assignRings(policy, hosts), unknown };
}

function withHosts(inForce: PolicyInForce, more: PolicyInForce['hosts']): PolicyInForce {
  if (more.length === 0) return inForce;
  const hosts = [...inForce.hosts, ...more];
  return { ...inForce, hosts, assignment: assignRings(inForce.policy, hosts) };
}

/** Each of the policies puts every host into one ring without a gate: there is nothing to compare. */
export function areOpen(...policies: readonly RolloutPolicy[]): boolean {
  return policies.every((policy) => isDeepStrictEqual(policy, DEFAULT_POLICY));
}
