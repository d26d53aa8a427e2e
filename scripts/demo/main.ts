import { parseArgs } from 'node:util';
import { exec } from '@floe/runtime';
import { exampleFleetFiles, TestFleet, testNixSettings } from '@floe/testkit';
import { hotfix } from './hotfix.ts';
import { statusLine } from './final-statuses.ts';
import { createNarrator } from './narrator.ts';
import { observePush, type Before, type PushResult } from './observe-push.ts';
import { watchPushes } from './watch-pushes.ts';
import { DEMO_PUSHES, type DemoPush } from './pushes.ts';

const USAGE = `npm run demo -- [--once] [--verbose]

Shows Floe's main job on this machine alone: a local forge, the server, three machines that are folders.
  --once     do not stay up; the last line is a JSON summary, and the exit status says whether all was as it should be
  --verbose  print the programs' logs too`;

const HOSTS = ['ada', 'bob', 'cyd'] as const;

/** A real server requires it. */
async function sandboxWorks(): Promise<boolean> {
  const nested = ['--unshare-user', '--unshare-pid', '--ro-bind', '/', '/', '--proc', '/proc', '--', 'true'];
  return await exec('bwrap', nested, { timeoutMs: 30_000 }).then(
    ({ exitCode }) => exitCode === 0,
    () => false,
  );
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      once: { type: 'boolean', default: false },
      verbose: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  if (values.help) {
    console.log(USAGE);
    return;
  }
  const isSandboxed = await sandboxWorks();
  const narrator = createNarrator((line) => console.log(line));
  const startedAt = performance.now();
  const files = await exampleFleetFiles();

  narrator.heading('Floe: a push becomes switched workstations');
  await using fleet = await TestFleet.create({
    files,
    nixConfig: testNixSettings,
    ...(isSandboxed ? {} : { serverEnv: { FLOE_UNSAFE_RUN_REPOSITORY_CODE_WITH_ACCESS_TO_KEYS: 'yes' } }),
    ...(values.verbose ? { onLine: (who, line) => console.error(`${who}: ${line}`) } : {}),
  });
  if (!isSandboxed)
    narrator.say("bubblewrap does not work on this machine, so code of the repository runs without a sandbox, with access to the demo's own keys.");
  await fleet.startServer();
  narrator.say(`A forge serves the fleet repository at ${fleet.forge.cloneUrl}; the server is at ${fleet.serverUrl}.`);
  for (const host of HOSTS) await fleet.addMachine(host);
  narrator.say(`Three machines enrolled with one-time tokens: ${HOSTS.join(', ')}. Each is a folder with an agent of its own.`);

  const results: PushResult[] = [];
  const first = await fleet.git('-C', fleet.workTree, 'rev-parse', 'HEAD');
  results.push(
    await tellPush(
      {
        message: 'The first three machines',
        tells: 'the first commit: three new systems',
        expected: { ada: 'switched', bob: 'switched', cyd: 'switched' },
      },
      first,
      Date.now(),
      new Map(),
    ),
  );

  const now: Record<string, string> = { ...files };
  for (const push of DEMO_PUSHES) {
    const before = new Map(await Promise.all(HOSTS.map(async (host) => [host, await fleet.machine(host).observe()] as const)));
    const change = push.change(now);
    Object.assign(now, change);
    const pushedAt = Date.now();
    const commit = await fleet.push(push.message, change);
    results.push(await tellPush(push, commit, pushedAt, before));
  }
  const isOk = results.every((result) => Object.values(result.hosts).every((host) => host.isAsExpected));

  if (!values.once) {
    narrator.heading('It stays up: try it');
    narrator.say(`The page:      ${fleet.serverUrl}/   (token: ${await fleet.token()})`);
    narrator.say(`A work tree:   cd ${fleet.workTree} && $EDITOR hosts/ada.nix && git commit -am "My change" && git push origin main`);
    narrator.say(`A machine:     ls -l ${fleet.machine('ada').root}/run/current-system ${fleet.machine('ada').root}/etc/static/`);
    narrator.say(`Commands:      npm run -s floe -- --server ${fleet.serverUrl} --token-file ${fleet.dir}/server/admin-token status`);
    narrator.say('The results of your pushes are shown here. Ctrl-C ends the demo and removes everything.');
    const stopping = new AbortController();
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stopping.abort());
    await watchPushes(fleet, narrator, stopping.signal);
    return;
  }
  console.log(JSON.stringify({ ok: isOk, seconds: Math.round((performance.now() - startedAt) / 100) / 10, pushes: results }));
  if (!isOk) process.exitCode = 1;

  async function tellPush(
    { message, tells, expected, hotfix: reason }: Omit<DemoPush, 'change'>,
    commit: string,
    pushedAt: number,
    before: Before,
  ): Promise<PushResult> {
    narrator.heading(`Push ${commit.slice(0, 7)} "${message}": ${tells}`);
    if (reason !== undefined) narrator.say(await hotfix(fleet, commit, reason));
    const result = await observePush(fleet, { message, commit, pushedAt, before, expected });
    narrator.table(
      Object.entries(result.hosts).map(([host, { outcome, observed, isAsExpected }]) => [
        isAsExpected ? '✓' : '✗',
        host,
        outcome,
        `runs ${(observed ?? 'nothing').replace('/nix/store/', '').slice(0, 12)}`,
      ]),
    );
    const stages = Object.entries(result.stagesMs).filter((stage): stage is [string, number] => stage[1] !== null);
    narrator.say(`  ${stages.map(([stage, ms]) => `${stage} ${ms} ms`).join(' → ')}`);
    for (const status of result.statuses) narrator.say(statusLine(status));
    return result;
  }
}

await main();
