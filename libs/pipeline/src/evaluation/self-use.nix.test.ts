import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openMirror } from '@floe/git';
import type { HostName } from '@floe/model';
import { createRepositoryNix, openUnsafeSandbox, type HostEvaluation, type RepositoryNix } from '@floe/nix';
import { exec, execInTest, silentLogger } from '@floe/runtime';
import { startGitOrigin, testNixSettings, type GitOrigin } from '@floe/testkit';
import type { Evaluation } from '@floe/store';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { EvaluateSource } from './evaluate-source.ts';
import { findSelfUse, selfUseWords, type SelfUse } from './self-use.ts';
import { addressOf } from './source.ts';

const signal = new AbortController().signal;
const LIMITS = {
  evaluations: 2,
  builds: 1,
  evaluationTimeoutMs: 60_000,
  evaluationMemoryBytes: 4 * 1024 ** 3,
  buildTimeoutMs: 1,
  buildMemoryBytes: 1,
};
const TREE: EvaluateSource = { kind: 'tree', ignored: ['docs/**'] };

let dir: string;
let origin: GitOrigin;
let repositoryNix: RepositoryNix;
let repositories = 0;

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'floe-self-'));
  origin = await startGitOrigin();
  const sandbox = await openUnsafeSandbox({ exec, env: { ...process.env, NIX_CONFIG: testNixSettings }, dir: join(dir, 'sandbox') });
  repositoryNix = createRepositoryNix({ exec, logger: silentLogger, sandbox }, { addRoot: async () => await Promise.resolve() });
});
afterAll(async () => {
  await origin[Symbol.asyncDispose]();
  await execInTest('chmod', ['-R', 'u+w', dir]);
  await rm(dir, { recursive: true, force: true });
});

/** What is found in a fleet whose hosts each have what one of these files says in their systems. */
async function found(modules: Readonly<Record<string, string>>, source?: EvaluateSource): Promise<SelfUse | undefined | 'not-known'> {
  repositories += 1;
  const repository = await origin.repository(`fleet-${repositories}`);
  await using mirror = await openMirror({ dir: join(dir, `mirror-${repositories}`), url: repository.url, branch: 'main', logger: silentLogger });
  const hosts = Object.keys(modules);
  const outputs = hosts.map(
    (host) =>
      `nixosConfigurations.${host}.config.system.build.toplevel = derivation { name = "${host}"; system = "x86_64-linux"; builder = "/bin/sh"; args = [ (import ./hosts/${host}.nix { inherit self; }) ]; };`,
  );
  const files = Object.fromEntries(Object.entries(modules).map(([host, text]) => [`hosts/${host}.nix`, `{ self }:\n${text}\n`]));
  const sha = await repository.commit({ ...files, 'flake.nix': `{ outputs = { self }: { ${outputs.join('\n')} }; }`, 'secrets/a': 'a' }, 'first');
  await mirror.fetch(undefined);
  await mirror.accept(sha);
  const rows: Evaluation[] = [];
  const onResult = (result: HostEvaluation): void => {
    if (result.kind === 'evaluated') rows.push({ host: result.host, outcome: 'CHANGED', drvPath: result.drvPath, toplevel: result.toplevel });
  };
  const address = await addressOf({ mirror, source }, sha);
  const options = { concurrency: 2, timeoutMs: 60_000, maxMemoryBytes: LIMITS.evaluationMemoryBytes, signal, isAsked: () => false, onResult };
  await repositoryNix.evaluateHosts(address, hosts as HostName[], options);
  rows.sort((one, other) => (one.host < other.host ? -1 : 1));
  return await findSelfUse({ mirror, repositoryNix, limits: LIMITS, source }, sha, rows, signal);
}

const REV = 'self.rev or "none"';
const DATE = 'toString self.lastModified';
const FILES = '"${self}/secrets/a"';
const OWN = '"${../secrets/a}"';

test.each([
  ['its id', REV, 'commit'],
  ['its date', DATE, 'commit'],
  ['the path of its files', FILES, 'files'],
  ['their hash', 'self.narHash', 'files'],
  ['a path that nobody sees', 'toString ../secrets/a', 'files'],
] as const)('a host that has %s in its system changes with every commit', async (_, text, kind) => {
  const use = await found({ ada: text });
  expect(use).toMatchObject({ hosts: ['ada'], of: 1, kind });
});

test.each([
  ['nothing of it', '"x"'],
  ['a file by its path', OWN],
  ['what is read of it', 'builtins.readFile "${self}/secrets/a"'],
  ['whether it has one', 'if self ? rev then "x" else "y"'],
])('a host that has %s does not', async (_, text) => {
  expect(await found({ ada: text })).toBeUndefined();
});

test('all hosts are asked when one is found, and the line is named', async () => {
  const use = await found({ ada: REV, bob: REV, cyd: OWN });
  if (use === undefined || use === 'not-known') throw new Error('nothing was found');
  expect(use).toMatchObject({ hosts: ['ada', 'bob'], of: 3, kind: 'commit' });
  expect(selfUseWords(use)).toMatch(
    /^2 of 3 hosts change with every commit: the commit or its date is in the system, by one of these lines: hosts\/ada.nix:2, hosts\/bob.nix:2\. /,
  );
  const one = await found({ ada: REV });
  if (one === undefined || one === 'not-known') throw new Error('nothing was found');
  expect(selfUseWords(one)).toMatch(
    /^ada changes with every commit: hosts\/ada.nix:2 puts the commit or its date into the system\. To change that, take it out, or set/,
  );
});

test('of files alone no commit is in the systems, and the path of the files still is', async () => {
  expect(await found({ ada: REV, bob: DATE }, TREE)).toBeUndefined();
  expect(await found({ ada: FILES }, TREE)).toMatchObject({ hosts: ['ada'], kind: 'files' });
});
