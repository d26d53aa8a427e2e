import { createHash } from 'node:crypto';
import {
  assignRings,
  belowFloor,
  DEFAULT_POLICY,
  glassWords,
  goByHostTime,
  HOST_TIME_ZONE,
  windowsIn,
  type RingCandidate,
  type RingWindow,
  type RolloutPolicy,
} from '@floe/model';
import { isTimeZone, parseFleetPolicy } from '@floe/protocol';
import { describeError, isFloeError, NEVER_OPENS, NOT_NAMED, stableJson, TOO_OFTEN, yearOfWindows } from '@floe/runtime';
import type { Revision } from '@floe/store';
import type { PipelineDeps } from '../deps.ts';
import { explainOpaque } from './opaque-files.ts';
import { addressOf } from './source.ts';

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
  const read: TakenPolicy = hasPolicy ? await readPolicy(deps, revision, signal) : { kind: 'policy', policy: DEFAULT_POLICY };
  if (read.kind === 'refused') return read;
  const below = await refusalBelowFloor(deps, revision, read.policy);
  if (below !== undefined) return below;
  if (hasPolicy || revision.policy !== DEFAULT_POLICY) await store.revisions.savePolicy(revision.id, hasPolicy ? read.policy : undefined);
  await warnOfSettings(deps, revision, read.policy);
  return read;
}

/** The policy of an earlier revision of the same files, without reading it again: the server's settings may have changed since. */
export async function carryPolicy(deps: PipelineDeps, revision: Revision, { policy }: Revision): Promise<TakenPolicy> {
  const below = await refusalBelowFloor(deps, revision, policy);
  if (below !== undefined) return below;
  await deps.store.revisions.savePolicy(revision.id, policy === DEFAULT_POLICY ? undefined : policy);
  await warnOfSettings(deps, revision, policy);
  return { kind: 'policy', policy };
}

/** The floor of the server's settings holds for every policy, but that of a commit for which administrators broke the glass of this very floor. */
async function refusalBelowFloor(
  { store, policyFloor, nameSettings = (message) => message }: PipelineDeps,
  { id, sha, glassAt, glassFloor, glass = [] }: Revision,
  policy: RolloutPolicy,
): Promise<TakenPolicy | undefined> {
  const below = policyFloor === undefined ? [] : belowFloor(policyFloor, policy);
  if (policyFloor === undefined || below.length === 0) return undefined;
  const floor = createHash('sha256').update(stableJson(policyFloor)).digest('base64url');
  if (glassAt !== undefined && glassFloor === floor) {
    await warn(store, id, glassWords(glass, below));
    return undefined;
  }
  await store.revisions.noteBelowFloor(id, floor);
  const ways = [
    'Push a commit whose policy keeps the floor.',
    `An administrator lets this one commit pass under its own policy with: floe rollout break-glass ${sha.slice(0, 10)} --reason "…" (where there is another administrator, a second one has to ask for the same).`,
  ];
  const title = nameSettings("the rollout policy is below the floor of this server's settings (FLOE_POLICY_FLOOR):");
  return { kind: 'refused', error: [title, ...below, ...ways].join('\n') };
}

/** Not an error: whom a server tells and asks is its settings, and the same fleet may have two servers. */
async function warnOfSettings({ store, notifyTargets, probes }: PipelineDeps, { id }: Revision, { notify, rings }: RolloutPolicy): Promise<void> {
  const asked = rings.flatMap((ring) => ring.probes.map(({ name }) => name));
  const warnings = [
    ...missing('notification targets', Object.values(notify).flat(), notifyTargets),
    ...missing('probes', asked, probes).map((warning) => `${warning}. A ring with a probe that gives no answer pauses`),
  ];
  for (const warning of warnings) await warn(store, id, warning);
}

/** Notes a warning on the revision, once. */
export async function warn(store: PipelineDeps['store'], id: string, warning: string): Promise<void> {
  const others = (await store.revisions.get(id))?.warnings ?? [];
  if (!others.includes(warning)) await store.revisions.noteWarnings(id, [...others, warning]);
}

function missing(what: string, named: readonly string[], known: readonly string[] | undefined): readonly string[] {
  const unknown = known === undefined ? [] : [...new Set(named)].filter((name) => !known.includes(name));
  return unknown.length === 0
    ? []
    : [`the policy names ${what} that this server does not have: ${unknown.join(', ')}. It has ${known?.join(', ') || 'none'}`];
}

async function readPolicy(deps: PipelineDeps, revision: Revision, signal: AbortSignal): Promise<TakenPolicy> {
  const { repositoryNix, limits, clock } = deps;
  let data: unknown;
  try {
    data = await repositoryNix.readFleetPolicy(await addressOf(deps, revision.sha), {
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
  const year = yearOfWindows(clock.now());
  const looks = parsed.policy.rings.map(({ windows }, index) => ({
    path: `rings[${index}].windows`,
    windows,
    isClosed: year.neverOpens(windowsAnywhere(windows)),
  }));
  const closed = looks.flatMap(({ path, windows, isClosed }) => {
    if (isClosed === false) return [];
    if (isClosed === undefined) return [`${path}: ${TOO_OFTEN}`];
    const found = year.problems(windowsIn(windows, undefined))?.map(({ index, message }) => `${path}[${index}]: ${message}`);
    return [`${path}: ${NEVER_OPENS}`, ...(found ?? [`${path}: ${NOT_NAMED}`])];
  });
  return closed.length > 0 ? refused(closed) : parsed;
}

/** Which zones its hosts have is not known yet: a ring is closed only if it is so all over the world. */
function windowsAnywhere(windows: readonly RingWindow[]): readonly (readonly RingWindow[])[] {
  if (!goByHostTime(windows)) return [windows];
  const isMixed = windows.some(({ timeZone }) => timeZone !== HOST_TIME_ZONE);
  return isMixed ? ZONES_OF_THE_WORLD.map((zone) => windowsIn(windows, zone)) : [windowsIn(windows, undefined)];
}

/** Every whole hour from 12 hours behind UTC to 14 ahead; the sign in the names is the other way round. */
const ZONES_OF_THE_WORLD = Array.from({ length: 27 }, (_, index) => `Etc/GMT${index - 14 < 0 ? '' : '+'}${index - 14}`);

/** What is wrong with the time zone of a host's own configuration, if windows of its ring go by that. */
export function unknownZone(policy: RolloutPolicy, host: RingCandidate): string | undefined {
  const { timeZone } = host;
  if (timeZone === undefined || isTimeZone(timeZone)) return undefined;
  const ring = assignRings(policy, [host]).ringOf.get(host.host) ?? 0;
  if (!goByHostTime(policy.rings[ring]?.windows ?? [])) return undefined;
  const why = `windows of ring ${policy.rings[ring]?.name} go by it`;
  return `time.timeZone: "${timeZone}" is not a time zone that this server knows, and ${why}: give a name such as "Europe/Berlin"`;
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
