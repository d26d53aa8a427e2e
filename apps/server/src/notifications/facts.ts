import {
  DEFAULT_PRESENCE,
  isEndedRevision,
  presenceOf,
  standingOfMachine,
  type HostName,
  type NotificationFacts,
  type PresenceLimits,
  type RolloutPolicy,
  storeHash,
} from '@floe/model';
import type { Troubles } from '@floe/runtime';
import { factsOf, type HostRow } from '@floe/store';
import type { PauseView } from '@floe/protocol';
import { lostWords, missingApprovalWords, pauseInWords, rolloutOrderWords } from '@floe/views';
import { isKnock } from '../agents/knocks.ts';
import { describeSeen } from '../fleet-reader.ts';
import { presenceFactsOf } from '../fleet-view.ts';
import type { RolloutDetail } from '../rollouts/view.ts';
import type { FleetSnapshot, RevisionSeen } from '../fleet-snapshot.ts';

/** What one look at the fleet has to be told about. */
export interface SeenFacts {
  readonly facts: NotificationFacts;
  /** Revisions that are not finished, by id, and hosts that are not lost, by name: what comes of them later is new then. */
  readonly open: ReadonlySet<string>;
  /** Whom the policy names, besides the settings; undefined: that was not looked at. */
  readonly notify: RolloutPolicy['notify'] | undefined;
}

export interface LookedAt {
  /** The hosts were read. Reading them for this alone would cost as much as everything else. */
  readonly hasHosts: boolean;
  /** Up to when the server listened: what was not heard by then is missed. */
  readonly judgedUntil: number;
}

interface FactsDeps extends LookedAt {
  readonly troubles: Pick<Troubles, 'of'>;
}

/** The facts of a snapshot. */
export async function factsFrom(
  snapshot: FleetSnapshot,
  seen: readonly RevisionSeen[],
  { hasHosts, judgedUntil, troubles }: FactsDeps,
): Promise<SeenFacts> {
  const { held } = snapshot.repository;
  const { hosts, rollout: current } = hasHosts ? await snapshot.fleet() : { hosts: [], rollout: undefined };
  const limits = current?.policy.presence ?? DEFAULT_PRESENCE;
  const lost = new Map(hosts.flatMap(({ row }) => lostFacts(row, limits, judgedUntil) ?? []).map((each) => [each.host, each]));
  const unfinished = snapshot.revisions.filter(({ state }) => !isEndedRevision(state)).map(({ id }) => id);
  return {
    notify: hasHosts ? (current?.policy.notify ?? {}) : undefined,
    open: new Set<string>([...unfinished, ...hosts.flatMap(({ row: { host } }) => (lost.has(host) ? [] : [host]))]),
    facts: {
      held,
      revisions: snapshot.revisions.map(({ id, sha, subject, state, error, glass, receivedAt, fetchedAt, verifiedAt, evaluatedAt, builtAt }) => ({
        id,
        sha,
        subject,
        state,
        reason: error,
        glass,
        since: Math.max(receivedAt, fetchedAt ?? 0, verifiedAt ?? 0, evaluatedAt ?? 0, builtAt ?? 0),
      })),
      rollouts: seen.flatMap((each) => {
        const { revision, rollout } = each;
        if (rollout === undefined) return [];
        const { id, state, course, completedAt } = rollout.row;
        const since = state === 'COMPLETE' ? (completedAt ?? course.since) : course.since;
        return [
          {
            id,
            sha: revision.sha,
            subject: revision.subject,
            state,
            since,
            reason: [describeSeen(each)?.description ?? '', ...failuresInWords(rollout.detail.pause)].join('\n'),
            ...askedOf(rollout.detail),
          },
        ];
      }),
      hosts: hosts.map(({ row, desired, quarantines }) => {
        const hasFailed = row.stateSince !== undefined && standingOfMachine(factsOf(row, desired, { kind: 'unknown' })) === 'failed';
        return {
          host: row.host,
          rollbacks: quarantines,
          // One event for each system that fails: a host that fails again and again, or says so, is told of once.
          failed: hasFailed ? { about: storeHash(row.stateToplevel ?? ''), since: row.stateSince, reason: row.detail?.message } : undefined,
          lost: lost.get(row.host),
          refused: knockOf(row.host, troubles),
        };
      }),
    },
  };
}

/** What somebody has to approve, and what somebody decided that all are told of. */
function askedOf({ rings, orders }: RolloutDetail): Pick<NotificationFacts['rollouts'][number], 'waits' | 'hotfix'> {
  const index = rings.findIndex(({ state }) => state === 'current');
  const ring = rings[index];
  const missing = ring?.missingApprovals ?? null;
  // A ring without a host to ask is skipped, whatever approvals it would need.
  const isAsked = ring !== undefined && missing !== null && (ring.counts.eligible > 0 || missing.weaker.length > 0);
  const hotfixes = orders.filter(({ kind }) => kind === 'hotfix');
  const hotfix = hotfixes[0];
  return {
    waits: isAsked ? { ring: index, missing: `ring ${ring.name} needs ${missingApprovalWords(missing)}` } : undefined,
    hotfix:
      hotfix === undefined
        ? undefined
        : {
            at: hotfix.at,
            reason: `${hotfix.by}, ${rolloutOrderWords(hotfix)}: ${hotfix.reason}`,
            now: hotfixes.filter(({ now }) => now !== undefined).length,
          },
  };
}

/** More are on the page. */
const MAX_TOLD = 3;

/** Who failed, with the ends of the logs. */
function failuresInWords(pause: PauseView | null): readonly string[] {
  return pause === null || pause.failures.length === 0
    ? []
    : pauseInWords({ failures: pause.failures.slice(0, MAX_TOLD), later: [] }).map(({ host, text }) => `${host}: ${text}`);
}

function knockOf(host: HostName, troubles: Pick<Troubles, 'of'>): { readonly since: number; readonly reason: string } | undefined {
  const trouble = troubles.of(host);
  return trouble !== undefined && isKnock(trouble)
    ? { since: trouble.since, reason: `${trouble.message}. If it is the right machine, run: floe enrol ${host}` }
    : undefined;
}

function lostFacts(row: HostRow, limits: PresenceLimits, now: number) {
  const facts = presenceFactsOf(row);
  if (presenceOf(facts, limits, now).presence !== 'lost') return undefined;
  const seenAt = Math.max(facts.enrolledAt ?? 0, facts.lastSeenAt ?? 0);
  return { host: row.host, seenAt, since: seenAt + limits.lostMs, reason: lostWords(facts.lastSeenAt ?? null) };
}
