import type { FleetView } from '@floe/protocol';
import type { Browser, BrowserContextOptions, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { hostView, reportView, revisionView, SHA } from '@floe/views/fixtures';
import { buildDashboard, type Dashboard } from './browser/build-dashboard.ts';
import { launchBrowser, openPage, type OpenedPage } from './browser/browser.ts';
import { FixtureServer } from './browser/fixture-server.ts';
import { busyFleet, emptyFleet, largeFleet } from './browser/fleets.ts';

const WIDE = { width: 1280, height: 900 };
const NARROW = { width: 360, height: 740 };

let dashboard: Dashboard;
let browser: Browser;
beforeAll(async () => {
  [dashboard, browser] = await Promise.all([buildDashboard(), launchBrowser()]);
});
afterAll(async () => {
  await Promise.all([browser.close(), dashboard[Symbol.asyncDispose]()]);
});

async function startServer(fleet: FleetView): Promise<FixtureServer> {
  return await new FixtureServer({ dashboardDir: dashboard.dir, fleet }).start();
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
  // The one complaint that is meant to be: the first look without a session.
  expect(opened.complaints.splice(0).every((complaint) => complaint.includes('401'))).toBe(true);
  return opened;
}

const rowOf = (page: Page, host: string) => page.getByRole('row', { name: new RegExp(`^${host}\\b`) });

describe('signing in', () => {
  test('a wrong token is refused in words, the right one opens the fleet, and signing out closes it', async () => {
    await using server = await startServer(busyFleet(Date.now()));
    await using opened = await openPage(browser, server.url);
    const { page } = opened;
    await signIn(page, 'wrong');
    await page.getByRole('alert').filter({ hasText: 'not known to the server' }).waitFor();
    expect(await page.getByLabel('API token').getAttribute('aria-invalid')).toBe('true');
    expect(await opened.audit()).toEqual([]);

    await signIn(page, server.token);
    await rowOf(page, 'desk-ada').waitFor();
    await page.reload();
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
  test('shows what is tracked, what is held and how to let it in, and hosts that need a person first', async () => {
    await using server = await startServer(busyFleet(Date.now()));
    await using opened = await openFleet(server);
    const { page } = opened;
    await page.getByText('git.example.org/it/fleet', { exact: true }).waitFor();
    expect(await page.locator('.verdict').innerText()).toBe(
      '5 need you: commit 90ab12cd34 is held; laptop-ken rolled back; server-dns failed; server-mail drifted; family-mira behind',
    );
    expect(await page.title()).toBe('5 need you · Floe');
    expect(await page.locator('.attention .todo').first().innerText()).toContain(
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

  test('unfolds the reports of a host by keyboard, and reads them anew when it changes', async () => {
    const now = Date.now();
    await using server = await startServer(busyFleet(now));
    server.reports = [
      reportView(
        'laptop-ken',
        { state: 'ROLLED_BACK', detail: { code: 'CHECK_FAILED', message: 'lp0 on fire' }, timings: { activateMs: 340, rollbackMs: 2_100 } },
        now,
      ),
    ];
    await using opened = await openFleet(server);
    const { page } = opened;
    await page.getByRole('searchbox', { name: 'Filter' }).focus();
    const button = page.getByRole('button', { name: 'laptop-ken' });
    // Past the check box and the host above it.
    for (let steps = 0; steps < 3; steps += 1) await page.keyboard.press('Tab');
    expect(await page.locator(':focus').innerText()).toBe('laptop-ken');
    await page.keyboard.press('Enter');
    const reports = page.getByRole('table', { name: 'Last reports' });
    expect(await reports.getByRole('row').nth(1).innerText()).toMatch(/Rolled back.*activate 340 ms, rollback 2.1 s.*lp0 on fire/s);
    expect(await button.getAttribute('aria-expanded')).toBe('true');
    expect(await opened.audit()).toEqual([]);

    server.reports = [reportView('laptop-ken', { seq: 6, detail: { code: 'OK', message: 'fire is out' } }, now)];
    server.change({ type: 'host', host: hostView('laptop-ken', { stateSince: now }, now) });
    await reports.getByText('fire is out').waitFor();
    await button.press('Enter');
    await reports.waitFor({ state: 'detached' });
    expect(opened.complaints).toEqual([]);
  });

  test('a report of a failure has its log folded beside it, read when it is unfolded', async () => {
    const now = Date.now();
    await using server = await startServer(busyFleet(now));
    const failed = { state: 'ROLLED_BACK', hasLog: true, detail: { code: 'CHECK', message: 'the check "printer" failed 3 times' } } as const;
    server.reports = [reportView('laptop-ken', failed, now), reportView('laptop-ken', { ...failed, seq: 4, series: 1 }, now)];
    server.logs = new Map([['laptop-ken 0 5', `cups.service: ${'on fire '.repeat(40)}\n${'a line\n'.repeat(200)}the end`]]);
    await using opened = await openFleet(server, { path: '#/hosts/laptop-ken' });
    const { page } = opened;
    const [first, second] = [page.locator('.log').nth(0), page.locator('.log').nth(1)];
    await first.waitFor();
    expect(await page.getByText('on fire').count()).toBe(0);
    await first.getByText('Log').click();
    await first.getByText('the end').waitFor();
    expect(await opened.audit()).toEqual([]);
    expect(opened.complaints).toEqual([]);
    await second.getByText('Log').click();
    await second.getByRole('alert').filter({ hasText: 'no log of this report' }).waitFor();
  });

  test('shows the revision that a commit status links to', async () => {
    await using server = await startServer(busyFleet(Date.now()));
    server.revisions = [revisionView({ sha: 'd'.repeat(40), sequence: 3, subject: 'An old one' })];
    await using opened = await openFleet(server, { path: `#/revisions/${'d'.repeat(40)}` });
    const { page } = opened;
    await page.getByText('An old one').waitFor();
    await page.getByRole('link', { name: 'Show the newest revision' }).click();
    await page.getByText('Add the printer').waitFor();
    await page.goto(`${server.url}#/revisions/${SHA}`);
    await page.getByText('Add the printer').waitFor();
    expect(opened.complaints).toEqual([]);
  });

  test('shows the warnings of each host, which is tried again by itself, and no mark that turns the words round', async () => {
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
  test('fits, has the right ground, is labelled and has enough contrast', async () => {
    await using server = await startServer(busyFleet(Date.now()));
    await using opened = await openFleet(server, options);
    const { page } = opened;
    await page.getByRole('button', { name: 'laptop-ken' }).click();
    await page.getByText('It has not reported anything yet.').waitFor();
    expect(await page.evaluate('document.documentElement.scrollWidth')).toBe(options.viewport.width);
    expect(await page.evaluate('getComputedStyle(document.body).backgroundColor')).toBe(ground);
    expect(await opened.audit()).toEqual([]);
    // Cards or not, it stays a table for those who hear it.
    expect(await page.getByRole('table', { name: 'hosts' }).getByRole('columnheader').count()).toBe(6);
    expect(opened.complaints).toEqual([]);
  });
});

test('10,000 hosts: few rows are drawn, the filter finds any, and a push to all of them is shown', async () => {
  const now = Date.now();
  await using server = await startServer(largeFleet(now, 10_000));
  await using opened = await openFleet(server);
  const { page } = opened;
  await page.evaluate(
    'window.longest = 0; new PerformanceObserver((list) => { for (const entry of list.getEntries()) window.longest = Math.max(window.longest, entry.duration); }).observe({ entryTypes: ["longtask"] })',
  );
  await page.getByText('9,999 in sync').waitFor();
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
  // Frozen is what people notice: a second and more without an answer.
  expect(await page.evaluate<number>('window.longest')).toBeLessThan(1_000);
  expect(opened.complaints).toEqual([]);
});
