import {
  AGENT_STATES,
  EVALUATION_OUTCOMES,
  judgeRollout,
  NOTHING_OBSERVED,
  needsPerson,
  offerOf,
  type Desired,
  type HostName,
  type StorePath,
} from '@floe/model';
import { FleetView, RevisionView } from '@floe/protocol';
import { rolloutHosts, type Evaluation, type HostRow } from '@floe/store';
import { attentionOf, describeRollout, needsAttention, standingName, standingWords } from '@floe/views';
import { fleetView, revisionView } from '@floe/views/fixtures';
import fc from 'fast-check';
import * as v from 'valibot';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { makeHome, run, startServer } from '../../cli/src/test/harness.ts';
import { listHosts } from '../../dashboard/src/host-list.ts';
import { fromSnapshot } from '../../dashboard/src/live-fleet.ts';
import { standingText } from '../../dashboard/src/standing.ts';
import { viewHost } from './fleet-view.ts';

const NOW = 1_790_000_000_000;
const path = (name: string): StorePath => `/nix/store/${name.padEnd(32, '0')}-system` as StorePath;
const [wanted, other] = [path('wanted'), path('other')];
const runs = (toplevel: StorePath) => ({ current: toplevel, booted: toplevel, profile: { generation: 1, toplevel } });

interface Given {
  readonly row: HostRow;
  readonly desired: Desired;
  readonly evaluation: Evaluation;
}

const anyHost = fc.record({
  enrolment: fc.constantFrom('none', 'enrolled', 'enrolled', 'enrolled', 'revoked', 'cloned'),
  isConnected: fc.boolean(),
  observed: fc.constantFrom(NOTHING_OBSERVED, runs(wanted), runs(other)),
  state: fc.constantFrom(...AGENT_STATES),
  subject: fc.constantFrom(wanted, wanted, other, undefined),
  isOverridden: fc.boolean(),
  isToRetry: fc.boolean(),
  desired: fc.constantFrom('nothing', 'release', 'release', 'quarantined', 'pin'),
  outcome: fc.constantFrom('CHANGED', 'CHANGED', ...EVALUATION_OUTCOMES),
});

function toHost(facts: typeof anyHost extends fc.Arbitrary<infer Facts> ? Facts : never, index: number): Given {
  const host = `ws${index}` as HostName;
  const toplevel = facts.desired === 'pin' ? other : wanted;
  const release = { id: 'r', host, sequence: 1, toplevel };
  const desired: Desired =
    facts.desired === 'nothing'
      ? { kind: 'nothing' }
      : facts.desired === 'quarantined'
        ? { kind: 'quarantined', release }
        : { kind: 'release', release, because: facts.desired === 'pin' ? 'pin' : 'rollout' };
  const row: HostRow = {
    host,
    repositoryId: '1',
    publicKey: facts.enrolment === 'none' ? undefined : 'key',
    enrolledAt: facts.enrolment === 'none' ? undefined : 1,
    revokedAt: facts.enrolment === 'revoked' ? 2 : undefined,
    clonedAt: facts.enrolment === 'cloned' ? 2 : undefined,
    desired: { releaseId: 'r', toplevel, sequence: 1, epoch: 3, since: 1 },
    epoch: 3,
    retryEpoch: facts.isToRetry ? 3 : undefined,
    observed: facts.observed,
    state: facts.state,
    stateToplevel: facts.subject,
    stateSince: 5,
    detail: facts.isOverridden ? { code: 'LOCAL_OVERRIDE', message: 'its user went back' } : undefined,
    isConnected: facts.isConnected,
    lastSeenAt: 7,
    acceptedSequence: 0,
    reportSeq: 0,
  };
  const { outcome } = facts;
  const isError = outcome === 'EVAL_ERROR' || outcome === 'BUILD_ERROR';
  return { row, desired, evaluation: { host, outcome, toplevel: wanted, error: isError ? 'it is broken' : undefined } };
}

function viewOf({ row, desired, evaluation }: Given) {
  const offer = offerOf('PUBLISHED', evaluation);
  return viewHost(row, { desired, offer, evaluation, quarantines: [], desiredCommit: null, progress: null, trouble: null });
}

function rolloutOf(given: readonly Given[]) {
  const rows = new Map(given.map(({ row }) => [row.host, row]));
  const desired = new Map(given.map((each) => [each.row.host, each.desired]));
  const evaluations = given.map(({ evaluation }) => evaluation);
  return judgeRollout(rolloutHosts({ evaluations, rows, desired, quarantines: [], now: NOW }));
}

let home: Awaited<ReturnType<typeof makeHome>>;
beforeAll(async () => {
  home = await makeHome();
});
afterAll(async () => await home[Symbol.asyncDispose]());

describe('whatever the facts of a host are', () => {
  test('its row and the commit say one and the same of it, and a person is called by both or by neither', () => {
    fc.assert(
      fc.property(anyHost, (facts) => {
        const given = toHost(facts, 1);
        const view = viewOf(given);
        const { counts } = rolloutOf([given]);
        if (given.evaluation.outcome === 'REMOVED') {
          expect(counts.total).toBe(0);
          return;
        }
        expect(counts).toMatchObject({ total: 1, [view.standing]: 1 });
        const commit = describeRollout(counts);
        expect(commit.description).toContain(view.standing === 'in-sync' ? 'the only host runs it' : `1 ${standingName(view.standing)}`);
        expect(commit.state === 'failure').toBe(needsPerson(view.standing) && view.standing !== 'behind');
        if (needsPerson(view.standing)) expect(view.problem).not.toBeNull();
      }),
    );
  });

  test('page, command line, exit status and commit say the same of a whole fleet', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(anyHost, { minLength: 1, maxLength: 12 }), async (all) => {
        const given = all.map(toHost);
        const { counts } = rolloutOf(given);
        const fleet = v.parse(FleetView, {
          ...fleetView(),
          hosts: given.map(viewOf),
          revision: v.parse(RevisionView, { ...revisionView(), hosts: [] }),
        });
        const page = fromSnapshot(fleet);
        const attention = attentionOf(fleet);
        const calling = fleet.hosts.filter(needsAttention).map(({ host }) => host);
        expect(attention.map(({ subject }) => subject)).toEqual(calling);
        expect(listHosts(page, { text: '', onlyAttention: true }).map(({ host }) => host)).toEqual(expect.arrayContaining(calling));

        await using server = await startServer({ 'GET /api/fleet': { json: fleet }, 'GET /api/hosts': { json: fleet.hosts } });
        const env = { XDG_CONFIG_HOME: home.folder, FLOE_SERVER_URL: server.url, FLOE_TOKEN_FILE: home.tokenFile };
        const status = await run(['status', '--exit-code'], env);
        expect(status.code).toBe(calling.length > 0 ? 10 : 0);
        expect(status.stdout).toContain(calling.length > 0 ? `Needs attention (${calling.length})` : 'Nothing needs you.');
        const hosts = (await run(['hosts'], env)).stdout.split('\n');
        for (const host of fleet.hosts) {
          const words = standingWords(host);
          expect(hosts.find((line) => line.startsWith(`${host.host} `))).toContain(words);
          // While a host is under way the page says the step.
          if (host.standing !== 'under-way') expect(standingText(host)).toBe(words);
          expect(status.stdout).toContain(
            `${fleet.hosts.filter(({ standing }) => standing === host.standing).length} ${standingName(host.standing)}`,
          );
        }
        const told = fleet.hosts.filter(({ host }) => given.some((each) => each.row.host === host && each.evaluation.outcome !== 'REMOVED'));
        expect(counts.total).toBe(told.length);
        for (const { standing } of told) expect(counts[standing]).toBe(told.filter((each) => each.standing === standing).length);
      }),
      { numRuns: 25 },
    );
  });
});

describe('the troubles of a host are all told', () => {
  const broken = (over: Partial<HostRow>, desired?: Desired): string | null => {
    const given = toHost(
      {
        enrolment: 'enrolled',
        isConnected: true,
        observed: runs(other),
        state: 'SUCCEEDED',
        subject: other,
        isOverridden: false,
        isToRetry: false,
        desired: 'release',
        outcome: 'EVAL_ERROR',
      },
      1,
    );
    return viewOf({ ...given, row: { ...given.row, ...over }, desired: desired ?? given.desired }).problem;
  };

  test('a cloned one that does not evaluate says both', () => {
    expect(broken({ clonedAt: 2 })).toMatch(/used by two machines.*\ndoes not evaluate: it is broken/);
  });

  test('one that put back what it had before, and does not evaluate now, says both', () => {
    const release = { id: 'r', host: 'ws1' as HostName, sequence: 1, toplevel: wanted };
    expect(broken({}, { kind: 'quarantined', release })).toMatch(/^does not evaluate: it is broken\nrolled back: .*floe retry ws1/);
  });
});
