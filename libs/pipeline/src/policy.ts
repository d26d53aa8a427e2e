import { assignRings, DEFAULT_POLICY, type RingCandidate, type RolloutPolicy } from '@floe/model';
import { parseFleetPolicy } from '@floe/protocol';
import { describeError, isFloeError, neverOpens } from '@floe/runtime';
import type { Revision } from '@floe/store';
import type { PipelineDeps } from './deps.ts';
import { explainOpaque } from './opaque-files.ts';

export type TakenPolicy =
  | { readonly kind: 'policy'; readonly policy: RolloutPolicy }
  /** Why the revision is refused: the policy before it stays in force. */
  | { readonly kind: 'refused'; readonly error: string };

/**
 * Reads how the revision is to be rolled out, and stores it with the revision, before anything of it is evaluated. A flake that says
 * nothing gets the default. Throws retryable errors of Nix.
 */
export async function takePolicy(deps: PipelineDeps, revision: Revision, hasPolicy: boolean, signal: AbortSignal): Promise<TakenPolicy> {
  const { store } = deps;
  if (!hasPolicy) {
    if (revision.policy !== DEFAULT_POLICY) await store.revisions.savePolicy(revision.id, undefined);
    return { kind: 'policy', policy: DEFAULT_POLICY };
  }
  const read = await readPolicy(deps, revision, signal);
  if (read.kind === 'policy') {
    await store.revisions.savePolicy(revision.id, read.policy);
    await warnOfTargets(deps, revision, read.policy);
  }
  return read;
}

/** Not an error: whom a server tells is its settings, and the same fleet may have two servers. */
async function warnOfTargets({ store, notifyTargets }: PipelineDeps, { id }: Revision, { notify }: RolloutPolicy): Promise<void> {
  const named = [...new Set(Object.values(notify).flat())];
  const unknown = notifyTargets === undefined ? [] : named.filter((name) => !notifyTargets.includes(name));
  if (unknown.length === 0) return;
  const warning = `the policy names notification targets that this server does not have: ${unknown.join(', ')}. It has ${notifyTargets?.join(', ') || 'none'}`;
  const others = (await store.revisions.get(id))?.warnings ?? [];
  if (!others.includes(warning)) await store.revisions.noteWarnings(id, [...others, warning]);
}

async function readPolicy(deps: PipelineDeps, revision: Revision, signal: AbortSignal): Promise<TakenPolicy> {
  const { mirror, repositoryNix, limits, clock } = deps;
  let data: unknown;
  try {
    data = await repositoryNix.readFleetPolicy(mirror.flakeUrl(revision.sha), {
      timeoutMs: limits.evaluationTimeoutMs,
      maxMemoryBytes: limits.evaluationMemoryBytes,
      signal,
    });
  } catch (error) {
    if (!isFloeError(error) || error.retryable || signal.aborted) throw error;
    return { kind: 'refused', error: `the rollout policy cannot be read: ${await explainOpaque(deps, revision, describeError(error))}` };
  }
  const parsed = parseFleetPolicy(data);
  if (parsed.kind === 'problems') return refused(parsed.problems);
  // What never opens would keep the fleet where it is, and say so only when it is too late.
  const closed = parsed.policy.rings.flatMap(({ windows }, index) =>
    neverOpens(windows, clock.now()) ? [`rings[${index}].windows: they allow no change within a year`] : [],
  );
  return closed.length > 0 ? refused(closed) : parsed;
}

/** What is wrong with the ring that a host's own configuration names: the policy has no such ring. */
export function unknownRing(policy: RolloutPolicy, host: RingCandidate): string | undefined {
  if (host.ring === undefined || policy.rings.some(({ name }) => name === host.ring)) return undefined;
  const [problem] = assignRings(policy, [host]).problems;
  return `services.floe.agent.ring: ${problem?.message}`;
}

function refused(problems: readonly string[]): TakenPolicy {
  return { kind: 'refused', error: `the rollout policy is not valid: ${problems.join('\n')}` };
}
