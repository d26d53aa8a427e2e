import { rename } from 'node:fs/promises';
import { join } from 'node:path';
import { ReportView, type RevisionView } from '@floe/protocol';
import { eventually, exampleFleetFiles, TestFleet, testNixSettings } from '@floe/testkit';
import * as v from 'valibot';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { randomFrom } from './campaign/random.ts';

// The server is killed again and again during a rollout by three rings, at moments that nobody chose. It ends as if nothing had
// happened: each host is changed once, and none before the ring in front of it has passed.

const HOSTS = ['ada', 'bob', 'cyd'] as const;
/** `second`: what the second ring has besides. */
const policy = (second = ''): string =>
  `{ downloads.spread = "0s"; rings = [ ${HOSTS.map((host, index) => `{ name = "${host}"; hosts = [ "${host}" ]; soak = "1s"; ${index === 1 ? second : ''} }`).join(' ')} ]; }\n`;
/** `FLOE_KILLS=50` for a longer run; the seed replays it. */
const KILLS = Number(process.env['FLOE_KILLS'] ?? '3');
/** A server that is killed faster than agents come back makes no progress, which says nothing. */
const KILLS_IN_ROUND = 5;
/** What a kill may cost on an idle machine: the server's start, and the agents' next tries to connect. */
const KILL_MS = 15_000;
const SEED = Number(process.env['FLOE_FUZZ_SEED'] ?? process.env['FLOE_TEST_SEED'] ?? Math.trunc(Math.random() * 1e9));

let fleet: TestFleet;
beforeAll(async () => {
  fleet = await TestFleet.create({ files: { ...(await exampleFleetFiles()), 'floe.nix': policy() }, nixConfig: testNixSettings, pollSeconds: 1 });
  await fleet.startServer();
  for (const host of HOSTS) await fleet.addMachine(host);
  await fleet.settled(await fleet.git('-C', fleet.workTree, 'rev-parse', 'HEAD'));
});
afterAll(async () => await fleet[Symbol.asyncDispose]());

/** What the hosts reported about a system, in the order of the machines' clock, which is one here: the server hears of some late. */
async function reportsAbout(toplevels: ReadonlyMap<string, string>): Promise<readonly ReportView[]> {
  const all = await Promise.all(
    HOSTS.map(async (host) => v.parse(v.array(ReportView), await (await fleet.request(`/api/hosts/${host}/reports?limit=200`)).json())),
  );
  return all
    .flat()
    .filter(({ host, toplevel }) => toplevel === toplevels.get(host))
    .toSorted((a, b) => a.at - b.at);
}

test(
  `a rollout by three rings ends the same, however often the server is killed in it (seed ${SEED})`,
  // Each wait has a limit of its own, which a busy machine stretches.
  { timeout: 600_000 + KILLS * 4 * KILL_MS },
  async () => {
    const random = randomFrom(SEED);
    const base = (await exampleFleetFiles())['modules/base.nix'] ?? '';
    let kills = 0;
    for (let round = 1; kills < KILLS; round += 1) {
      const end = base.lastIndexOf('}');
      const text = `${base.slice(0, end)}  environment.etc."round" = "${round}";\n${base.slice(end)}`;
      const sha = await fleet.push(`Round ${round}`, { 'modules/base.nix': text });
      let isOver = false;
      // While the server is down, nobody answers.
      const isComplete = async () => ((await fleet.revision(sha).catch(() => undefined))?.rollout?.state === 'COMPLETE' ? true : undefined);
      const over = eventually('the rollout is complete', isComplete, {
        timeoutMs: 60_000 + KILLS_IN_ROUND * KILL_MS,
        explain: () => fleet.server.log(),
      }).finally(() => void (isOver = true));
      // oxlint-disable-next-line no-unmodified-loop-condition
      for (let inRound = 0; !isOver && kills < KILLS && inRound < KILLS_IN_ROUND; inRound += 1) {
        await Promise.race([over, new Promise((resolve) => setTimeout(resolve, random.integer(300, 2_800)))]);
        if (isOver) break;
        await fleet.server.stop('SIGKILL');
        kills += 1;
        await fleet.startServer();
      }
      await over;
      const revision = await fleet.settled(sha);
      expect(revision.rollout).toMatchObject({ state: 'COMPLETE', counts: { 'in-sync': 3 } });
      const toplevels = new Map<string, string>(revision.hosts.map(({ host, toplevel }) => [host, toplevel ?? '']));
      const reports = await reportsAbout(toplevels);
      for (const host of HOSTS) {
        const own = reports.filter((report) => report.host === host);
        expect(
          own.filter(({ state }) => state === 'SUCCEEDED').map(({ epoch }) => epoch),
          `${host} is changed once`,
        ).toHaveLength(1);
        expect(new Set(own.map(({ epoch }) => epoch)).size, `${host} was told once`).toBe(1);
      }
      const when = (host: string, state: string): number => reports.findIndex((report) => report.host === host && report.state === state);
      for (const [before, after] of [
        ['ada', 'bob'],
        ['bob', 'cyd'],
      ] as const)
        expect(when(after, 'ACTIVATING'), `${after} begins after ${before}`).toBeGreaterThan(when(before, 'SUCCEEDED'));
    }
  },
);

test('the hosts of later rings have the system before their turn, and switch to it without a download', async () => {
  const base = (await exampleFleetFiles())['modules/base.nix'] ?? '';
  const end = base.lastIndexOf('}');
  const sha = await fleet.push('Ask before the second ring', {
    'modules/base.nix': `${base.slice(0, end)}  environment.etc."ahead" = "ahead";\n${base.slice(end)}`,
    'floe.nix': policy('approvals.count = 1;'),
  });
  const rollout = async () => (await fleet.revision(sha))?.rollout;
  await eventually(
    'the second ring waits for its approval, and the hosts of both rings have the system',
    async () => {
      const { state, rings = [] } = (await rollout()) ?? {};
      return state === 'WAITING_APPROVAL' && rings.map(({ downloaded }) => downloaded).join() === '0,1,1' ? true : undefined;
    },
    { timeoutMs: 120_000, explain: () => fleet.server.log() },
  );
  const toplevels = new Map(((await fleet.revision(sha))?.hosts ?? []).map(({ host, toplevel }) => [host, toplevel ?? '']));
  // Neither told nor changed; and from here on nobody can download anything.
  expect((await reportsAbout(toplevels)).filter(({ host }) => host !== 'ada')).toEqual([]);
  const cache = join(fleet.dir, 'server/cache/nar');
  await rename(cache, `${cache}-away`);
  const approved = await fleet.request('/api/rollout/approve', {
    method: 'POST',
    body: JSON.stringify({ commit: sha, ring: 'bob', reason: 'seen' }),
  });
  expect(approved.status, await approved.text()).toBe(200);
  const revision = await fleet.settled(sha);
  await rename(`${cache}-away`, cache);
  expect(revision.rollout).toMatchObject({ counts: { 'in-sync': 3 } });
});

test('an abort with revert brings back who has it, by a permit, though the server is killed after it; the next commit goes on from there', async () => {
  const ada = fleet.machines.get('ada');
  if (ada === undefined) throw new Error('no machine ada');
  const before = await ada.observe();
  const base = (await exampleFleetFiles())['modules/base.nix'] ?? '';
  const end = base.lastIndexOf('}');
  const withFile = (name: string): string => `${base.slice(0, end)}  environment.etc."${name}" = "${name}";\n${base.slice(end)}`;
  const sha = await fleet.push('Break the printers', { 'modules/base.nix': withFile('broken'), 'floe.nix': policy('approvals.count = 1;') });
  const seen = async () => await fleet.revision(sha).catch(() => undefined);
  const wait = { timeoutMs: 120_000, explain: () => fleet.server.log() };
  // Before that, the first ring may wait for its host to be built.
  const isAtBob = (rollout: RevisionView['rollout'] | undefined): boolean =>
    rollout?.state === 'WAITING_APPROVAL' && rollout.rings.some(({ name, state }) => name === 'bob' && state === 'current');
  await eventually('the second ring waits', async () => isAtBob((await seen())?.rollout) || undefined, wait);
  expect((await ada.observe()).current).not.toBe(before.current);
  const body = JSON.stringify({ commit: sha, reason: 'they do not print', revert: true });
  const aborted = await fleet.request('/api/rollout/abort', { method: 'POST', body });
  expect(aborted.status, await aborted.text()).toBe(200);
  await fleet.server.stop('SIGKILL');
  await fleet.startServer();
  await eventually('ada is back', async () => (await ada.observe()).profile === before.profile || undefined, wait);
  await eventually(
    'its commit says so',
    async () => /aborted: 1 of 1 host is back on/.test((await seen())?.rollout?.description ?? '') || undefined,
    wait,
  );
  expect((await ada.observe()).current).toBe(before.current);
  expect((await fleet.hostView('ada')).standing).toBe('kept-back');
  const fix = await fleet.push('Mend them', { 'modules/base.nix': withFile('mended') });
  const fixed = async () => (await fleet.revision(fix).catch(() => undefined))?.rollout;
  await eventually('ada runs the next one', async () => isAtBob(await fixed()) || undefined, wait);
  await fleet.request('/api/rollout/approve', { method: 'POST', body: JSON.stringify({ commit: fix, ring: 'bob', reason: 'seen' }) });
  await eventually('it is complete', async () => (await fixed())?.state === 'COMPLETE' || undefined, wait);
  expect((await fleet.revision(fix))?.rollout?.counts).toMatchObject({ 'in-sync': 3 });
});
