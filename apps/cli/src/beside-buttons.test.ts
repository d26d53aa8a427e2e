import { HOST_ACTIONS } from '@floe/model';
import type { RevisionView, RingView, RolloutView } from '@floe/protocol';
import { decisionCommand, decisionRequest, pauseDecisions, revisionDecisions, rolloutDecisions, withLabel, type Decision } from '@floe/views';
import { ringView } from '@floe/views/fixtures';
import { expect, test } from 'vitest';
import { hostView, NOW, revisionView, SHA } from './test/fixtures.ts';
import { makeHome, run, startServer } from './test/harness.ts';

// What a button of the page sends, the command beside it sends, too.

const stop = { label: 'role=dns', by: 'ada', reason: 'the resolvers are moved', at: NOW, until: null } as const;
const freeze = { by: 'ada', reason: 'holidays', at: NOW, until: null };
const pause = { cause: 'failures', description: '1 host failed', failures: [], later: [], since: NOW - 1_000 } as const;
const current = ringView({
  name: 'canary',
  state: 'current',
  missingApprovals: { count: 1, role: 'approver', notAuthor: false, weaker: [], notAsked: [] },
});
const rings: RingView[] = [current, ringView({ name: 'all', state: 'to-come' })];

function rolledOut(over: Partial<RolloutView>): RevisionView {
  const { rollout, ...revision } = revisionView();
  return { ...revision, rollout: { ...(rollout as RolloutView), rings, stops: [], freeze: null, pause: null, orders: [], ...over } };
}

const VIEWS = [
  rolledOut({ state: 'WAITING_APPROVAL' }),
  rolledOut({ state: 'PAUSED', pause: { ...pause, failures: [], later: [] }, stops: [stop] }),
  rolledOut({ state: 'PAUSED', freeze, stops: [stop] }),
  rolledOut({ state: 'COMPLETE' }),
];
const CASES: readonly (readonly [string, Decision, RevisionView])[] = [
  ...VIEWS.flatMap((view) => [...rolloutDecisions(view), ...pauseDecisions(view.rollout as RolloutView)].map((each) => [each, view] as const)),
  ...revisionDecisions({ sha: SHA as never, isHeld: true, isBelowFloor: true }, true).map((each) => [each, VIEWS[0] as RevisionView] as const),
  ...HOST_ACTIONS.map((kind) => [{ kind, host: 'ws1' } as const, VIEWS[0] as RevisionView] as const),
].map(([decision, view]) => [`${decisionCommand(withLabel(decision, 'role=web'))} (${view.rollout?.state})`, withLabel(decision, 'role=web'), view]);

/** What says nothing counts as left out. */
function meant(body: object): object {
  return Object.fromEntries(Object.entries(body).filter(([, value]) => value !== undefined && value !== false));
}

test('there is a case of each kind of decision', () => {
  expect([...new Set(CASES.map(([, { kind }]) => kind))].toSorted()).toEqual(
    [...HOST_ACTIONS, 'accept', 'pause-rollout', 'resume-rollout', 'approve-rollout', 'abort-rollout', 'hotfix-rollout', 'break-glass'].toSorted(),
  );
});

test.each(CASES)('%s', async (_name, decision, view) => {
  await using home = await makeHome();
  const { method, path, body } = decisionRequest(decision);
  await using server = await startServer({
    'GET /api/rollout': { json: view },
    [`GET /api/revisions/${SHA.slice(0, 10)}`]: { json: view },
    'GET /api/hosts/ws1': { json: hostView('ws1') },
    [`${method} ${path}`]: { json: { outcome: 'done', message: 'done.' } },
  });
  const argv = decisionCommand(decision).replace('"…"', 'why').split(' ').slice(1);
  const env = { XDG_CONFIG_HOME: home.folder, FLOE_SERVER_URL: server.url, FLOE_TOKEN_FILE: home.tokenFile };
  const { code, stderr } = await run(argv, env);
  const sent = server.seen.filter((each) => each.method !== 'GET');
  expect(sent, stderr).toEqual([{ method, path, body: expect.anything() as unknown }]);
  expect(meant(sent[0]?.body as object)).toEqual({ ...meant(body), reason: 'why' });
  expect(code, stderr).toBe(0);
});
