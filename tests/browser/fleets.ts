import { fleetView, hostView, reportView, revisionView, storePath } from '@floe/views/fixtures';
import { countRollout } from '@floe/model';
import type { FleetView, HostView, ReportView, RevisionView } from '@floe/protocol';

const HELD = '90ab12cd34ef567890ab12cd34ef567890ab12cd';
const OLD = storePath('k3v9x1zq');
const NEW = storePath('aaaaaaaa');
const SECOND = 1_000;
const HOUR = 3_600 * SECOND;

/** One host in each standing that there is, in the middle of a rollout. */
export function busyFleet(now: number): FleetView {
  const onOld = { current: OLD, booted: OLD, profile: { generation: 41, toplevel: OLD } };
  const host = (name: string, over: Parameters<typeof hostView>[1] = {}) => hostView(name, over, now);
  const gone = { isConnected: false, lastSeenAt: now - 5 * HOUR } as const;
  return fleetView(
    {
      repository: {
        url: 'https://git.example.org/it/fleet.git',
        branch: 'main',
        acceptedCommit: revisionView().sha,
        lastFetchAt: now - 12 * SECOND,
        problem: null,
        held: { commit: HELD, reason: 'the branch was rewritten: this commit does not follow the accepted one', since: now - 400 * SECOND },
      },
      revision: revisionView(
        {
          rollout: {
            state: 'ROLLING',
            counts: {
              ...countRollout([]),
              total: 12,
              'in-sync': 2,
              'under-way': 1,
              waiting: 2,
              'local-override': 1,
              'rolled-back': 1,
              failed: 1,
              drifted: 1,
              away: 1,
              'not-enrolled': 1,
              behind: 1,
            },
            description: '3 of 12 on it',
            startedAt: now - 222 * SECOND,
            completedAt: null,
          },
          hosts: [
            {
              host: 'family-mira',
              outcome: 'EVAL_ERROR',
              toplevel: null,
              error:
                "error: undefined variable 'pkgz'\n\n       at hosts/family-mira.nix:12:34:\n\n           11|   environment.systemPackages = [\n           12|     pkgz.firefox\n             |     ^",
              evaluateMs: 1_400,
              buildMs: null,
            },
          ],
        },
        now,
      ),
      hosts: [
        host('desk-ada'),
        host('desk-grace'),
        host('laptop-linus', {
          standing: 'under-way',
          state: 'DOWNLOADING',
          progress: { doneBytes: 42_000_000, expectedBytes: 100_000_000 },
          observed: onOld,
          stateSince: now - 8 * SECOND,
        }),
        host('laptop-hedy', {
          standing: 'waiting',
          state: 'DEFERRED',
          observed: onOld,
          detail: { code: 'ON_BATTERY', message: 'on battery with 12 %: waits for power or until tomorrow 14:00' },
          stateSince: now - 1_500 * SECOND,
        }),
        host('laptop-alan', {
          standing: 'waiting',
          state: 'BOOT_STAGED',
          observed: onOld,
          detail: { code: 'AWAITS_RESTART', message: 'the next start of the machine tries it (once, by the boot loader)' },
          stateSince: now - 2 * HOUR,
        }),
        host('laptop-joan', {
          standing: 'local-override',
          state: 'IDLE',
          observed: onOld,
          detail: {
            code: 'LOCAL_OVERRIDE',
            message: `its user went back to the system before (${OLD} runs): kept until another system is desired (a day at least), "floe-agent resume", or "floe resume"`,
          },
          stateSince: now - 20 * HOUR,
        }),
        host('laptop-ken', {
          standing: 'rolled-back',
          state: 'ROLLED_BACK',
          observed: onOld,
          detail: { code: 'CHECK_FAILED', message: 'the check "printer" failed 3 times' },
          problem: 'rolled back: the check "printer" failed 3 times',
          actions: ['retry', 'revoke'],
        }),
        host('laptop-barbara', { standing: 'away', observed: onOld, stateSince: now - 26 * HOUR, ...gone }),
        host('server-dns', {
          standing: 'failed',
          state: 'REJECTED',
          observed: onOld,
          detail: { code: 'BAD_SIGNATURE', message: 'the release is signed by a key that this machine does not know' },
          problem: 'the release is signed by a key that this machine does not know',
        }),
        host('server-mail', {
          standing: 'drifted',
          observed: { current: OLD, booted: NEW, profile: { generation: 12, toplevel: NEW } },
          problem: 'runs something else than it was told, though nothing is under way',
          actions: ['resume', 'revoke'],
        }),
        host('family-mira', { standing: 'behind', problem: "does not evaluate: error: undefined variable 'pkgz'" }),
        host('kiosk-lobby', {
          standing: 'not-enrolled',
          isEnrolled: false,
          isConnected: false,
          lastSeenAt: null,
          stateSince: null,
          state: 'IDLE',
          agentVersion: null,
          machineId: null,
          observed: { current: null, booted: null, profile: null },
        }),
      ],
    },
    now,
  );
}

type Rollout = NonNullable<RevisionView['rollout']>;

/** Three rings: one has passed, one is the rollout's, one is to come; `over` in place of what it names. */
export function ringedRevision(now: number, over: Partial<Rollout> = {}): RevisionView {
  const none = { eligible: 0, verified: 0, failed: 0, acknowledged: 0, inFlight: 0, waiting: 0, toCome: 0, away: 0 };
  const ring = {
    needed: 2,
    building: 0,
    evaluating: 0,
    downloaded: 0,
    untried: null,
    soakMs: HOUR,
    soakUntil: null,
    deadlineAt: null,
    opensAt: null,
    probes: [],
    missingApprovals: null,
  };
  const rings: Rollout['rings'] = [
    { ...ring, name: 'canary', state: 'passed', counts: { ...none, eligible: 2, verified: 2 } },
    {
      ...ring,
      name: 'office',
      state: 'current',
      counts: { eligible: 8, verified: 3, failed: 1, acknowledged: 0, inFlight: 1, toCome: 1, waiting: 1, away: 1 },
      soakUntil: over.state === undefined ? now + HOUR : null,
    },
    {
      ...ring,
      name: 'servers',
      state: 'to-come',
      counts: { ...none, eligible: 4, toCome: 3, away: 1 },
      missingApprovals: { count: 1, role: 'approver', notAuthor: true, weaker: [], notAsked: ['grace'] },
    },
  ];
  const { rollout, ...revision } = revisionView({}, now);
  return { ...revision, rollout: { ...(rollout as Rollout), state: 'SOAKING', rings, ...over } };
}

/** A rollout that paused by itself, for one host. */
export function pausedRevision(now: number): RevisionView {
  const failure = { host: 'laptop-ken' as HostView['host'], reason: 'the check "printer" failed 3 times', log: 'lpstat: no route to printer\n' };
  const description = `1 host failed: ${failure.host} (${failure.reason})`;
  return ringedRevision(now, {
    state: 'PAUSED',
    description: `paused at ring office: ${description}`,
    pause: { cause: 'failures', description, failures: [failure], later: [], since: now - 300 * SECOND },
    orders: [{ kind: 'approve', by: 'grace', role: 'approver', reason: 'tried it on my machine', at: now - HOUR, ring: 'canary' }],
  });
}

/** Before the first push. */
export function emptyFleet(now: number): FleetView {
  return fleetView(
    {
      revision: null,
      hosts: [],
      repository: { url: 'https://git.example.org/it/fleet.git', branch: 'main', acceptedCommit: null, lastFetchAt: null, problem: null, held: null },
    },
    now,
  );
}

/** `size` hosts, all but one in sync: the last one failed. */
export function largeFleet(now: number, size: number): FleetView {
  const hosts = Array.from({ length: size }, (_, index) =>
    hostView(`ws${index}`, index === size - 1 ? { standing: 'failed', state: 'REJECTED' } : {}, now),
  );
  return fleetView({ hosts }, now);
}

/** One switch that failed with a log, after one that worked. */
export function historyOf(host: string, now: number): readonly ReportView[] {
  const failed = { state: 'ROLLED_BACK', hasLog: true, detail: { code: 'CHECK_FAILED', message: 'the check "printer" failed 3 times' } } as const;
  return [
    reportView(host, { seq: 9, epoch: 4, ...failed, toplevel: NEW, timings: { rollbackMs: 2_100 } }, now),
    reportView(host, { seq: 8, epoch: 4, state: 'ACTIVATING', toplevel: NEW, timings: { activateMs: 340 } }, now),
    reportView(host, { seq: 7, epoch: 3, toplevel: OLD }, now - HOUR),
  ];
}

/** The newest first; the older ones ended, each in its way. */
export function manyRevisions(count: number, now: number): readonly RevisionView[] {
  return Array.from({ length: count }, (_, index) => {
    if (index === 0) return revisionView({ sequence: 107 }, now);
    const sequence = 107 - index;
    const newer = index === 1 ? revisionView().sha : 'd'.repeat(40);
    return revisionView(
      {
        sha: (index === 1 ? 'd' : ((index * 7) % 10).toString()).repeat(40),
        sequence,
        subject: index === 1 ? 'An old one' : `Change ${sequence} of something with a subject that is a good deal longer than others are`,
        supersededBy: newer,
        supersededAt: now - index * HOUR,
        rollout: {
          state: 'SUPERSEDED',
          counts: countRollout(['in-sync', 'in-sync', 'rolled-back']),
          description: '2 of 3 hosts run it, 1 rolled back: laptop-ken',
          startedAt: now - (index + 1) * HOUR,
          completedAt: null,
          frozenAt: now - index * HOUR,
          hosts: [{ host: 'laptop-ken', standing: 'rolled-back', reason: 'the check "printer" failed 3 times' }],
        },
        hosts: [
          { host: 'laptop-ken', outcome: 'CHANGED', toplevel: NEW, error: null, evaluateMs: 2_000, buildMs: 9_000 },
          { host: 'gone-since', outcome: 'UNCHANGED', toplevel: OLD, error: null, evaluateMs: 1_000, buildMs: null },
        ],
      },
      now - index * HOUR,
    );
  });
}
