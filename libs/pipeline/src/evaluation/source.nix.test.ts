import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openMirror, type GitMirror } from '@floe/git';
import type { CommitSha, HostName } from '@floe/model';
import { createRepositoryNix, openUnsafeSandbox, type HostEvaluation, type RepositoryNix } from '@floe/nix';
import { exec, execInTest, silentLogger } from '@floe/runtime';
import { startGitOrigin, testNixSettings, type GitOrigin, type OriginEntry, type OriginRepository } from '@floe/testkit';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { EvaluateSource } from './evaluate-source.ts';
import { addressOf } from './source.ts';

const SOURCE: EvaluateSource = { kind: 'tree', ignored: ['docs/**', '.github/**', '**/*.md'] };
const signal = new AbortController().signal;
const limits = { timeoutMs: 60_000, maxMemoryBytes: 4 * 1024 ** 3, signal };

let dir: string;
let origin: GitOrigin;
let nix: RepositoryNix;
let repositories = 0;

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'floe-source-'));
  origin = await startGitOrigin();
  const env = { ...process.env, NIX_CONFIG: testNixSettings };
  const sandbox = await openUnsafeSandbox({ exec, env, dir: join(dir, 'sandbox') });
  nix = createRepositoryNix({ exec, logger: silentLogger, sandbox }, { addRoot: async () => await Promise.resolve() });
});
afterAll(async () => {
  await origin[Symbol.asyncDispose]();
  await execInTest('chmod', ['-R', 'u+w', dir]);
  await rm(dir, { recursive: true, force: true });
});

async function startRepository(): Promise<{ repository: OriginRepository; mirror: GitMirror }> {
  repositories += 1;
  const repository = await origin.repository(`fleet-${repositories}`);
  const mirror = await openMirror({ dir: join(dir, `mirror-${repositories}`), url: repository.url, branch: 'main', logger: silentLogger });
  return { repository, mirror };
}

/** What each host evaluates to; undefined: an error. */
type Answers = Readonly<Record<string, string | undefined>>;

async function evaluate(address: string): Promise<Answers> {
  const answers: Record<string, string | undefined> = {};
  const { hosts } = await nix.listHosts(address, limits);
  const onResult = (result: HostEvaluation): void => void (answers[result.host] = result.kind === 'evaluated' ? result.drvPath : undefined);
  await nix.evaluateHosts(address, hosts, { ...limits, concurrency: 2, onResult, isAsked: () => false });
  return answers;
}

/** The files of a commit that are evaluated, by git and Nix alone: the commit that is made of them, and what its hosts evaluate to. */
async function byHand(repository: OriginRepository, sha: CommitSha, hosts: readonly string[]): Promise<{ sha: string; answers: Answers }> {
  const folder = await mkdtemp(join(dir, 'by-hand-'));
  const env = {
    ...process.env,
    GIT_INDEX_FILE: join(folder, 'index'),
    GIT_WORK_TREE: folder,
    GIT_AUTHOR_NAME: 'Floe',
    GIT_AUTHOR_EMAIL: 'floe',
    GIT_AUTHOR_DATE: '@1 +0000',
    GIT_COMMITTER_NAME: 'Floe',
    GIT_COMMITTER_EMAIL: 'floe',
    GIT_COMMITTER_DATE: '@1 +0000',
    HOME: folder,
    NIX_CONFIG: `${testNixSettings}\neval-cache = false`,
  };
  const run = async (program: string, ...args: string[]): Promise<string> => {
    const result = await execInTest(program, args, { env });
    expect(result.exitCode, result.stderr).toBe(0);
    return result.stdout.trim();
  };
  const git = async (...args: string[]): Promise<string> => await run('git', '-C', repository.bareDir, ...args);
  await git('read-tree', sha);
  const paths = (await git('ls-files', '-z', '--cached')).split('\0').filter((path) => path !== '');
  const ignored = paths.filter((path) => path.startsWith('docs/') || path.startsWith('.github/') || path.endsWith('.md'));
  if (ignored.length > 0) await git('update-index', '--force-remove', '--', ...ignored);
  const commit = await git('commit-tree', await git('write-tree'), '-m', 'the files of a commit that are evaluated');
  await run(
    'sh',
    '-c',
    'mkdir "$0/files" && git -C "$1" archive "$2" | tar -x -C "$0/files" && find "$0/files" -exec touch -h -d @1 {} +',
    folder,
    repository.bareDir,
    commit,
  );
  const hash = await run('nix', 'hash', 'path', join(folder, 'files'));
  const got = `builtins.getFlake "path:${join(folder, 'files')}?lastModified=1&narHash=${encodeURIComponent(hash)}"`;
  const answers: Record<string, string | undefined> = {};
  for (const host of hosts) {
    const expression = `(${got}).nixosConfigurations.${host}.config.system.build.toplevel.drvPath`;
    const asked = await execInTest('nix', ['eval', '--raw', '--expr', expression], { env });
    answers[host] = asked.exitCode === 0 ? asked.stdout.trim() : undefined;
  }
  return { sha: commit, answers };
}

const PIECES = [
  'import ./lib/x.nix',
  'builtins.readFile ./data/f.txt',
  'toString (builtins.attrNames (builtins.readDir ./data))',
  'toString (builtins.attrNames (builtins.readDir ./.))',
  'if builtins.pathExists ./data/opt.txt then "there" else "not there"',
  'if builtins.pathExists ./docs/a.md then "docs" else "no docs"',
  '"${builtins.filterSource (path: type: type != "symlink") ./data}"',
  '"${./data}"',
  'self.rev or "no commit"',
  'self.lastModifiedDate',
  'self.narHash',
  'toString ./data',
  '"${self}/data"',
];
const HOSTS = ['ada', 'bob'];

function flake(pieces: readonly (readonly number[])[]): string {
  const hosts = HOSTS.map((host, index) => {
    const args = (pieces[index] ?? []).map((piece) => `(${PIECES[piece]})`).join(' ');
    return `nixosConfigurations.${host}.config.system.build.toplevel = derivation { name = "${host}"; system = "x86_64-linux"; builder = "/bin/sh"; args = [ ${args} ]; };`;
  });
  return `{ outputs = { self }: { ${hosts.join('\n')} }; }`;
}

const uses = fc.array(fc.array(fc.nat(PIECES.length - 1), { minLength: 1, maxLength: 4 }), { minLength: 2, maxLength: 2 });
const content = fc.constantFrom('one', 'two', '$Format:%H$', '$Format:%cd$');
const path = fc.constantFrom(
  'data/f.txt',
  'data/opt.txt',
  'data/sub/g.txt',
  'lib/extra',
  'other',
  'docs/a.md',
  'docs/b/c.txt',
  'README.md',
  'lib/NOTES.md',
  '.github/ci.yml',
);
const attributes = fc.constantFrom('data/f.txt export-subst', 'data/opt.txt export-ignore', 'docs/** export-ignore', '* text=auto');
const edit: fc.Arbitrary<Readonly<Record<string, OriginEntry>>> = fc.oneof(
  { weight: 3, arbitrary: fc.record({ path, content }).map((each) => ({ [each.path]: each.content })) },
  {
    weight: 3,
    arbitrary: fc
      .record({ path: fc.constantFrom('docs/a.md', 'README.md', '.github/ci.yml'), content })
      .map((each) => ({ [each.path]: each.content })),
  },
  path.map((removed) => ({ [removed]: null })),
  fc.record({ from: path, to: path, content }).map((each) => ({ [each.from]: null, [each.to]: each.content })),
  fc.record({ path, content }).map((each) => ({ [each.path]: { executable: each.content } })),
  fc.record({ path, target: fc.constantFrom('f.txt', '/etc/hosts', '../other') }).map((each) => ({ [each.path]: { symlink: each.target } })),
  fc.constantFrom('data', 'docs', 'lib').map((folder) => ({ [folder]: 'a file' })),
  fc.record({ at: fc.constantFrom('.gitattributes', 'docs/.gitattributes'), attributes }).map((each) => ({ [each.at]: `${each.attributes}\n` })),
  uses.map((pieces) => ({ 'flake.nix': flake(pieces) })),
  fc.constantFrom({}, { 'flake.lock': '{ "nodes": { "root": {} }, "root": "root", "version": 7 }' }, { 'flake.lock': null }),
);

/** What is at the path goes, and what is above it as a file, so that git takes the new entry. */
function making(entries: Readonly<Record<string, OriginEntry>>): Readonly<Record<string, OriginEntry>> {
  return { ...Object.fromEntries(Object.keys(entries).map((each) => [each, null])), ...entries };
}

test('a commit with the same files as another evaluates to the same, whatever was edited, and each to what git and Nix say', async () => {
  let carried = 0;
  let changed = 0;
  await fc.assert(
    fc.asyncProperty(uses, fc.array(edit, { minLength: 2, maxLength: 4 }), async (pieces, edits) => {
      const { repository, mirror } = await startRepository();
      await using _mirror = mirror;
      const first = { 'flake.nix': flake(pieces), 'lib/x.nix': '"x"', 'data/f.txt': 'f', 'docs/a.md': 'a', 'README.md': 'r' };
      let before: { address: string; answers: Answers } | undefined;
      for (const entries of [first, ...edits]) {
        const sha = await repository.commit(making(entries), 'edit').catch(() => undefined);
        // A file where a folder has to be: git takes no such edit.
        if (sha === undefined) continue;
        await mirror.fetch(undefined);
        await mirror.accept(sha);
        const address = await addressOf({ mirror, source: SOURCE }, sha);
        const expected = await byHand(repository, sha, HOSTS);
        expect(address).toContain(`rev=${expected.sha}`);
        expect(await evaluate(address)).toEqual(expected.answers);
        if (before?.address === address) {
          carried += 1;
          expect(expected.answers).toEqual(before.answers);
        } else if (before !== undefined) changed += 1;
        before = { address, answers: expected.answers };
      }
    }),
    { numRuns: 5 },
  );
  expect({ isAnyCarried: carried > 0, isAnyChanged: changed > 0 }).toEqual({ isAnyCarried: true, isAnyChanged: true });
});

test('a tree has no commit and no date', async () => {
  const { repository, mirror } = await startRepository();
  await using _mirror = mirror;
  const args = ['self.rev or "none"', 'self.lastModifiedDate', 'if builtins.pathExists ./docs then "docs" else "no docs"'];
  const system = `derivation { name = "ada"; system = "x86_64-linux"; builder = "/bin/sh"; args = [ ${args.map((each) => `(${each})`).join(' ')} ]; }`;
  const files = { 'flake.nix': `{ outputs = { self }: { nixosConfigurations.ada.config.system.build.toplevel = ${system}; }; }`, 'docs/a': 'a' };
  const sha = await repository.commit(files, 'first');
  await mirror.fetch(undefined);
  await mirror.accept(sha);
  const results: HostEvaluation[] = [];
  const address = await addressOf({ mirror, source: SOURCE }, sha);
  await nix.evaluateHosts(address, ['ada' as HostName], { ...limits, concurrency: 1, onResult: (each) => results.push(each), isAsked: () => false });
  expect(results).toEqual([expect.objectContaining({ kind: 'evaluated' })]);
  const [result] = results;
  const drv = result?.kind === 'evaluated' ? await readFile(result.drvPath, 'utf8') : undefined;
  expect(drv).toContain('["none","19700101000001","no docs"]');
});
