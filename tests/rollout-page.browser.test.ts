import { mayDo, ROLES, type CountedAs, type HostName, type Role } from '@floe/model';
import type { RepositoryView, RevisionView, RolloutHostsView } from '@floe/protocol';
import { decisionCommand, rolloutDecisions } from '@floe/views';
import { revisionView, SHA } from '@floe/views/fixtures';
import type { Browser, BrowserContextOptions } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { launchBrowser, openPage, type OpenedPage } from './browser/browser.ts';
import { DASHBOARD_DIR } from './browser/dashboard.ts';
import { FixtureServer } from './browser/fixture-server.ts';
import { busyFleet, pausedRevision, ringedRevision } from './browser/fleets.ts';

let browser: Browser;
beforeAll(async () => {
  browser = await launchBrowser();
});
afterAll(async () => {
  await browser.close();
});

async function startServer(revision: RevisionView, role: Role = 'administrator', repository?: RepositoryView): Promise<FixtureServer> {
  const fleet = busyFleet(Date.now());
  const shown = { ...fleet, revision, repository: repository ?? fleet.repository };
  return await new FixtureServer({ dashboardDir: DASHBOARD_DIR, fleet: shown, role }).start();
}

async function open(server: FixtureServer, path = '', options: BrowserContextOptions = {}, region = 'Rings'): Promise<OpenedPage> {
  const opened = await openPage(browser, new URL(path, server.url).href, options);
  await opened.page.getByLabel('API token').fill(server.token);
  await opened.page.getByRole('button', { name: 'Sign in' }).click();
  await opened.page.getByRole('region', { name: region }).waitFor();
  // The expected error: the first request without a session.
  expect(opened.complaints.splice(0).every((complaint) => complaint.includes('401'))).toBe(true);
  return opened;
}

const oneLine = (text: string): string => text.replaceAll(/\s+/g, ' ').trim();

test('a rollout is shown ring by ring, with what each waits for, and changes live', async () => {
  const now = Date.now();
  await using server = await startServer(ringedRevision(now));
  await using opened = await open(server);
  const { page } = opened;
  const rings = async () => (await page.locator('.ring').allInnerTexts()).map((text) => oneLine(text).replace(/ Hosts of ring \S+$/, ''));
  expect(await rings()).toEqual([
    'canary Passed 2 verified',
    expect.stringMatching(/^office Soaks waits for soak until .*\d\d:\d\d.* 3 verified 2 under way 1 waiting 1 failed 1 away$/),
    'servers To come waits for the rings before it, 1 more approval (approver or higher, not an author) 1 away 3 to come',
  ]);
  expect(await opened.audit()).toEqual([]);

  server.change({ type: 'revision', revision: pausedRevision(now) });
  const failures = page.getByRole('list', { name: 'What paused it' });
  await failures.waitFor();
  // Said once, as the server says it.
  expect(oneLine(await page.locator('.rollout .overline .aside').innerText())).toBe(server.fleet.revision?.rollout?.description);
  expect((await rings())[1]).toMatch(/^office Paused waits for a person: 1 host failed: laptop-ken/);
  expect(oneLine(await failures.innerText())).toBe('laptop-ken the check "printer" failed 3 times | lpstat: no route to printer');
  expect(await failures.getByRole('link').getAttribute('href')).toBe('#/hosts/laptop-ken');
  expect(oneLine(await page.getByRole('list', { name: 'What people asked of it' }).innerText())).toBe(
    '1 h ago grace approve canary: tried it on my machine',
  );
  // A fix is on its way, alone and without gates: as it always looked.
  server.change({
    type: 'revision',
    revision: ringedRevision(now, { state: 'ROLLING', rings: ringedRevision(now).rollout?.rings.slice(0, 1) ?? [] }),
  });
  await page.locator('.rings').waitFor({ state: 'detached' });
  const freeze = { by: 'bob', reason: 'holidays', at: now, until: now + 60_000 };
  server.change({ type: 'revision', revision: ringedRevision(now, { state: 'COMPLETE', freeze }) });
  await page.getByText('Paused by bob').waitFor();
  expect(oneLine(await page.locator('.freeze').innerText())).toMatch(/^Paused by bob .*, until .*\d\d:\d\d.*: holidays$/);
  expect(await page.locator('.decisions-list button').filter({ hasText: '…' }).allInnerTexts()).toEqual(['Resume …', 'Pause a label …']);
  expect(opened.complaints).toEqual([]);
});

test('who in a ring is how far is named when somebody opens it, and follows the ring', async () => {
  const now = Date.now();
  await using server = await startServer(ringedRevision(now));
  const office = (host: string, countedAs: CountedAs | null, text = ''): RolloutHostsView['hosts'][number] => ({
    host: host as HostName,
    ring: 'office',
    countedAs,
    text,
  });
  server.ringHosts = [
    office('laptop-ada', 'verified'),
    office('laptop-ken', 'failed', 'the check "printer" failed'),
    office('laptop-eve', 'waiting', 'its user asked for later'),
    office('laptop-pin', null, 'it is kept on another release'),
    { ...office('one-canary', 'verified'), ring: 'canary' },
  ];
  await using opened = await open(server);
  const { page } = opened;
  const ring = page.locator('.ring').nth(1);
  await ring.getByText('Hosts of ring office').click();
  const told = ring.locator('dl > div');
  await told.first().waitFor();
  expect((await told.allInnerTexts()).map(oneLine)).toEqual([
    'Verified (1) laptop-ada',
    'Waiting (1) laptop-eve its user asked for later',
    'Failed (1) laptop-ken the check "printer" failed',
    'Not asked (1) laptop-pin it is kept on another release',
  ]);
  expect(await told.getByRole('link', { name: 'laptop-ken' }).getAttribute('href')).toBe('#/hosts/laptop-ken');
  expect(await opened.audit()).toEqual([]);
  server.ringHosts = [office('laptop-ken', 'verified')];
  const revision = ringedRevision(now);
  const [canary, seen, ...later] = revision.rollout?.rings ?? [];
  if (canary === undefined || seen === undefined) throw new Error('there are rings');
  const moved = { ...seen, counts: { ...seen.counts, verified: seen.counts.verified + 1, failed: 0 } };
  server.change({ type: 'revision', revision: ringedRevision(now, { rings: [canary, moved, ...later] }) });
  await told.filter({ hasText: /Verified \(1\)\s*laptop-ken/ }).waitFor();
  expect(await told.count()).toBe(1);
  expect(opened.complaints).toEqual([]);
});

test('a commit that waits for an older one says for which, until when, and what goes faster', async () => {
  const now = Date.now();
  await using server = await startServer(ringedRevision(now));
  await using opened = await open(server);
  const received = { state: 'RECEIVED', evaluatedAt: null, builtAt: null, publishedAt: null, rollout: null } as const;
  server.change({ type: 'revision', revision: revisionView({ ...received, waits: { after: 'd'.repeat(40), until: now } }, now) });
  const waits = opened.page.getByText('to be finished');
  await waits.waitFor();
  expect(oneLine(await waits.innerText())).toMatch(
    /^waits for dddddddddd to be finished, until .*\d\d:\d\d.* at the latest, or: floe rollout hotfix 3f9c2ab1d0 --reason "…"$/,
  );
  expect((await opened.page.getByRole('list', { name: 'Stages' }).innerText()).match(/waiting/g)).toHaveLength(4);
  expect(await opened.audit()).toEqual([]);
});

test('a decision says which pause and ring its reader saw, though the rollout goes on meanwhile; a refusal is shown', async () => {
  const now = Date.now();
  const paused = pausedRevision(now);
  await using server = await startServer(paused);
  await using opened = await open(server, `#/revisions/${SHA}`);
  const { page } = opened;
  const dialog = page.getByRole('dialog');
  await page.getByRole('button', { name: 'Resume …' }).click();
  const later = { ...paused.rollout, pause: { ...paused.rollout?.pause, since: now } } as NonNullable<RevisionView['rollout']>;
  server.change({ type: 'revision', revision: { ...paused, subject: 'seen', rollout: later } });
  await page.getByText('seen', { exact: true }).waitFor();
  server.refusal = 'it is paused for something else by now';
  await dialog.getByLabel('Reason').fill('the printer was broken before');
  await page.keyboard.press('Enter');
  await dialog.getByRole('alert').filter({ hasText: 'paused for something else' }).waitFor();
  expect(await opened.audit()).toEqual([]);
  server.refusal = undefined;
  await dialog.getByRole('button', { name: 'Resume' }).click();
  await page.getByRole('status').filter({ hasText: 'The server says what comes of it.' }).waitFor({ state: 'attached' });

  const [canary, office, servers] = ringedRevision(now).rollout?.rings ?? [];
  if (canary === undefined || office === undefined || servers === undefined) throw new Error('three rings');
  const waiting = ringedRevision(now, {
    state: 'WAITING_APPROVAL',
    rings: [canary, { ...office, state: 'passed' }, { ...servers, state: 'current' }],
  });
  server.change({ type: 'revision', revision: waiting });
  for (const [button, reason] of [
    ['Approve servers', 'tried it'],
    ['Hotfix', 'closes the hole'],
    ['Pause', 'holidays'],
    ['Abort', 'it breaks the VPN'],
    ['Abort and revert', 'and the printers'],
  ] as const) {
    await page.getByRole('button', { name: `${button} …` }).click();
    await dialog.getByLabel('Reason').fill(reason);
    await dialog.getByRole('button', { name: button }).click();
    await dialog.waitFor({ state: 'hidden' });
  }
  expect(server.decisions).toEqual([
    `POST /api/rollout/resume {"since":${paused.rollout?.pause?.since},"reason":"the printer was broken before"}`,
    `POST /api/rollout/approve {"commit":"${SHA}","ring":"servers","reason":"tried it"}`,
    `POST /api/rollout/hotfix {"commit":"${SHA}","reason":"closes the hole"}`,
    'POST /api/rollout/pause {"reason":"holidays"}',
    `POST /api/rollout/abort {"commit":"${SHA}","revert":false,"reason":"it breaks the VPN"}`,
    `POST /api/rollout/abort {"commit":"${SHA}","revert":true,"reason":"and the printers"}`,
  ]);
  expect(opened.complaints.filter((complaint) => !complaint.includes('409'))).toEqual([]);
});

const STOP = { label: 'role=dns', by: 'bob', reason: 'the resolvers are moved', at: Date.now(), until: null } as const;
/** The newest commit was refused below the floor, while hosts follow the one before. */
function belowFloor(now: number): RevisionView {
  const error = "the rollout policy is below the floor of this server's settings (FLOE_POLICY_FLOOR):\n- ring all: minVerified 1 is below 2";
  return { ...revisionView({}, now), state: 'REJECTED', error, rollout: null, isBelowFloor: true };
}
const FOLLOWED = '3f9c2ab1d03f9c2ab1d03f9c2ab1d03f9c2ab1d0' as RevisionView['sha'];

// A submitter does not use the page.
describe.each(ROLES.filter((role) => role !== 'submitter'))(
  'what a %s may not do is not offered, and what they may has its command beside it',
  (role) => {
    const now = Date.now();
    const one = ringedRevision(now, { state: 'ROLLING', rings: ringedRevision(now).rollout?.rings.slice(1, 2) ?? [] });
    test.each<[string, RevisionView]>([
      ['paused by itself', pausedRevision(now)],
      ['waiting for approval', ringedRevision(now, { state: 'WAITING_APPROVAL' })],
      ['in one ring', one],
      ['with a label paused', ringedRevision(now, { stops: [STOP] })],
      ['complete', ringedRevision(now, { state: 'COMPLETE' })],
    ])('of a rollout that is %s', async (_what, revision) => {
      await using server = await startServer(revision, role);
      await using opened = await open(server, '', {}, 'What needs you');
      await opened.page.getByText(`ada (${role})`, { exact: true }).waitFor();
      const told = rolloutDecisions(revision)
        .filter(({ kind }) => mayDo(role, kind))
        .map(decisionCommand);
      expect(told.length === 0).toBe(role === 'viewer');
      expect(await opened.page.locator('.decisions-list code').allInnerTexts()).toEqual(told);
      expect(await opened.page.locator('.decisions-list > li > button').count()).toBe(told.length);
    });

    test('of a commit below the floor, and of the rollout that hosts follow meanwhile', async () => {
      const { rollout, subject } = pausedRevision(now);
      if (rollout === null) throw new Error('no rollout');
      const fleet = busyFleet(now);
      const followed = { sha: FOLLOWED, subject, rollout };
      await using server = await startServer(belowFloor(now), role, { ...fleet.repository, held: null, followed });
      await using opened = await open(server, '', {}, 'The rollout that hosts follow');
      const { page } = opened;
      await page.getByText(`ada (${role})`, { exact: true }).waitFor();
      const may = role === 'administrator';
      expect(await page.locator('.attention').getByRole('button', { name: 'Break the glass …' }).count()).toBe(may ? 1 : 0);
      const told = rolloutDecisions({ sha: FOLLOWED, rollout }).filter(({ kind }) => mayDo(role, kind));
      expect(await page.locator('.followed .decisions-list code').allInnerTexts()).toEqual(told.map(decisionCommand));
      await page.goto(new URL(`#/revisions/${SHA}`, server.url).href);
      await page.getByRole('heading', { name: `Revision ${SHA.slice(0, 10)}` }).waitFor();
      expect(await page.locator('.decisions-list code').allInnerTexts()).toEqual(
        may ? [`floe rollout break-glass ${SHA.slice(0, 10)} --reason "…"`] : [],
      );
      if (!may) return;
      await page.getByRole('button', { name: 'Break the glass …' }).click();
      const dialog = page.getByRole('dialog');
      await dialog.getByLabel('Reason').fill('the check cannot build today');
      await dialog.getByRole('button', { name: 'Break the glass' }).click();
      await page.locator('.answered').filter({ hasText: 'The server says what comes of it.' }).waitFor();
      expect(server.decisions).toEqual([`POST /api/rollout/break-glass {"commit":"${SHA}","reason":"the check cannot build today"}`]);
    });
  },
);

test('the hosts of a label are paused by its name, with a reason and an end, and resumed by themselves', async () => {
  const now = Date.now();
  const revision = ringedRevision(now);
  await using server = await startServer(revision);
  await using opened = await open(server);
  const { page } = opened;
  const dialog = page.getByRole('dialog');
  await page.getByRole('button', { name: 'Pause a label …' }).click();
  await dialog.getByLabel('Reason').fill('the resolvers are moved');
  await page.keyboard.press('Enter');
  await dialog.getByRole('alert').filter({ hasText: 'Say which label.' }).waitFor();
  await dialog.getByLabel('Label of the hosts').fill('role=dns');
  await dialog.getByLabel('Ends by itself').fill('2099-01-04T08:00');
  expect(await opened.audit()).toEqual([]);
  await page.keyboard.press('Enter');
  // Also to whoever misspelt it: the server says how many hosts have it.
  await page.locator('.answered').filter({ hasText: 'The server says what comes of it.' }).waitFor();
  server.change({ type: 'revision', revision: { ...revision, rollout: revision.rollout && { ...revision.rollout, stops: [STOP] } } });
  await page.getByText('The label role=dns is paused by bob').waitFor();
  await page.getByRole('button', { name: 'Resume role=dns …' }).click();
  await dialog.getByLabel('Reason').fill('they are there');
  await page.keyboard.press('Enter');
  await dialog.waitFor({ state: 'hidden' });
  const until = await page.evaluate<number>("Date.parse('2099-01-04T08:00')");
  expect(server.decisions).toEqual([
    `POST /api/rollout/pause {"label":"role=dns","until":${until},"reason":"the resolvers are moved"}`,
    `POST /api/rollout/resume {"label":"role=dns","since":${STOP.at},"reason":"they are there"}`,
  ]);
  expect(opened.complaints).toEqual([]);
});

test('whom people paused is said, and can be ended, while there is no rollout to show', async () => {
  const now = Date.now();
  const freeze = { by: 'bob', reason: 'holidays', at: now, until: null };
  await using server = await startServer(belowFloor(now), 'operator', { ...busyFleet(now).repository, held: null, freeze, stops: [STOP] });
  await using opened = await open(server, '', {}, 'What people paused');
  const told = opened.page.locator('.followed');
  expect(await told.locator('.freeze').allInnerTexts()).toEqual([
    expect.stringMatching(/^All rollouts are paused by bob since .*: holidays$/),
    expect.stringMatching(/^The label role=dns is paused by bob since .*: the resolvers are moved$/),
  ]);
  expect(await told.locator('code').allInnerTexts()).toEqual([
    `floe rollout resume --seen=${now} --reason "…"`,
    `floe rollout resume --seen=${STOP.at} --label role=dns --reason "…"`,
  ]);
  expect(await opened.audit()).toEqual([]);
});

test.each([
  ['light', 1280],
  ['dark', 360],
] as const)('fits and is readable: %s, %i wide', async (colorScheme, width) => {
  await using server = await startServer(pausedRevision(Date.now()));
  await using opened = await open(server, `#/revisions/${SHA}`, { colorScheme, viewport: { width, height: 900 } });
  expect(await opened.page.evaluate('document.documentElement.scrollWidth')).toBe(width);
  expect(await opened.audit()).toEqual([]);
});
