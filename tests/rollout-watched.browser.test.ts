import { once } from 'node:events';
import { DEFAULT_POLICY, defaultGates, type HostName, type Role, type RolloutPolicy, type StorePath } from '@floe/model';
import { eventually } from '@floe/testkit';
import type { Browser } from 'playwright-core';
import * as v from 'valibot';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { publishCommit, system } from '../apps/server/src/test/commits.ts';
import { startTestServer, TestAgent, type TestServer } from '../apps/server/src/test/test-server.ts';
import { launchBrowser, openPage, type OpenedPage } from './browser/browser.ts';

// A rollout from the commit to its end, on the real server, in the browsers of three people. Agents are those of the server's tests.

const stack = new AsyncDisposableStack();
let browser: Browser;
let server: TestServer;
const tokens = new Map<Role, string>();
const agents = new Map<string, TestAgent>();
beforeAll(async () => {
  browser = await launchBrowser();
  stack.defer(async () => await browser.close());
  server = stack.use(await startTestServer({ runPipeline: async (signal) => void (await once(signal, 'abort')) }));
  for (const role of ['viewer', 'approver', 'administrator'] as const) {
    const body = JSON.stringify({ name: `the-${role}`, role });
    const response = await server.request('/api/tokens', { method: 'POST', headers: { 'content-type': 'application/json' }, body });
    tokens.set(role, v.parse(v.object({ token: v.string() }), await response.json()).token);
  }
  for (const name of ['ada', 'eve', 'bob', 'cyd']) agents.set(name, stack.use(await TestAgent.welcome(server.url, await server.enrol(name))));
});
afterAll(async () => await stack.disposeAsync());

/** Canaries first; the others need two people. */
function policy(): RolloutPolicy {
  const ring = (index: number, name: string, hosts: readonly string[]) => ({
    ...defaultGates(index, 2),
    name,
    members: { hosts, labels: [], share: undefined },
    soakMs: 0,
    maxInFlight: undefined,
    windows: [],
    approvals: index === 0 ? undefined : ({ count: 2, role: 'approver', notAuthor: false } as const),
    probes: [],
    pauseAfter: false,
  });
  return { ...DEFAULT_POLICY, rings: [ring(0, 'canary', ['ada', 'eve']), ring(1, 'everyone', [])] };
}

/** The agent does what it is told, and says what became of it. */
async function act(name: string, toplevel: StorePath, state: 'SUCCEEDED' | 'ROLLED_BACK'): Promise<void> {
  const agent = agents.get(name);
  if (agent === undefined) throw new Error(`no agent ${name}`);
  const epoch = await eventually(`${name} is told`, async () => {
    const desired = (await server.context.store.hosts.get(name as HostName))?.desired;
    return desired?.toplevel === toplevel ? desired.epoch : undefined;
  });
  await eventually(`${name} has its go`, () => {
    agent.send({ type: 'ready', epoch });
    return agent.messages.some((message) => message.type === 'go' && message.epoch === epoch) || undefined;
  });
  const current = state === 'SUCCEEDED' ? toplevel : null;
  const observed = { current, booted: current, profile: current === null ? null : { generation: 1, toplevel: current } };
  const failed = { detail: { code: 'HEALTH_CHECK_FAILED', message: 'the check "web" did not pass' }, log: 'curl: (7) connection refused\n' };
  agent.send({ type: 'report', seq: 1, epoch, state, toplevel, observed, at: 1, ...(state === 'SUCCEEDED' ? {} : failed) });
  await agent.next('ack', (ack) => ack.seq === 1);
}

async function signIn(role: Role, width = 1280): Promise<OpenedPage> {
  const opened = await openPage(browser, server.url, { viewport: { width, height: 900 } });
  await opened.page.getByLabel('API token').fill(tokens.get(role) ?? '');
  await opened.page.getByRole('button', { name: 'Sign in' }).click();
  await opened.page.getByRole('region', { name: 'Rings' }).waitFor();
  opened.complaints.length = 0;
  return opened;
}

const oneLine = (text: string): string => text.replaceAll(/\s+/g, ' ').trim();
async function rings({ page }: OpenedPage): Promise<readonly string[]> {
  return (await page.locator('.ring').allInnerTexts()).map(oneLine);
}

async function sees(opened: OpenedPage, ring: number, text: RegExp): Promise<void> {
  let seen: readonly string[] = [];
  await eventually(`ring ${ring} is ${text}`, async () => text.test((seen = await rings(opened))[ring] ?? '') || undefined, {
    explain: () => seen.join('\n'),
  });
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

test('a rollout is watched to its end: paused by a canary, resumed, and approved by two people; a viewer only looks', async () => {
  const [canary, all] = [system('canary'), system('everyone')];
  await publishCommit(server, { ada: canary, eve: canary, bob: all, cyd: all }, policy());
  await using approver = await signIn('approver');
  await using administrator = await signIn('administrator', 390);
  await using viewer = await signIn('viewer');
  await sees(viewer, 0, /^canary Under way/);
  await act('eve', canary, 'SUCCEEDED');
  await act('ada', canary, 'ROLLED_BACK');
  for (const opened of [approver, administrator, viewer]) await sees(opened, 0, /^canary Paused waits for a person: 1 host failed: ada .*1 verified/);
  const failures = administrator.page.getByRole('list', { name: 'What paused it' });
  expect(oneLine(await failures.innerText())).toBe('ada the check "web" did not pass | curl: (7) connection refused');
  expect(await administrator.audit()).toEqual([]);
  expect(await administrator.page.evaluate('document.documentElement.scrollWidth')).toBe(390);
  await decide(administrator, 'Resume', 'the web server of ada was broken before');

  await sees(approver, 1, /^everyone Waits for approval waits for 2 more approvals/);
  await decide(approver, 'Approve everyone', 'tried it on eve');
  await sees(administrator, 1, /waits for 1 more approval/);
  expect(await approver.audit()).toEqual([]);
  expect(await buttons(viewer)).toEqual([]);
  await decide(administrator, 'Approve everyone', 'good');
  await Promise.all(['bob', 'cyd'].map(async (name) => await act(name, all, 'SUCCEEDED')));
  for (const opened of [approver, administrator, viewer]) {
    await sees(opened, 0, /^canary Passed 1 verified 1 failed$/);
    await sees(opened, 1, /^everyone Passed 2 verified$/);
    expect(opened.complaints).toEqual([]);
    expect(await opened.audit()).toEqual([]);
  }
});
