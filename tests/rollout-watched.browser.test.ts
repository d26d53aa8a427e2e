import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Role } from '@floe/model';
import { eventually, exampleFleetFiles, TestFleet, testNixSettings } from '@floe/testkit';
import type { Browser } from 'playwright-core';
import * as v from 'valibot';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { launchBrowser, openPage, type OpenedPage } from './browser/browser.ts';

// Rollouts from the push to their end, in the browsers of three people. Everything is real: forge, webhook, Nix, agents on folders.

const HOSTS = ['ada', 'bob', 'cyd', 'dan'] as const;
type Host = (typeof HOSTS)[number];

const POLICY = `{
  rings = [
    { name = "canary"; hosts = [ "ada" "bob" ]; soak = "0s"; }
    { name = "everyone"; soak = "0s"; maxInFlight = 1; approvals = { count = 2; role = "approver"; }; }
  ];
}
`;
/** A check lasts while the test wants it to. */
const PATIENT = `floe.healthChecks.patience = { command = "while test -e \\"$NIXOS_ROOT/wait\\"; do sleep 0.1; done"; timeoutSeconds = 300; };`;
const HARMFUL = `floe.healthChecks.web = { command = "while test -e \\"$NIXOS_ROOT/wait\\"; do sleep 0.1; done; echo 'asks the intranet'; echo 'the intranet does not answer' >&2; exit 1"; timeoutSeconds = 300; };`;
const base = (line = ''): string => `{ config, ... }: {\n  system.nixos.label = "26.05";\n  ${PATIENT}\n  ${line}\n}\n`;
const file = (name: string): string => `environment.etc."${name}" = "${name}\\n";`;

const stack = new AsyncDisposableStack();
const tokens = new Map<Role, string>();
let browser: Browser;
let fleet: TestFleet;
beforeAll(async () => {
  browser = await launchBrowser();
  stack.defer(async () => await browser.close());
  const files = { ...(await exampleFleetFiles()), 'modules/base.nix': base(), 'hosts/dan.nix': `{ config, ... }: { ${file('dan')} }\n` };
  fleet = stack.use(await TestFleet.create({ files, nixConfig: testNixSettings, hasPostgres: true }));
  await fleet.startServer();
  await Promise.all(HOSTS.map(async (host) => await fleet.addMachine(host)));
  for (const role of ['viewer', 'approver', 'administrator'] as const) {
    const response = await fleet.request('/api/tokens', { method: 'POST', body: JSON.stringify({ name: `the-${role}`, role }) });
    tokens.set(role, v.parse(v.object({ token: v.string() }), await response.json()).token);
  }
  const first = await fleet.git('-C', fleet.workTree, 'rev-parse', 'HEAD');
  await eventually('all run the first commit', async () => (await running(first, ...HOSTS)) === HOSTS.length || undefined, {
    explain: () => fleet.server.log(),
  });
});
afterAll(async () => await stack.disposeAsync());

async function signIn(role: Role, width = 1280): Promise<OpenedPage> {
  const opened = await openPage(browser, fleet.serverUrl, { viewport: { width, height: 900 } });
  await opened.page.getByLabel('API token').fill(tokens.get(role) ?? '');
  await opened.page.getByRole('button', { name: 'Sign in' }).click();
  await opened.page.getByText('Live', { exact: true }).waitFor();
  opened.complaints.length = 0;
  return opened;
}

const oneLine = (text: string): string => text.replaceAll(/\s+/g, ' ').trim();

async function sees({ page }: OpenedPage, ring: number, text: RegExp): Promise<void> {
  let seen: readonly string[] = [];
  await eventually(
    `ring ${ring} is ${text}`,
    async () => {
      seen = (await page.locator('.ring').allInnerTexts()).map((told) => oneLine(told).replace(/ Hosts of ring \S+$/, ''));
      return text.test(seen[ring] ?? '') || undefined;
    },
    { explain: () => seen.join('\n'), timeoutMs: 120_000 },
  );
}

async function decide({ page }: OpenedPage, button: string, reason: string): Promise<void> {
  await page.getByRole('button', { name: `${button} …` }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByLabel('Reason').fill(reason);
  await dialog.getByRole('button', { name: button }).click();
  await dialog.waitFor({ state: 'hidden' });
}

const buttons = async ({ page }: OpenedPage): Promise<readonly string[]> =>
  await page.locator('.decisions-list button').filter({ hasText: '…' }).allInnerTexts();

const waitFile = (host: Host): string => join(fleet.machine(host).root, 'wait');
const holdUp = async (...hosts: readonly Host[]): Promise<unknown> =>
  await Promise.all(hosts.map(async (host) => await writeFile(waitFile(host), '')));
const letGo = async (...hosts: readonly Host[]): Promise<unknown> => await Promise.all(hosts.map(async (host) => await rm(waitFile(host))));

/** How many of the hosts run what the commit has for them. */
async function running(sha: string, ...hosts: readonly Host[]): Promise<number> {
  const wanted = new Map((await fleet.revision(sha))?.hosts.map(({ host, toplevel }) => [host, toplevel]));
  const current = await Promise.all(hosts.map(async (host) => (await fleet.machine(host).observe()).current));
  return hosts.filter((host, index) => current[index] !== undefined && current[index] === wanted.get(host)).length;
}

test('pushes are watched to their end: a bad one stops at the canaries; the fix is approved by two, paused, resumed, and reaches all', async () => {
  await using viewer = await signIn('viewer');
  await using administrator = await signIn('administrator', 390);

  await holdUp('bob');
  const good = await fleet.push('Ask the canaries first', { 'floe.nix': POLICY, 'modules/base.nix': base(file('canteen')) });
  for (const opened of [viewer, administrator]) await sees(opened, 0, /^canary Under way .*1 verified 1 under way$/);
  await letGo('bob');
  await sees(viewer, 0, /^canary Passed 2 verified$/);
  await sees(viewer, 1, /^everyone Waits for approval waits for 2 more approvals .*2 to come$/);
  expect(await running(good, 'cyd', 'dan')).toBe(0);

  // Both have begun before one of them fails: the pause would keep the other from it.
  await holdUp('ada', 'bob');
  const bad = await fleet.push('Check the intranet', { 'modules/base.nix': base(HARMFUL) });
  await eventually('both canaries try it', async () => (await running(bad, 'ada', 'bob')) === 2 || undefined, { timeoutMs: 120_000 });
  await letGo('ada', 'bob');
  for (const opened of [viewer, administrator]) await sees(opened, 0, /^canary Paused waits for a person: .*failed: .*2 failed$/);
  const failures = administrator.page.getByRole('list', { name: 'What paused it' });
  const told = (await failures.getByRole('listitem').allInnerTexts()).map(oneLine).toSorted();
  // The second of them may have failed after the pause.
  for (const [index, host] of ['ada', 'bob'].entries())
    expect(told[index]).toMatch(
      new RegExp(`^${host} (failed since it was paused: )?the check "web" ended with status 1 .*the intranet does not answer$`),
    );
  expect(await administrator.audit()).toEqual([]);
  expect(await administrator.page.evaluate('document.documentElement.scrollWidth')).toBe(390);
  expect(await running(bad, ...HOSTS)).toBe(0);

  await holdUp('cyd', 'dan');
  const fix = await fleet.push('Mend the intranet check', { 'modules/base.nix': base(file('intranet')) });
  await sees(viewer, 1, /^everyone Waits for approval waits for 2 more approvals/);
  expect(await running(fix, 'ada', 'bob')).toBe(2);
  await using approver = await signIn('approver');
  await decide(approver, 'Approve everyone', 'ada and bob work');
  await sees(administrator, 1, /waits for 1 more approval/);
  expect(await approver.audit()).toEqual([]);
  expect(await buttons(viewer)).toEqual([]);
  // Who approved is not asked again.
  await sees(approver, 1, /waits for 1 more approval/);
  expect(await buttons(approver)).not.toContain('Approve everyone …');
  expect(await buttons(administrator)).toContain('Approve everyone …');
  await decide(administrator, 'Approve everyone', 'good');
  await sees(viewer, 1, /^everyone Under way .*2 under way$/);
  // One at a time: its check lasts.
  await eventually('one has begun', async () => (await running(fix, 'cyd', 'dan')) === 1 || undefined);

  await decide(administrator, 'Pause', 'the boss gives a talk');
  await viewer.page.getByText('Paused by the-administrator').waitFor();
  await letGo('cyd', 'dan');
  // Who began comes to its end; nobody else begins.
  await sees(viewer, 1, /1 verified/);
  expect(await running(fix, 'cyd', 'dan')).toBe(1);
  await decide(administrator, 'Resume', 'it is over');
  for (const opened of [approver, administrator, viewer]) {
    await sees(opened, 0, /^canary Passed 2 verified$/);
    await sees(opened, 1, /^everyone Passed 2 verified$/);
    expect(opened.complaints).toEqual([]);
    expect(await opened.audit()).toEqual([]);
  }
  expect(await running(fix, ...HOSTS)).toBe(4);
  expect(await buttons(viewer)).toEqual([]);
}, 600_000);
