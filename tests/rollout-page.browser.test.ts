import { mayDo, type Role } from '@floe/model';
import type { RevisionView } from '@floe/protocol';
import { rolloutDecisions } from '@floe/views';
import { SHA } from '@floe/views/fixtures';
import type { Browser, BrowserContextOptions } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
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

async function startServer(revision: RevisionView, role: Role = 'administrator'): Promise<FixtureServer> {
  return await new FixtureServer({ dashboardDir: DASHBOARD_DIR, fleet: { ...busyFleet(Date.now()), revision }, role }).start();
}

async function open(server: FixtureServer, path = '', options: BrowserContextOptions = {}): Promise<OpenedPage> {
  const opened = await openPage(browser, new URL(path, server.url).href, options);
  await opened.page.getByLabel('API token').fill(server.token);
  await opened.page.getByRole('button', { name: 'Sign in' }).click();
  await opened.page.getByRole('region', { name: 'Rings' }).waitFor();
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
  const rings = async () => (await page.locator('.ring').allInnerTexts()).map(oneLine);
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
  expect(await page.locator('.decisions-list button').filter({ hasText: '…' }).allInnerTexts()).toEqual(['Resume …']);
  expect(opened.complaints).toEqual([]);
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

test.each(['viewer', 'operator'] as const)('what a %s may not do is not offered, and what they may has its command beside it', async (role) => {
  const revision = pausedRevision(Date.now());
  await using server = await startServer(revision, role);
  await using opened = await open(server);
  await opened.page.getByText(`ada (${role})`, { exact: true }).waitFor();
  const allowed = rolloutDecisions(revision).filter(({ kind }) => mayDo(role, kind));
  const told = allowed.map((decision) => {
    const { kind } = decision;
    return `floe rollout ${kind.replace('-rollout', '')}${kind === 'abort-rollout' && decision.revert ? ' --revert' : ''} --reason "…"`;
  });
  expect(await opened.page.locator('.decisions-list code').allInnerTexts()).toEqual(told);
  expect(await opened.page.locator('.decisions-list > li > button').count()).toBe(told.length);
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
