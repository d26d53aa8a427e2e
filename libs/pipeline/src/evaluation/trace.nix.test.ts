import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openMirror, type GitMirror } from '@floe/git';
import { changedLooks, TREE_ADDRESS, type CommitSha, type HostName, type Look } from '@floe/model';
import { createRepositoryNix, openUnsafeSandbox, type HostEvaluation, type RepositoryNix } from '@floe/nix';
import { exec, execInTest, silentLogger } from '@floe/runtime';
import { startGitOrigin, testNixSettings, type GitOrigin, type OriginEntry, type OriginRepository } from '@floe/testkit';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';

const limits = { timeoutMs: 60_000, maxMemoryBytes: 4 * 1024 ** 3, signal: new AbortController().signal };
const filePath = (path: string): string => path;

let dir: string;
let origin: GitOrigin;
let nix: RepositoryNix;
let repositories = 0;

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'floe-trace-'));
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

async function evaluate(address: string, hosts: readonly HostName[]): Promise<ReadonlyMap<HostName, string>> {
  const found = new Map<HostName, string>();
  const onResult = (result: HostEvaluation): void => void (result.kind === 'evaluated' && found.set(result.host, result.drvPath));
  await nix.evaluateHosts(address, hosts, { ...limits, concurrency: 2, onResult, isAsked: () => false });
  return found;
}

const PIECES = [
  'import ./lib/x.nix',
  'import ./lib',
  'import ./link/x.nix',
  'builtins.readFile ./data/f.txt',
  'builtins.readFile ./data/link',
  'builtins.readFile (./. + "/link2/sub/g.txt")',
  'toString (builtins.attrNames (builtins.readDir ./data))',
  'toString (builtins.attrValues (builtins.readDir ./data/sub))',
  'toString (builtins.attrNames (builtins.readDir ./.))',
  'if builtins.pathExists ./data/opt.txt then "there" else "not there"',
  'if builtins.pathExists ./new/deep/file then "there" else "not there"',
  'if builtins.pathExists ./link2/opt.txt then "there" else "not there"',
  '"${builtins.filterSource (path: type: type != "symlink" && baseNameOf path != "other") ./data}"',
  '"${builtins.path { path = ./lib; name = "lib"; }}"',
  '"${./data}"',
  '"${./data/f.txt}"',
  'self.rev or "no commit"',
  'self.narHash',
  'toString ./data',
  '"${self}/data"',
  'builtins.readFile "${self}/data/f.txt"',
];
const HOSTS = ['ada', 'bob', 'cyd'] as HostName[];
const pieceWith = (text: string): number => PIECES.findIndex((each) => each.includes(text));

function flake(pieces: readonly (readonly number[])[]): string {
  const hosts = HOSTS.map((host, index) => {
    const args = (pieces[index] ?? []).map((piece) => `(${PIECES[piece]})`).join(' ');
    return `nixosConfigurations.${host}.config.system.build.toplevel = derivation { name = "${host}"; system = "x86_64-linux"; builder = "/bin/sh"; args = [ ${args} ]; };`;
  });
  return `{ outputs = { self }: { ${hosts.join('\n')} }; }`;
}

const uses = fc.array(fc.array(fc.nat(PIECES.length - 1), { minLength: 1, maxLength: 3 }), { minLength: HOSTS.length, maxLength: HOSTS.length });
const content = fc.constantFrom('"one"', '"two"', '"three"');
const path = fc.constantFrom(
  'data/f.txt',
  'data/opt.txt',
  'data/other',
  'data/sub/g.txt',
  'data/sub/h.txt',
  'lib/x.nix',
  'lib/default.nix',
  'lib/extra',
  'new/deep/file',
  'new/other',
  'other',
  'README.md',
);
type Edit = Readonly<Record<string, OriginEntry>>;
const edit: fc.Arbitrary<Edit> = fc.oneof(
  { weight: 5, arbitrary: fc.record({ path, content }).map((each) => ({ [each.path]: each.content })) },
  { weight: 2, arbitrary: path.map((removed) => ({ [removed]: null })) },
  { weight: 2, arbitrary: uses.map((pieces) => ({ 'flake.nix': flake(pieces) })) },
  fc.record({ from: path, to: path, content }).map((each) => ({ [each.from]: null, [each.to]: each.content })),
  fc.record({ path, content }).map((each) => ({ [each.path]: { executable: each.content } })),
  fc
    .record({
      path: fc.constantFrom('data/link', 'link', 'link2', 'data/f.txt', 'data/sub', 'new'),
      target: fc.constantFrom('f.txt', 'opt.txt', 'data', 'lib', 'link', '../data', '/etc/hosts'),
    })
    .map((each) => ({ [each.path]: { symlink: each.target } })),
  fc.constantFrom('data', 'new', 'lib').map((folder) => ({ [folder]: '"a file"' })),
  fc.constantFrom({ '.gitattributes': 'data/f.txt export-ignore\n' }, { '.gitattributes': '* text eol=crlf\n' }, { '.gitattributes': null }),
  fc.constantFrom({}, { 'flake.lock': '{ "nodes": { "root": {} }, "root": "root", "version": 7 }' }, { 'flake.lock': null }),
);

/** What is at the path goes, and what is above it as a file, so that git takes the new entry. */
function making(entries: Edit): Edit {
  return { ...Object.fromEntries(Object.keys(entries).map((each) => [each, null])), ...entries };
}

interface Known {
  readonly sha: CommitSha;
  readonly drvPath: string;
  readonly looks: ReadonlySet<Look>;
  readonly usesSelf: boolean;
}

test('a trace misses no file whose change changes the host, whatever was edited, and the trace of another commit shows who uses self', async () => {
  const count = { left: 0, touched: 0, usesSelf: 0, changed: 0 };
  await fc.assert(
    fc.asyncProperty(uses, fc.boolean(), fc.array(edit, { minLength: 2, maxLength: 4 }), async (pieces, isTree, edits) => {
      const { repository, mirror } = await startRepository();
      await using _mirror = mirror;
      const first: Edit = {
        'flake.nix': flake(pieces),
        'lib/x.nix': '"x"',
        'lib/default.nix': '"lib"',
        'data/f.txt': 'f',
        'data/sub/g.txt': 'g',
        'data/link': { symlink: 'f.txt' },
        link: { symlink: 'lib' },
        link2: { symlink: 'data' },
        'README.md': 'r',
      };
      const known = new Map<HostName, Known>();
      for (const entries of [first, ...edits]) {
        const sha = await repository.commit(making(entries), 'edit').catch(() => undefined);
        // A file where a folder has to be: git takes no such edit.
        if (sha === undefined) continue;
        await mirror.fetch(undefined);
        await mirror.accept(sha);
        const address = isTree ? (await mirror.tree(sha, [])).flakeUrl : await mirror.flakeUrl(sha);
        const found = await evaluate(address, HOSTS);
        for (const [host, { sha: before, drvPath, looks, usesSelf }] of known) {
          const changed = await mirror.changedNodes(before, sha).then((nodes) => (nodes === 'unknown' ? 'all' : changedLooks(nodes)));
          const isTouched = changed === 'all' || [...changed].some((look) => looks.has(look));
          const isSame = found.get(host) === drvPath;
          if (!isSame) count.changed += 1;
          if (usesSelf) count.usesSelf += 1;
          else if (isTouched) count.touched += 1;
          else {
            count.left += 1;
            expect({ host, isSame }).toEqual({ host, isSame: true });
          }
        }
        known.clear();
        const other = await mirror.flakeUrlOfAnother(isTree ? (await mirror.tree(sha, [])).sha : sha, true);
        for (const [host, drvPath] of found) {
          const trace = await nix.traceHost(isTree ? `${other}${TREE_ADDRESS}` : other, host, { ...limits, filePath });
          if (trace !== undefined) known.set(host, { sha, drvPath, looks: trace.looks, usesSelf: trace.answer.drvPath !== drvPath });
        }
      }
    }),
    {
      numRuns: 3,
      examples: [
        [
          [[pieceWith('./data/f.txt')], [pieceWith('./lib/x.nix')], [pieceWith('./data/f.txt')]],
          false,
          [{ 'flake.nix': flake([[pieceWith('./lib/x.nix')], [pieceWith('./lib/x.nix')], [pieceWith('./data/f.txt')]]) }, { other: '"two"' }],
        ],
        [[[pieceWith('./data/f.txt')], [pieceWith('self.rev')], [pieceWith('./lib/x.nix')]], false, [{ 'data/f.txt': '"one"' }, { other: '"two"' }]],
      ],
    },
  );
  expect({ count, areAll: Object.values(count).every((each) => each > 0) }).toMatchObject({ areAll: true });
}, 900_000);
