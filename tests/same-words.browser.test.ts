import { FleetView, type HostView } from '@floe/protocol';
import { fleetView, revisionView } from '@floe/views/fixtures';
import { eventually } from '@floe/testkit';
import fc from 'fast-check';
import * as v from 'valibot';
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { makeHome, run, TOKEN } from '../apps/cli/src/test/harness.ts';
import { anyHost, toHost, viewOf } from '../apps/server/src/test/any-fleet.ts';
import { launchBrowser, openPage } from './browser/browser.ts';
import { DASHBOARD_DIR } from './browser/dashboard.ts';
import { FixtureServer } from './browser/fixture-server.ts';

let browser: Browser;
let home: Awaited<ReturnType<typeof makeHome>>;
beforeAll(async () => {
  [browser, home] = await Promise.all([launchBrowser(), makeHome()]);
});
afterAll(async () => {
  await Promise.all([browser.close(), home[Symbol.asyncDispose]()]);
});

const LONG_REASON = Array.from({ length: 9 }, (_, line) => `line ${line} of what went wrong`).join('\n');
const oneLine = (text: string): string => text.replaceAll(/\s+/g, ' ').trim();

/** A repository and a newest commit with whatever can be wrong with them. */
const anyRepository = fc.record({
  held: fc.constantFrom('nothing', 'a rewritten branch', 'far fewer hosts'),
  hasProblem: fc.boolean(),
  hasNotice: fc.boolean(),
  revision: fc.constantFrom('none', 'PUBLISHED', 'PUBLISHED', 'EVAL_FAILED', 'BUILD_FAILED', 'REJECTED', 'EVALUATING'),
});

function toFleet(facts: typeof anyRepository extends fc.Arbitrary<infer Facts> ? Facts : never, hosts: readonly HostView[]): FleetView {
  const sample = fleetView();
  const sha = revisionView().sha;
  const trouble = { code: 'X', message: LONG_REASON, since: sample.serverTime - 5_000 };
  const held = {
    nothing: null,
    'a rewritten branch': { commit: 'd'.repeat(40), reason: 'the branch was rewritten', since: sample.serverTime - 60_000 },
    'far fewer hosts': { commit: sha, reason: 'only 1 of 9 hosts are left', since: sample.serverTime - 60_000 },
  }[facts.held];
  const isFailed = facts.revision.endsWith('FAILED') || facts.revision === 'REJECTED';
  return v.parse(FleetView, {
    ...sample,
    hosts,
    repository: { ...sample.repository, held, problem: facts.hasProblem ? trouble : null, notices: facts.hasNotice ? [trouble] : [] },
    revision: facts.revision === 'none' ? null : { ...revisionView(), state: facts.revision, error: isFailed ? LONG_REASON : null, hosts: [] },
  });
}

test('page and command line say word for word the same of hosts and commits, whatever they are', async () => {
  await using server = await new FixtureServer({ dashboardDir: DASHBOARD_DIR, fleet: fleetView(), token: TOKEN }).start();
  await using opened = await openPage(browser, server.url);
  const { page } = opened;
  await page.getByLabel('API token').fill(TOKEN);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.locator('.verdict').waitFor();

  const anyFleet = fc.tuple(anyRepository, fc.array(anyHost, { maxLength: 8 }), fc.boolean());
  await fc.assert(
    fc.asyncProperty(anyFleet, async ([facts, all, isLong]) => {
      const hosts = all.map(toHost).map(viewOf);
      const fleet = toFleet(
        facts,
        isLong ? hosts.map((host) => ({ ...host, problem: host.problem === null ? null : `${host.problem}: ${LONG_REASON}` })) : hosts,
      );
      const answers: Record<string, unknown> = { '/api/fleet': fleet, '/api/hosts': fleet.hosts, '/api/rollout': revisionView() };
      const fetch: typeof globalThis.fetch = async (url) =>
        await Promise.resolve(Response.json(answers[new URL(url instanceof Request ? url.url : url).pathname] ?? {}));
      const env = { XDG_CONFIG_HOME: home.folder, FLOE_SERVER_URL: server.url, FLOE_TOKEN_FILE: home.tokenFile };
      const status = await run(['status'], env, { fetch });
      const list = (await run(['hosts'], env, { fetch })).stdout.split('\n');

      server.show({ ...fleet, repository: { ...fleet.repository, branch: `turn-${server.fleet.version}` } });
      await page.getByText(server.fleet.repository.branch, { exact: true }).first().waitFor();
      const [verdict] = status.stdout.split('\n');
      expect(await page.locator('.verdict').innerText()).toBe(verdict);
      // It is set after what it is the title of was drawn.
      await eventually('the title says the same', async () =>
        `${verdict} · Floe`.includes((await page.title()).replace(' · Floe', '')) ? true : undefined,
      );

      // The list of what needs somebody: who, the whole way to mend it, and the reason from its first line on.
      const told = oneLine(status.stdout);
      const items = await page.locator('.attention li').all();
      expect(items.length > 0).toBe(status.stdout.includes('What needs you'));
      for (const item of items) {
        const [reason] = (await item.locator('.reason').innerText()).split('\n');
        expect(told).toContain(oneLine(reason ?? ''));
        for (const todo of await item.locator('.todo').allInnerTexts()) expect(told).toContain(`→ ${oneLine(todo)}`);
      }
      expect(items).toHaveLength(status.stdout.split('What needs you')[1]?.match(/^ {2}\S/gm)?.length ?? 0);

      for (const row of await page.locator('.host-row').all()) {
        const name = await row.locator('.name').innerText();
        const line = list.find((each) => each.startsWith(`${name} `)) ?? '';
        expect(line.toLowerCase()).toContain((await row.locator('.standing .mark').innerText()).toLowerCase());
        const reason = row.locator('.standing .reason');
        if ((await reason.count()) > 0) expect(line).toContain(oneLine(await reason.innerText()));
      }
      const { revision } = fleet;
      if (revision !== null) {
        expect(told).toContain(oneLine(`${revision.sha.slice(0, 10)} ${await page.locator('.revision .subject').innerText()}`));
        // "3f9c2ab1d0 · published": the title of floe's block ends with the same.
        const [, state] = (await page.locator('.revision .facts-line span').first().innerText()).split(' · ');
        expect(told).toContain(`by ${revision.author}, ${state}`);
        const rollout = page.locator('.revision .rollout .overline .aside');
        if ((await rollout.count()) > 0) expect(told).toContain(oneLine((await rollout.innerText()).replace(/^· /, '')));
      }

      const [host] = fleet.hosts;
      if (host === undefined) return;
      answers[`/api/hosts/${host.host}`] = host;
      answers[`/api/hosts/${host.host}/reports`] = [];
      const inFull = oneLine((await run(['hosts', host.host], env, { fetch })).stdout);
      await page.goto(new URL(`#/hosts/${host.host}`, server.url).href);
      await page.getByRole('heading', { name: host.host }).waitFor();
      for (const part of ['.standing-line strong', '.host-page > .reason', '.host-page > .error', '.host-page > .todo'])
        for (const text of await page.locator(part).allInnerTexts()) expect(inFull.toLowerCase()).toContain(oneLine(text).toLowerCase());
      await page.goto(new URL('#/', server.url).href);
    }),
    { numRuns: 12 },
  );
  // 404: the reports of a host were asked for when the next fleet, without it, had come.
  expect(opened.complaints.filter((complaint) => !/\b40[14]\b/.test(complaint))).toEqual([]);
});
