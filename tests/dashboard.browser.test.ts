import type { Role } from '@floe/model';
import type { FleetView } from '@floe/protocol';
import type { Browser, BrowserContextOptions, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { hostView, reportView, revisionView, SHA } from '@floe/views/fixtures';
import { launchBrowser, openPage, type OpenedPage } from './browser/browser.ts';
import { DASHBOARD_DIR } from './browser/dashboard.ts';
import { FixtureServer } from './browser/fixture-server.ts';
import { busyFleet, emptyFleet, historyOf, largeFleet, manyRevisions } from './browser/fleets.ts';

const WIDE = { width: 1280, height: 900 };
const NARROW = { width: 360, height: 740 };
/** The page needs a moment, on a busy machine some. */
const PATIENCE = { timeout: 30_000 };

let browser: Browser;
beforeAll(async () => {
  browser = await launchBrowser();
});
afterAll(async () => {
  await browser.close();
});

async function startServer(fleet: FleetView, role?: Role): Promise<FixtureServer> {
  return await new FixtureServer({ dashboardDir: DASHBOARD_DIR, fleet, ...(role === undefined ? {} : { role }) }).start();
}

async function signIn(page: Page, token: string): Promise<void> {
  await page.getByLabel('API token').fill(token);
  await page.getByRole('button', { name: 'Sign in' }).click();
}

/** A page that is signed in and shows the fleet. */
async function openFleet(server: FixtureServer, options: BrowserContextOptions & { path?: string } = {}): Promise<OpenedPage> {
  const opened = await openPage(browser, new URL(options.path ?? '', server.url).href, options);
  await signIn(opened.page, server.token);
  await opened.page.getByText('Live', { exact: true }).waitFor();
  // The expected error: the first request without a session.
  expect(opened.complaints.splice(0).every((complaint) => complaint.includes('401'))).toBe(true);
  return opened;
}

const rowOf = (page: Page, host: string) => page.getByRole('row', { name: new RegExp(`^${host}\\b`) });

describe('signing in', () => {
  test('a wrong token is refused with a message, the right one opens the fleet, and signing out closes it', async () => {
    await using server = await startServer(busyFleet(Date.now()));
    await using opened = await openPage(browser, server.url);
    const { page } = opened;
    await signIn(page, 'wrong');
    await page.getByRole('alert').filter({ hasText: 'not known to the server' }).waitFor();
    expect(await page.getByLabel('API token').getAttribute('aria-invalid')).toBe('true');
    expect(await opened.audit()).toEqual([]);

    await signIn(page, server.token);
    await rowOf(page, 'desk-ada').waitFor();
    const script = page.waitForResponse((response) => response.url().endsWith('.js'));
    await page.reload();
    expect(await (await script).headerValue('content-encoding')).toMatch(/^(br|gzip)$/);
    await rowOf(page, 'desk-ada').waitFor();

    await page.getByRole('button', { name: 'Sign out' }).click();
    await page.getByLabel('API token').waitFor();
    expect(await page.getByText('desk-ada').count()).toBe(0);
    await page.reload();
    await page.getByLabel('API token').waitFor();
    expect(server.followers).toBe(0);
  });

  test('a session that the server ended asks for a token again', async () => {
    await using server = await startServer(busyFleet(Date.now()));
    await using opened = await openFleet(server);
    await opened.page.context().clearCookies();
    await server.stop();
    await server.start();
    await opened.page.getByText('The session has ended').waitFor();
    expect(await opened.page.getByText('desk-ada').count()).toBe(0);
  });

  test('signing out while the server is away hides the fleet, and says that the cookie is still there', async () => {
    await using server = await startServer(busyFleet(Date.now()));
    await using opened = await openFleet(server);
    await server.stop();
    await opened.page.getByRole('button', { name: 'Sign out' }).click();
    await opened.page.getByText('this browser is still signed in').waitFor();
    expect(await opened.page.getByText('desk-ada').count()).toBe(0);
  });
});

describe('the fleet', () => {
  test('shows what is tracked, what is held and how to accept it, and hosts that need action first', async () => {
    await using server = await startServer(busyFleet(Date.now()));
    await using opened = await openFleet(server);
    const { page } = opened;
    await page.getByText('git.example.org/it/fleet', { exact: true }).waitFor();
    expect(await page.locator('.verdict').innerText()).toBe(
      '5 need you: commit 90ab12cd34 is held; laptop-ken rolled back; server-dns failed; server-mail drifted; family-mira behind',
    );
    expect(await page.title()).toBe('5 need you · Floe');
    expect(await page.locator('.attention .todo').first().innerText()).toBe(
      `push a commit that follows the accepted one, or run: floe accept ${server.fleet.repository.held?.commit ?? ''} --reason "…"`,
    );
    expect(await page.locator('tbody .name').allInnerTexts()).toEqual([
      'server-dns',
      'laptop-ken',
      'server-mail',
      'family-mira',
      'laptop-linus',
      'laptop-alan',
      'laptop-hedy',
      'laptop-joan',
      'desk-ada',
      'desk-grace',
      'kiosk-lobby',
      'laptop-barbara',
    ]);
    expect(await rowOf(page, 'laptop-ken').innerText()).toContain('the check "printer" failed 3 times');
    expect(await rowOf(page, 'laptop-linus').innerText()).toMatch(/Under way\s+downloading 42 %/);
    expect(await rowOf(page, 'kiosk-lobby').innerText()).toContain('floe enrol kiosk-lobby');
    expect(await rowOf(page, 'laptop-hedy').innerText()).toMatch(/Waiting\s+on battery with 12 %/);
    expect(await rowOf(page, 'laptop-alan').innerText()).toMatch(/Waiting for a restart\s+the next start/);
    expect(await rowOf(page, 'laptop-joan').innerText()).toMatch(/Kept by its user\s+its user went back.*20 h ago/s);
    expect(await rowOf(page, 'laptop-barbara').innerText()).toMatch(/Away since .*\d\d:\d\d/);
    await page.getByRole('list', { name: 'Rollout: of 12 hosts' }).getByText('2 waiting').waitFor();
    expect(await page.getByRole('list', { name: 'Stages' }).getByRole('listitem').allInnerTexts()).toEqual([
      expect.stringContaining('Received'),
      expect.stringMatching(/Fetched\s+in 400 ms/),
      expect.stringMatching(/Evaluated\s+in 3.6 s/),
      expect.stringMatching(/Built\s+in 12 s/),
      expect.stringMatching(/Published\s+in 2.0 s/),
      expect.stringMatching(/Rolled out\s+for 3 min/),
    ]);
    await page.locator('.errors summary').first().click();
    await page.locator('.errors').getByText('at hosts/family-mira.nix:12:34').waitFor();
    expect(opened.complaints).toEqual([]);
  });

  test('has an advice of the repository, which needs nobody', async () => {
    const fleet = busyFleet(Date.now());
    const advice = 'every host changes with every commit: a.nix:1 puts the commit or its date into the system';
    await using server = await startServer({ ...fleet, repository: { ...fleet.repository, advice } });
    await using opened = await openFleet(server);
    await opened.page.getByRole('region', { name: 'Advice' }).getByText('Every host changes with every commit: a.nix:1').waitFor();
    expect(await opened.audit()).toEqual([]);
  });

  test('changes without a reload, and says so to screen readers', async () => {
    await using server = await startServer(busyFleet(Date.now()));
    await using opened = await openFleet(server);
    const { page } = opened;
    await page.evaluate('window.sameDocument = true');
    server.change(
      { type: 'host', host: hostView('laptop-linus', {}, Date.now()) },
      {
        type: 'revision',
        revision: revisionView(
          {
            sha: 'e'.repeat(40),
            sequence: 8,
            subject: 'Undo the printer',
            state: 'EVALUATING',
            evaluatedAt: null,
            builtAt: null,
            publishedAt: null,
            rollout: null,
          },
          Date.now(),
        ),
      },
    );
    await rowOf(page, 'laptop-linus').filter({ hasText: 'In sync' }).waitFor();
    await page.getByText('Undo the printer').waitFor();
    await page.getByRole('status').filter({ hasText: 'laptop-linus in sync' }).waitFor({ state: 'attached' });
    expect(await page.evaluate('window.sameDocument')).toBe(true);
    expect(opened.complaints).toEqual([]);
  });

  test('says that it is not live while the server is away, and catches up by itself', async () => {
    await using server = await startServer(busyFleet(Date.now()));
    await using opened = await openFleet(server);
    const { page } = opened;
    await server.stop();
    const banner = page.getByRole('region', { name: 'Connection' });
    await banner.filter({ hasText: 'Not live, last seen' }).waitFor();
    expect(await rowOf(page, 'laptop-linus').innerText()).toContain('downloading');
    server.change({ type: 'host', host: hostView('laptop-linus', {}, Date.now()) });
    await server.start();
    await rowOf(page, 'laptop-linus').filter({ hasText: 'In sync' }).waitFor();
    await banner.waitFor({ state: 'detached' });
  });

  test('a host has a page: what it runs and should run, its reason, the end of its log, and one row for each switch', async () => {
    const now = Date.now();
    await using server = await startServer(busyFleet(now));
    server.reports = historyOf('laptop-ken', now);
    server.logs = new Map([['laptop-ken 0 9', `cups.service: ${'on fire '.repeat(40)}\n${'a line\n'.repeat(200)}the end`]]);
    await using opened = await openFleet(server);
    const { page } = opened;
    // By keyboard: the links in the order of the page.
    await page.getByRole('searchbox', { name: 'Filter' }).focus();
    // Past the check box, and the host above it with its commits.
    for (let steps = 0; steps < 5; steps += 1) await page.keyboard.press('Tab');
    expect(await page.locator(':focus').innerText()).toBe('laptop-ken');
    await page.keyboard.press('Enter');
    const title = page.getByRole('heading', { name: 'laptop-ken' });
    await title.waitFor();
    expect(await page.locator(':focus').innerText()).toBe('laptop-ken');
    expect(await page.title()).toBe('laptop-ken: rolled back · Floe');
    const main = page.getByRole('main');
    await main.getByText('the end').waitFor();
    expect(await page.locator('.facts').innerText()).toMatch(/Runs\s+3f9c2ab1d0 Add the printer/);
    expect(await page.locator('.host-page > .todo').innerText()).toBe('push a fix, or run: floe retry laptop-ken --reason "…"');

    const switches = page.getByRole('table', { name: 'Switches' });
    const rows = switches.locator('> tbody > tr:not(.details-row)');
    expect(await rows.count()).toBe(2);
    expect(await rows.first().innerText()).toMatch(/Rolled back.*3f9c2ab1d0.*2\.4 s.*the check "printer" failed/s);
    await switches.getByText('Details').first().click();
    expect(await switches.getByRole('table', { name: 'Reports' }).first().innerText()).toMatch(/rollback 2\.1 s.*Activating.*activate 340 ms/s);
    expect(await opened.audit()).toEqual([]);

    // It changes: the history is read again.
    server.reports = [reportView('laptop-ken', { seq: 11, epoch: 5, detail: { code: 'OK', message: 'fire is out' } }, now), ...server.reports];
    server.change({ type: 'host', host: hostView('laptop-ken', { stateSince: now }, now) });
    await rows.getByText('fire is out').waitFor();
    expect(await page.title()).toBe('laptop-ken: in sync · Floe');

    // Its commit leads to the revision, and back.
    await rows.first().getByRole('link').click();
    await page.getByRole('heading', { name: 'Revision 3f9c2ab1d0' }).waitFor();
    await page.goBack();
    await title.waitFor();
    expect(opened.complaints).toEqual([]);
  });

  test('a log that was removed, and a host that does not exist, are reported', async () => {
    const now = Date.now();
    await using server = await startServer(busyFleet(now));
    server.reports = historyOf('laptop-ken', now);
    await using opened = await openFleet(server);
    const { page } = opened;
    await page.goto(new URL('#/hosts/laptop-ken', server.url).href);
    await page.getByRole('alert').filter({ hasText: 'no log of this report' }).waitFor();
    await page.goto(new URL('#/hosts/nobody', server.url).href);
    await page.getByText('There is no host nobody in this fleet.').waitFor();
    await page.getByRole('link', { name: 'All hosts' }).click();
    await rowOf(page, 'desk-ada').waitFor();
  });

  test('a host says what stands between it and the newest commit, as it changes', async () => {
    const fleet = busyFleet(Date.now());
    await using server = await startServer(fleet);
    server.why = [
      { rule: 'ring', text: 'ring all waits for canary: 2 of 3 verified', end: 'when canary has passed; see: floe rollout' },
      { rule: 'away', text: 'it is not connected', end: 'when it comes back' },
    ];
    await using opened = await openFleet(server, { path: '#/hosts/laptop-ken' });
    const { page } = opened;
    const why = page.getByRole('list', { name: 'Why it does not run the newest commit' });
    await why.getByText('it is not connected → when it comes back').waitFor();
    expect(await why.getByRole('listitem').allInnerTexts()).toEqual([
      'ring all waits for canary: 2 of 3 verified → when canary has passed; see: floe rollout',
      'it is not connected → when it comes back',
    ]);
    expect(await opened.audit()).toEqual([]);
    const { revision } = fleet;
    const { rollout } = revision ?? {};
    if (revision === null || rollout == null) throw new Error('there is a rollout');
    server.why = [{ rule: 'unfinished', text: 'the newest commit waits for another one', end: 'by itself' }];
    server.change({ type: 'revision', revision: { ...revision, waits: { after: revision.sha, until: Date.now() } } });
    await why.getByText('the newest commit waits for another one → by itself').waitFor();
    server.why = [];
    server.change({ type: 'revision', revision: { ...revision, rollout: { ...rollout, description: 'all of them run it' } } });
    await why.waitFor({ state: 'detached' });
  });

  test('a decision asks for a reason, explains its effect and its result, and is refused with a message', async () => {
    const now = Date.now();
    const fleet = busyFleet(now);
    await using server = await startServer(fleet);
    await using opened = await openFleet(server, { path: '#/hosts/laptop-ken' });
    const { page } = opened;
    const dialog = page.getByRole('dialog', { name: 'Have laptop-ken try again?' });
    await page.getByRole('button', { name: 'Retry …' }).press('Enter');
    await dialog.waitFor();
    expect(await page.locator(':focus').getAttribute('id')).toBe(await dialog.getByLabel('Reason').getAttribute('id'));
    expect(await opened.audit()).toEqual([]);
    await page.keyboard.press('Enter');
    await dialog.getByRole('alert').filter({ hasText: 'Say why in a few words.' }).waitFor();
    server.refusal = 'this token may look, and decide nothing';
    await dialog.getByLabel('Reason').fill('the license server is back');
    await page.keyboard.press('Enter');
    await dialog.getByRole('alert').filter({ hasText: 'may look, and decide nothing' }).waitFor();
    expect(server.decisions).toEqual([]);
    server.refusal = undefined;
    await dialog.getByRole('button', { name: 'Retry' }).click();
    await dialog.waitFor({ state: 'hidden' });
    await page.getByRole('status').filter({ hasText: 'laptop-ken is told to try again.' }).waitFor({ state: 'attached' });
    expect(await page.locator(':focus').innerText()).toBe('Retry …');

    // Escape leaves it undecided; and the held commit is accepted where it is told.
    await page.getByRole('button', { name: 'Revoke …' }).click();
    await page.keyboard.press('Escape');
    await page.goto(new URL('#/', server.url).href);
    await page.getByRole('button', { name: 'Accept …' }).click();
    await page.getByRole('dialog').getByLabel('Reason').fill('a secret was in the history');
    await page.getByRole('dialog').getByRole('button', { name: 'Accept' }).click();
    await page.getByRole('status').filter({ hasText: '90ab12cd34 is accepted.' }).waitFor({ state: 'attached' });
    expect(server.decisions).toEqual([
      'DELETE /api/hosts/laptop-ken/quarantine {"reason":"the license server is back"}',
      `POST /api/repository/accept {"commit":"${fleet.repository.held?.commit}","reason":"a secret was in the history"}`,
    ]);
    expect(opened.complaints.filter((complaint) => !complaint.includes('403'))).toEqual([]);
  });

  test.each([
    ['viewer', [], false],
    ['approver', ['Retry …'], true],
  ] as const)('is decided about by the role of who is signed in: what a %s may not do is not offered', async (role, ofHost, isAcceptOffered) => {
    await using server = await startServer(busyFleet(Date.now()), role);
    await using opened = await openFleet(server, { path: '#/hosts/laptop-ken' });
    const { page } = opened;
    await page.getByText(`ada (${role})`, { exact: true }).waitFor();
    expect(await page.locator('.decisions-list > li > button').allInnerTexts()).toEqual(ofHost);
    await page.goto(new URL('#/', server.url).href);
    await page.locator('.attention').waitFor();
    expect(await page.getByRole('button', { name: 'Accept …' }).count()).toBe(isAcceptOffered ? 1 : 0);
    expect(await opened.audit()).toEqual([]);
  });

  test('coming back from a host, the list is where it was, with the link in focus', async () => {
    await using server = await startServer(largeFleet(Date.now(), 150));
    await using opened = await openFleet(server);
    const { page } = opened;
    const link = page.getByRole('link', { name: 'ws120', exact: true });
    await link.scrollIntoViewIfNeeded();
    const before = await page.evaluate('scrollY');
    expect(before).toBeGreaterThan(1_000);
    await link.click();
    await page.getByRole('heading', { name: 'ws120' }).waitFor();
    expect(await page.evaluate('scrollY')).toBe(0);
    await page.goBack();
    await link.waitFor();
    expect(await page.evaluate('scrollY')).toBe(before);
    expect(await page.locator(':focus').innerText()).toBe('ws120');
    expect(opened.complaints).toEqual([]);
  });

  test('the filter is in the address: a link shows the same hosts, and the back button brings it back', async () => {
    await using server = await startServer(busyFleet(Date.now()));
    await using opened = await openFleet(server, { path: '#/?q=laptop&attention=yes' });
    const { page } = opened;
    const names = page.locator('tbody .name');
    await expect.poll(async () => await names.allInnerTexts(), PATIENCE).toEqual(['laptop-ken']);
    await page.getByRole('checkbox').uncheck();
    await page.getByRole('searchbox', { name: 'Filter' }).fill('kept by');
    await expect.poll(async () => await names.allInnerTexts(), PATIENCE).toEqual(['laptop-joan']);
    await expect.poll(() => new URL(page.url()).hash, PATIENCE).toBe('#/?q=kept+by');
    await page.getByRole('link', { name: '1 away' }).click();
    await expect.poll(async () => await names.allInnerTexts(), PATIENCE).toContain('laptop-barbara');
    await page.goBack();
    await page.getByText('1 host found').waitFor();
    await expect.poll(async () => await page.getByRole('searchbox', { name: 'Filter' }).inputValue(), PATIENCE).toBe('kept by');
    await page.getByRole('link', { name: 'laptop-joan' }).click();
    await page.goBack();
    await page.getByText('1 host found').waitFor();
    expect(opened.complaints).toEqual([]);
  });

  test('the revision that a commit status links to opens as it was, with counts, names and reasons', async () => {
    const now = Date.now();
    const fleet = busyFleet(now);
    await using server = await startServer({ ...fleet, repository: { ...fleet.repository, url: 'https://github.com/it/fleet.git' } });
    server.revisions = manyRevisions(40, now);
    await using opened = await openFleet(server, { path: `#/revisions/${'d'.repeat(40)}` });
    const { page } = opened;
    await page.getByText('An old one').waitFor();
    expect(await page.locator('.rollout .overline').innerText()).toMatch(/2 of 3 hosts run it, 1 rolled back: laptop-ken.*as it was 1 h ago/s);
    const missing = page.getByRole('table', { name: 'Hosts that did not run it' });
    expect(await missing.innerText()).toMatch(/laptop-ken\s+Rolled back\s+the check "printer" failed 3 times/);
    await page.getByText('What it meant for each host (2)').click();
    expect(await page.getByRole('table', { name: 'What it meant for each host' }).innerText()).toMatch(/gone-since\s+Unchanged/);
    expect(await page.getByRole('link', { name: 'On github.com' }).getAttribute('href')).toBe(`https://github.com/it/fleet/commit/${'d'.repeat(40)}`);
    expect(await opened.audit()).toEqual([]);

    await page.getByRole('link', { name: 'All revisions' }).click();
    const list = page.getByRole('table', { name: 'Revisions' });
    await list.waitFor();
    expect(await list.getByRole('row').count()).toBe(31);
    expect(await list.getByRole('row').nth(2).innerText()).toMatch(/dddddddddd An old one.*2 of 3 hosts run it/s);
    await page.getByRole('button', { name: 'Show older' }).click();
    await list.getByRole('row').nth(40).waitFor();
    await page.getByRole('button', { name: 'Show older' }).click();
    await page.getByText('These are all that are kept.').waitFor();
    expect(await opened.audit()).toEqual([]);
    await page.goto(`${server.url}#/revisions/${SHA}`);
    await page.getByText('Newest revision').waitFor();
    expect(opened.complaints).toEqual([]);
    await page.goto(`${server.url}#/revisions/${'f'.repeat(40)}`);
    await page.getByRole('alert').filter({ hasText: 'no revision starts with' }).waitFor();
  });

  test('shows the warnings of each host, which is retried automatically, and no mark that turns the words round', async () => {
    const fleet = busyFleet(Date.now());
    const told = { toplevel: null, evaluateMs: 5, buildMs: null };
    const revision = revisionView({
      hosts: [
        { host: 'ws1', outcome: 'CHANGED', error: null, warnings: ['option x is \u202edeprecated', 'y is old'], retryAt: null, ...told },
        { host: 'ws2', outcome: 'EVAL_ERROR', error: 'waiting for input nixpkgs: 503', warnings: [], retryAt: 1, ...told },
        { host: 'ws3', outcome: 'BUILD_ERROR', error: 'exit status 2', warnings: [], retryAt: null, ...told },
      ],
    });
    await using server = await startServer({ ...fleet, revision });
    await using opened = await openFleet(server);
    const shown = (await opened.page.locator('.errors summary').allInnerTexts()).map((text) => text.replaceAll(/\s+/g, ' ').trim());
    expect(shown).toEqual([
      'ws2 does not evaluate, is tried again: waiting for input nixpkgs: 503',
      'ws3 does not build: exit status 2',
      'ws1 warns: option x is \ufffddeprecated',
    ]);
    expect(opened.complaints).toEqual([]);
  });

  test('without hosts and revisions it says what to do', async () => {
    await using server = await startServer(emptyFleet(Date.now()));
    await using opened = await openFleet(server);
    await opened.page.getByRole('heading', { name: 'No revision yet' }).waitFor();
    await opened.page.getByRole('heading', { name: 'No hosts yet' }).waitFor();
    expect(await opened.page.getByRole('main').innerText()).toContain('floe enrol HOST');
    expect(await opened.audit()).toEqual([]);
    expect(opened.complaints).toEqual([]);
  });
});

describe.each([
  ['wide and light', { viewport: WIDE, colorScheme: 'light' }, 'rgb(244, 246, 248)'],
  ['wide and dark', { viewport: WIDE, colorScheme: 'dark' }, 'rgb(16, 21, 27)'],
  ['narrow and light', { viewport: NARROW, colorScheme: 'light' }, 'rgb(244, 246, 248)'],
  ['narrow and dark', { viewport: NARROW, colorScheme: 'dark' }, 'rgb(16, 21, 27)'],
] as const)('%s', (_, options, ground) => {
  test('fits, has the right background, is labelled and has enough contrast', async () => {
    const now = Date.now();
    await using server = await startServer(busyFleet(now));
    server.reports = historyOf('laptop-ken', now);
    server.logs = new Map([['laptop-ken 0 9', `cups.service: ${'on fire '.repeat(40)}`]]);
    server.revisions = manyRevisions(3, now);
    await using opened = await openFleet(server, options);
    const { page } = opened;
    expect(await page.evaluate('document.documentElement.scrollWidth')).toBe(options.viewport.width);
    expect(await page.evaluate('getComputedStyle(document.body).backgroundColor')).toBe(ground);
    expect(await opened.audit()).toEqual([]);
    // As cards, too, it stays a table for screen readers.
    expect(await page.getByRole('table', { name: 'hosts' }).getByRole('columnheader').count()).toBe(6);
    for (const path of ['#/hosts/laptop-ken', '#/revisions', `#/revisions/${'d'.repeat(40)}`]) {
      await page.goto(new URL(path, server.url).href);
      await page.locator('.page-title').waitFor();
      await page.locator('main p:visible', { hasText: 'Loading …' }).first().waitFor({ state: 'detached' });
      expect(await page.evaluate('document.documentElement.scrollWidth'), path).toBe(options.viewport.width);
      expect(await opened.audit(), path).toEqual([]);
    }
    expect(opened.complaints).toEqual([]);
  });
});

test('10,000 hosts: few rows are drawn, the filter finds any, and a push to all of them is shown', async () => {
  const now = Date.now();
  await using server = await startServer(largeFleet(now, 10_000));
  await using opened = await openFleet(server);
  const { page } = opened;
  await page.getByText('9,999 in sync', { exact: true }).waitFor();
  expect(await page.locator('tbody .name').count()).toBe(200);
  expect(await page.locator('tbody .name').first().innerText()).toBe('ws9999');
  await page.getByRole('searchbox', { name: 'Filter' }).fill('ws8765');
  await page.getByText('1 host found').waitFor();
  await page.getByRole('searchbox', { name: 'Filter' }).fill('');
  await page.getByRole('button', { name: 'Show 200 more' }).click();
  expect(await page.locator('tbody .name').count()).toBe(400);

  const moved = server.fleet.hosts.map((host) => ({
    type: 'host' as const,
    host: { ...host, standing: 'under-way' as const, state: 'ACTIVATING' as const },
  }));
  server.change(...moved);
  await page.getByText('10,000 under way', { exact: true }).waitFor();
  expect(await page.locator('tbody .name').count()).toBe(400);
  expect(opened.complaints).toEqual([]);
});
