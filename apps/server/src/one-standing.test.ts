import { isNotRolledOut, summarizeRollout, needsAction, type Desired, type HostName } from '@floe/model';
import { FleetView, RevisionView } from '@floe/protocol';
import { rolloutHosts, type HostRow } from '@floe/store';
import { attentionOf, describeRollout, needsAttention, standingName, standingWords, todoOf, verdictOf } from '@floe/views';
import { fleetView, revisionView } from '@floe/views/fixtures';
import fc from 'fast-check';
import * as v from 'valibot';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { makeHome, run, startServer } from '../../cli/src/test/harness.ts';
import { listHosts } from '../../dashboard/src/host-list.ts';
import { fromSnapshot } from '../../dashboard/src/live-fleet.ts';
import { anyHost, other, runs, toHost, viewOf, wanted, type GivenHost } from './test/any-fleet.ts';

const NOW = 1_790_000_000_000;

function rolloutOf(given: readonly GivenHost[]) {
  const hosts = new Map(given.map(({ row, desired }) => [row.host, { row, desired, quarantines: [] }]));
  const evaluations = given.map(({ evaluation }) => evaluation);
  return summarizeRollout(rolloutHosts({ evaluations, hosts, now: NOW }));
}

/** The host as the newest revision has it. */
function outcomeOf({ evaluation }: GivenHost) {
  const { host, outcome, toplevel, error } = evaluation;
  return { host, outcome: outcome ?? null, toplevel: toplevel ?? null, error: error ?? null, evaluateMs: null, buildMs: null };
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
        if (isNotRolledOut(given.evaluation.outcome)) {
          expect(counts.total).toBe(0);
          return;
        }
        expect(counts).toMatchObject({ total: 1, [view.standing]: 1 });
        const commit = describeRollout(counts);
        expect(commit.description).toContain(view.standing === 'in-sync' ? 'the only host runs it' : `1 ${standingName(view.standing)}`);
        expect(commit.state === 'failure').toBe(needsAction(view.standing) && view.standing !== 'behind');
        if (needsAction(view.standing)) expect(view.problem).not.toBeNull();
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
          revision: v.parse(RevisionView, { ...revisionView(), hosts: given.map(outcomeOf) }),
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
        const verdict = verdictOf(fleet);
        expect(status.stdout.split('\n', 1)).toEqual([verdict.text]);
        expect(verdict.isFine).toBe(calling.length === 0);
        expect(Number(/^(\d+) needs? you: /.exec(verdict.text)?.[1] ?? 0)).toBe(calling.length);
        // However long the reason is, what to do is said in full.
        for (const { message, todo, subject } of attention) {
          expect(status.stdout).toContain(message.split('\n', 1)[0]);
          expect(status.stdout.replaceAll(' HOST', ` ${subject}`)).toContain(todo ?? '');
        }
        // What calls a person in one place does so in the list of hosts, whatever its standing.
        const needing = (await run(['hosts', '--attention', '--json'], env)).stdout;
        expect((JSON.parse(needing) as { host: string }[]).map(({ host }) => host)).toEqual(calling);
        const hosts = (await run(['hosts'], env)).stdout.split('\n');
        // Those that are not Floe's count nowhere.
        const notOurs = fleet.hosts.filter(({ standing }) => standing === 'not-ours').length;
        for (const host of fleet.hosts) {
          const words = standingWords(host);
          expect(hosts.find((line) => line.startsWith(`${host.host} `))).toContain(words);
          const number = fleet.hosts.filter(({ standing }) => standing === host.standing).length;
          expect(status.stdout).toContain(
            host.standing === 'in-sync' ? `${number} of ${fleet.hosts.length - notOurs} host` : `${number} ${standingName(host.standing)}`,
          );
        }
        const told = fleet.hosts.filter(({ host }) => given.some((each) => each.row.host === host && !isNotRolledOut(each.evaluation.outcome)));
        expect(counts.total).toBe(told.length);
        for (const { standing } of told) expect(counts[standing]).toBe(told.filter((each) => each.standing === standing).length);
      }),
      { numRuns: 25 },
    );
  });
});

describe('the troubles of a host are all told', () => {
  const broken = (over: Partial<HostRow>, desired?: Desired) => {
    const given = toHost(
      {
        enrolment: 'enrolled',
        isConnected: true,
        observed: runs(other),
        state: 'SUCCEEDED',
        subject: other,
        silentMs: 0,
        isOverridden: false,
        isRetryPending: false,
        desired: 'release',
        outcome: 'EVAL_ERROR',
      },
      1,
    );
    return viewOf({ ...given, row: { ...given.row, ...over }, desired: desired ?? given.desired });
  };

  test('a cloned one that does not evaluate says both', () => {
    expect(broken({ clonedAt: 2 }).problem).toMatch(/used by two machines.*\ndoes not evaluate: it is broken/);
  });

  test('one that rolled back what it had before, and does not evaluate now, says both', () => {
    const release = { id: 'r', host: 'ws1' as HostName, sequence: 1, toplevel: wanted };
    const host = broken({}, { kind: 'quarantined', release });
    expect(host.problem).toMatch(/^does not evaluate: it is broken\nrolled back: /);
    expect(todoOf(host)).toBe('push a fix, or run: floe retry ws1 --reason "…"');
  });
});
