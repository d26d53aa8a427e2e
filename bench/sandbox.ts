import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createNix, createRepositoryNix, openSandbox, openUnsafeSandbox, type RepositoryNix, type Sandbox } from '@floe/nix';
import type { HostName } from '@floe/model';
import { exec, silentLogger } from '@floe/runtime';
import { exampleFleetFiles, ISOLATED_GIT_ENV, testNixSettings } from '@floe/testkit';
import { median, run, type Figure, type Progress } from './measure.ts';

/** The evaluation of one host in the sandbox, and without it, in turns; both warmed up. */
export async function benchSandbox(rounds: number, progress: Progress): Promise<Figure[]> {
  await using stack = new AsyncDisposableStack();
  const dir = await mkdtemp(join(tmpdir(), 'floe-bench-sandbox-'));
  stack.defer(async () => await rm(dir, { recursive: true, force: true }));
  const mirror = join(dir, 'mirror.git');
  const url = await fleetIn(join(dir, 'fleet'), mirror);
  const env = { PATH: process.env['PATH'], HOME: dir, NIX_CONFIG: testNixSettings };
  const sandboxed = await openSandbox(
    { exec, env, dir: join(dir, 'sandbox'), readable: [mirror] },
    { secrets: [], programs: [], nonce: dir, mayBuildsChangeStore: true },
  );
  const bare = await openUnsafeSandbox({ exec, env, dir: join(dir, 'bare') });
  const own = createNix({ exec, logger: silentLogger, env });
  const nixIn = (sandbox: Sandbox): RepositoryNix => createRepositoryNix({ exec, logger: silentLogger, sandbox }, own);
  const [floe, floor] = [nixIn(sandboxed), nixIn(bare)];
  const times: { readonly floe: number[]; readonly floor: number[] } = { floe: [], floor: [] };
  progress(`evaluation in the sandbox and without it, ${rounds} rounds`);
  for (let round = -1; round < rounds; round += 1) {
    const [ours, theirs] = [await evaluationMs(floe, url), await evaluationMs(floor, url)];
    if (round < 0) continue;
    times.floe.push(ours);
    times.floor.push(theirs);
  }
  return [
    {
      what: '(e) evaluation of one host, sandboxed',
      unit: 'ms',
      floe: median(times.floe),
      floor: median(times.floor),
      compare: 'difference',
      aim: 15,
    },
  ];
}

/** All of it, with the folders of the sandbox that are made and removed. */
async function evaluationMs(nix: RepositoryNix, url: string): Promise<number> {
  const started = performance.now();
  await nix.evaluateHosts(url, ['ada' as HostName], {
    concurrency: 1,
    timeoutMs: 120_000,
    maxMemoryBytes: 4 * 1024 ** 3,
    signal: new AbortController().signal,
    onResult: (result) => {
      if (result.kind !== 'evaluated') throw new Error(JSON.stringify(result));
    },
  });
  return performance.now() - started;
}

/** The example fleet as a bare repository, and its URL for Nix. */
async function fleetIn(workTree: string, mirror: string): Promise<string> {
  for (const [path, content] of Object.entries(await exampleFleetFiles())) {
    await mkdir(dirname(join(workTree, path)), { recursive: true });
    await writeFile(join(workTree, path), content, { mode: path.endsWith('.sh') ? 0o755 : 0o644 });
  }
  const identity = { GIT_AUTHOR_NAME: 'Ada', GIT_AUTHOR_EMAIL: 'ada@example.org', GIT_COMMITTER_NAME: 'Ada', GIT_COMMITTER_EMAIL: 'ada@example.org' };
  const git = async (...args: string[]): Promise<string> =>
    (await run('git', args, { env: { ...process.env, ...ISOLATED_GIT_ENV, ...identity } })).stdout.trim();
  await git('init', '-q', '-b', 'main', workTree);
  await git('-C', workTree, 'add', '-A');
  await git('-C', workTree, 'commit', '-q', '-m', 'fleet');
  await git('clone', '-q', '--bare', workTree, mirror);
  return `git+file://${mirror}?ref=main&rev=${await git('-C', workTree, 'rev-parse', 'HEAD')}`;
}
