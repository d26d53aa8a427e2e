import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { deflateSync } from 'node:zlib';
import { DEFAULT_REPOSITORY_LIMITS, memoryBytes, openMirror, type GitMirror } from '@floe/git';
import type { CommitSha } from '@floe/model';
import { createRepositoryNix, createSubmodules, openSandbox, type InputAccess, type RepositoryNix, type Sandbox } from '@floe/nix';
import { exec, execInTest, Secret, silentLogger } from '@floe/runtime';
import { startGitOrigin, startSshServer, testNixSettings, type GitOrigin, type OriginEntry, type OriginRepository } from '@floe/testkit';
import fc from 'fast-check';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { addressOf } from '../evaluation/source.ts';
import { withSubmodules } from './with-submodules.ts';

// Submodules on real servers, by git and Nix: what `git clone --recurse-submodules` has is what Nix evaluates.

const signal = new AbortController().signal;
const limits = { timeoutMs: 60_000, maxMemoryBytes: 4 * 1024 ** 3, signal };
const TOKEN = 'TOKENx';
let dir = '';
let env: NodeJS.ProcessEnv;
let origin: GitOrigin;
/** A second one, which asks for the token, by TLS. */
let closed: GitOrigin;
let tls: { readonly key: string; readonly cert: string };
let sandbox: Sandbox;
let nix: RepositoryNix;
let intercept: ((req: IncomingMessage, res: ServerResponse) => boolean) | undefined;

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'floe-submodules-'));
  await mkdir(join(dir, 'mirrors'));
  const [key, cert] = [join(dir, 'key.pem'), join(dir, 'mirrors/cert.pem')];
  const subject = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1'];
  const made = await execInTest('openssl', ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-keyout', key, '-out', cert, ...subject]);
  if (made.exitCode !== 0) throw new Error(made.stderr);
  env = { PATH: process.env['PATH'], HOME: '/nowhere', NIX_CONFIG: testNixSettings, NIX_SSL_CERT_FILE: cert, GIT_SSL_CAINFO: cert };
  origin = await startGitOrigin({ intercept: (req, res) => intercept?.(req, res) === true });
  tls = { key: await readFile(key, 'utf8'), cert: await readFile(cert, 'utf8') };
  closed = await startGitOrigin({ token: TOKEN, tls });
  sandbox = await openSandbox(
    { exec, env, dir: join(dir, 'sandbox'), readable: [join(dir, 'mirrors')] },
    { secrets: [], needed: ['git'], programs: [], nonce: dir, mayBuildsChangeStore: true },
  );
  nix = createRepositoryNix({ exec, logger: silentLogger, sandbox }, { addRoot: async () => await Promise.resolve() });
});
afterAll(async () => {
  await origin[Symbol.asyncDispose]();
  await closed[Symbol.asyncDispose]();
  await execInTest('chmod', ['-R', 'u+w', dir]);
  await rm(dir, { recursive: true, force: true });
});
beforeEach(() => {
  intercept = undefined;
});

let made = 0;
async function repository(at = origin): Promise<OriginRepository> {
  made += 1;
  return await at.repository(`r${made}`);
}

/** Limits of submodules that are not the usual ones. */
interface Most {
  readonly maxBytes?: number;
  readonly maxMemoryBytes?: number;
}
function mirrorOf(bare: GitMirror, folder: string, url: string, access: readonly InputAccess[] = [], most: Most = {}): GitMirror {
  const submodules = createSubmodules({
    exec,
    logger: silentLogger,
    sandbox,
    inputAccess: access,
    dir: `${folder}-submodules.git`,
    maxBytes: DEFAULT_REPOSITORY_LIMITS.downloadBytes,
    maxMemoryBytes: memoryBytes(DEFAULT_REPOSITORY_LIMITS),
    ...most,
    silenceMs: 20_000,
    signal,
  });
  return withSubmodules(bare, submodules, { dir: folder, url, signal });
}

async function opened(fleet: OriginRepository, access: readonly InputAccess[] = [], most: Most = {}): Promise<GitMirror> {
  made += 1;
  const folder = join(dir, 'mirrors', `m${made}.git`);
  const bare = await openMirror({ dir: folder, url: fleet.url, branch: 'main', logger: silentLogger });
  return mirrorOf(bare, folder, fleet.url, access, most);
}

const nameOf = ({ url }: OriginRepository): string => url.split('/').at(-1) ?? '';
const gitmodules = (entries: Readonly<Record<string, string>>): string =>
  Object.entries(entries)
    .map(([path, url]) => `[submodule "${path}"]\n\tpath = ${path}\n\turl = ${url}\n`)
    .join('');

const FLAKE = `{ outputs = { self }: { floe = {
  inherit (self) rev revCount lastModified;
  text = builtins.readFile ./a/text;
}; }; }`;

/** The answer of the flake's output `floe`. */
async function answers(mirror: GitMirror, sha: CommitSha): Promise<unknown> {
  return await nix.readFleetPolicy(await addressOf({ mirror, source: undefined }, sha), limits);
}

const uploads = (at: OriginRepository): number =>
  origin.requests.filter(({ path, method }) => method === 'POST' && path.includes(`/${nameOf(at)}/`)).length;

it('are evaluated with the id, the date and the count of the commit, and fetched once', async () => {
  const [fleet, a] = [await repository(), await repository()];
  const sub = await a.commit({ text: 'one' }, 'a');
  await fleet.commit({ 'flake.nix': FLAKE }, 'before');
  const files = { '.gitmodules': gitmodules({ a: `../${nameOf(a)}` }), a: { submodule: sub } } as const;
  const sha = await fleet.commit(files, 'first');
  const mirror = await opened(fleet);
  await mirror.fetch(undefined);
  const lastModified = Number(await fleet.git('log', '-1', '--format=%ct', sha));
  expect(await answers(mirror, sha)).toEqual({ rev: sha, revCount: 2, lastModified, text: 'one' });
  const before = uploads(a);
  const second = await fleet.commit({ other: '1' }, 'second');
  await mirror.fetch(sha);
  expect(await answers(mirror, second)).toMatchObject({ rev: second, text: 'one' });
  expect(uploads(a)).toBe(before);
  // Files alone: the same ones, without a commit.
  const source = { kind: 'tree', ignored: ['other'] } as const;
  const [one, two] = [await addressOf({ mirror, source }, sha), await addressOf({ mirror, source }, second)];
  expect(one).toBe(two);
  const third = await fleet.commit({ a: { submodule: await a.commit({ text: 'two' }, 'a 2') } }, 'third');
  await mirror.fetch(second);
  expect(await answers(mirror, third)).toMatchObject({ rev: third, text: 'two' });
  expect((await mirror.inspect(third)).submodules).toEqual([]);
  expect(await mirror.changedNodes(second, third)).toEqual([{ path: 'a/text', before: 'file', after: 'file' }]);
  await mirror[Symbol.asyncDispose]();
});

/** A repository's files, and its submodules. */
interface Made {
  readonly files: Readonly<Record<string, string>>;
  readonly below: Readonly<Record<string, Made>>;
}
const folders = fc.constantFrom('m', 'm-x', 'libs/m', 'libs/m.d', 'z/y/x');
const tree: fc.Memo<Made> = fc.memo((depth) =>
  fc.record({
    files: fc.dictionary(
      fc.constantFrom('f', 'm.nix', 'libs/m0', 'libs/m/nix', 'z/b', 'z/y/a'),
      fc.string({ unit: 'grapheme-ascii', maxLength: 5 }),
      { maxKeys: 4 },
    ),
    below: depth <= 1 ? fc.constant({}) : fc.dictionary(folders, tree(), { maxKeys: 2, depthIdentifier: 'submodules' }),
  }),
);

async function push({ files, below }: Made, more: Readonly<Record<string, string>> = {}): Promise<{ at: OriginRepository; sha: CommitSha }> {
  const at = await repository();
  const urls: Record<string, string> = {};
  const links: Record<string, OriginEntry> = {};
  // A path is one thing alone: files win over nothing, submodules over files.
  for (const [path, inner] of Object.entries(below)) {
    if (Object.keys(links).some((other) => path.startsWith(`${other}/`) || other.startsWith(`${path}/`))) continue;
    const { at: sub, sha } = await push(inner);
    urls[path] = `../${nameOf(sub)}`;
    links[path] = { submodule: sha };
  }
  const own = Object.entries(files).filter(([path]) => !Object.keys(links).some((link) => path === link || path.startsWith(`${link}/`)));
  const all = { ...Object.fromEntries(own), 'of-all': '1', ...more, '.gitmodules': gitmodules(urls), ...links };
  return { at, sha: await at.commit(all, 'made') };
}

it('are there as in a clone with all submodules, whatever is in which', async () => {
  await fc.assert(
    fc.asyncProperty(tree(3), async (files) => {
      const { at, sha } = await push(files, { 'flake.nix': '{ outputs = { self }: { floe = "${self}"; }; }' });
      const mirror = await opened(at);
      await mirror.fetch(undefined);
      const clone = await mkdtemp(join(dir, 'clone-'));
      const cloned = await execInTest('git', ['clone', '-q', '--recurse-submodules', at.url, clone]);
      expect(cloned.exitCode, cloned.stderr).toBe(0);
      const path = String(await answers(mirror, sha));
      const differs = await execInTest('diff', ['-r', '--no-dereference', '--exclude=.git', clone, path]);
      expect(differs.stdout + differs.stderr).toBe('');
      // A tree that git would not have written is an error there.
      const [, folder = ''] = /^git\+file:\/\/([^?]+)/.exec(await mirror.flakeUrl(sha)) ?? [];
      const checked = await execInTest('git', ['-C', folder, 'fsck', '--strict']);
      expect(checked.exitCode, checked.stderr).toBe(0);
      await mirror[Symbol.asyncDispose]();
    }),
    { numRuns: 4, seed: 12, endOnFailure: true },
  );
});

describe('one that cannot be fetched', () => {
  it('is tried again', async () => {
    const [fleet, a] = [await repository(), await repository()];
    const sha = await fleet.commit(
      { 'flake.nix': FLAKE, '.gitmodules': gitmodules({ a: a.url }), a: { submodule: await a.commit({ text: 'one' }, 'a') } },
      'first',
    );
    const mirror = await opened(fleet);
    await mirror.fetch(undefined);
    intercept = (req, res) => {
      if (req.url?.includes(`/${nameOf(a)}/`) !== true) return false;
      res.writeHead(503).end();
      return true;
    };
    await expect(answers(mirror, sha)).rejects.toMatchObject({
      code: 'SUBMODULE_AWAY',
      retryable: true,
      message: expect.stringContaining('the submodule a (http') as string,
    });
    intercept = undefined;
    expect(await answers(mirror, sha)).toMatchObject({ text: 'one' });
    await mirror[Symbol.asyncDispose]();
  });

  it('names the commit that nobody pushed', async () => {
    const [fleet, a] = [await repository(), await repository()];
    await a.commit({ text: 'one' }, 'a');
    const sha = await fleet.commit({ '.gitmodules': gitmodules({ a: a.url }), a: { submodule: 'c'.repeat(40) as CommitSha } }, 'first');
    const mirror = await opened(fleet);
    await mirror.fetch(undefined);
    await expect(mirror.inspect(sha)).rejects.toMatchObject({
      retryable: true,
      message: expect.stringContaining('no branch or tag with the commit cccccccccccc') as string,
    });
    await mirror[Symbol.asyncDispose]();
  });

  it('is refused when it is too large', async () => {
    const [fleet, a] = [await repository(), await repository()];
    const noise = Array.from({ length: 100_000 }, (_, index) => String((index * 2_654_435_761) % 4_294_967_296)).join('');
    const sha = await fleet.commit({ '.gitmodules': gitmodules({ a: a.url }), a: { submodule: await a.commit({ noise }, 'a') } }, 'first');
    const mirror = await opened(fleet, [], { maxBytes: 200_000 });
    await mirror.fetch(undefined);
    await expect(mirror.inspect(sha)).rejects.toMatchObject({
      code: 'SUBMODULES_REFUSED',
      message: expect.stringContaining('FLOE_REPOSITORY_MAX_MIB') as string,
    });
    expect((await readdir(join(dir, 'mirrors'), { recursive: true })).filter((name) => name.includes('tmp_pack'))).toEqual([]);
    await mirror[Symbol.asyncDispose]();
  });
});

/** A commit with a file of so many times 16 MiB, in a pack of some KB: a delta that copies the same zeros again and again. */
async function swollen(at: OriginRepository, times: number): Promise<CommitSha> {
  const base = Buffer.alloc(16 * 1024 ** 2);
  const size = (value: number, bits: number): number[] =>
    value < 2 ** bits ? [value] : [(value % 2 ** bits) + 2 ** bits, ...size(Math.floor(value / 2 ** bits), 7)];
  const idOf = (parts: readonly Buffer[]): string => {
    const hash = createHash('sha1').update(`blob ${parts.reduce((sum, part) => sum + part.length, 0)}\0`);
    for (const part of parts) hash.update(part);
    return hash.digest('hex');
  };
  // The largest piece that one instruction copies: three bytes of length, from the beginning.
  const most = 2 ** 24 - 1;
  const delta = Buffer.from([
    ...size(base.length, 7),
    ...size(most * times, 7),
    ...Array.from({ length: times }, () => [0xf0, 0xff, 0xff, 0xff]).flat(),
  ]);
  const entry = (type: number, bytes: Buffer, before = Buffer.alloc(0)): Buffer => {
    const rest = Math.floor(bytes.length / 16);
    const head = [(rest > 0 ? 0x80 : 0) + type * 16 + (bytes.length % 16), ...(rest > 0 ? size(rest, 7) : [])];
    return Buffer.concat([Buffer.from(head), before, deflateSync(bytes)]);
  };
  const start = Buffer.from([...Buffer.from('PACK'), 0, 0, 0, 2, 0, 0, 0, 2]);
  const body = Buffer.concat([start, entry(3, base), entry(7, delta, Buffer.from(idOf([base]), 'hex'))]);
  const pack = Buffer.concat([body, createHash('sha1').update(body).digest()]);
  const git = async (args: readonly string[], stdin: string | Buffer): Promise<string> => {
    const result = await execInTest('git', ['-C', at.bareDir, ...args], { stdin });
    if (result.exitCode !== 0) throw new Error(result.stderr);
    return result.stdout.trim();
  };
  await git(['index-pack', '--stdin'], pack);
  const piece = base.subarray(0, most);
  const files = [`100644 blob ${idOf([base])}\tbase`, `100644 blob ${idOf(Array.from({ length: times }, () => piece))}\tlarge`];
  const root = await git(['mktree'], `${files.join('\n')}\n`);
  const sha = await git(['-c', 'user.name=a', '-c', 'user.email=a@b', 'commit-tree', '-m', 'swollen', root], '');
  await git(['update-ref', 'refs/heads/main', sha], '');
  return sha as CommitSha;
}

it('is refused when git needs too much memory for it, and the next one comes', async () => {
  const [fleet, a] = [await repository(), await repository()];
  const first = await a.commit({ text: 'one' }, 'a');
  const large = { '.gitmodules': gitmodules({ a: a.url }), a: { submodule: await swollen(a, 30) } } as const;
  const sha = await fleet.commit({ 'flake.nix': FLAKE, ...large }, 'first');
  const mirror = await opened(fleet, [], { maxMemoryBytes: 400 * 1024 ** 2 });
  await mirror.fetch(undefined);
  await expect(mirror.inspect(sha)).rejects.toMatchObject({
    code: 'SUBMODULES_REFUSED',
    retryable: false,
    message: expect.stringMatching(/git needs more than 400 MiB of memory to read the submodule a \(http/) as string,
  });
  expect((await readdir(join(dir, 'mirrors'), { recursive: true })).filter((name) => /tmp_pack|\.lock$/.test(name))).toEqual([]);
  const second = await fleet.commit({ a: { submodule: first } }, 'second');
  await mirror.fetch(sha);
  expect(await answers(mirror, second)).toMatchObject({ text: 'one' });
  await mirror[Symbol.asyncDispose]();
});

it.each([
  ['file', (at: OriginRepository) => `file://${at.bareDir}`, /the submodule "a": its url begins with file:/],
  ['a command', () => 'ext::sh -c id', /the submodule "a": its url is no address/],
  ['an option', () => '--upload-pack=id', /the submodule "a"/],
])('are refused by name: %s', async (_what, urlOf, message) => {
  const [fleet, a] = [await repository(), await repository()];
  const sha = await fleet.commit({ '.gitmodules': gitmodules({ a: urlOf(a) }), a: { submodule: await a.commit({ text: 'one' }, 'a') } }, 'first');
  const mirror = await opened(fleet);
  await mirror.fetch(undefined);
  await expect(mirror.inspect(sha)).rejects.toMatchObject({
    code: 'SUBMODULES_REFUSED',
    retryable: false,
    message: expect.stringMatching(message) as string,
  });
  await mirror[Symbol.asyncDispose]();
});

it('are no endless chain', async () => {
  let [sha, at] = [undefined as CommitSha | undefined, await repository()];
  for (let depth = 0; depth < 8; depth += 1) {
    const inner = nameOf(at);
    const files: Record<string, OriginEntry> =
      sha === undefined ? { text: '1' } : { '.gitmodules': gitmodules({ a: `../${inner}` }), a: { submodule: sha } };
    if (sha !== undefined) at = await repository();
    sha = await at.commit(files, 'x');
  }
  const mirror = await opened(at);
  await mirror.fetch(undefined);
  await expect(mirror.inspect(sha as CommitSha)).rejects.toThrow('in more than 5 submodules, such as a/a/a/a/a/a');
  await mirror[Symbol.asyncDispose]();
});

describe('private ones', () => {
  const place = (): string => `localhost:${new URL(closed.url).port}`;
  const secret = (text: string) => ({ setting: 'tokenFile', read: async () => await Promise.resolve(new Secret(text)) });

  it('come with the token for their git host, and name the setting without one', async () => {
    const [fleet, a] = [await repository(), await repository(closed)];
    const sub = await a.commit({ text: 'private' }, 'a');
    const url = `https://${place()}/${nameOf(a)}`;
    const sha = await fleet.commit({ 'flake.nix': FLAKE, '.gitmodules': gitmodules({ a: url }), a: { submodule: sub } }, 'first');
    const without = await opened(fleet);
    await without.fetch(undefined);
    await expect(without.inspect(sha)).rejects.toMatchObject({ retryable: true, message: expect.stringContaining('FLOE_INPUTS_FILE') as string });
    const mirror = await opened(fleet, [{ host: place(), user: 'x-access-token', token: secret(TOKEN), ssh: undefined }]);
    await mirror.fetch(undefined);
    expect(await answers(mirror, sha)).toMatchObject({ text: 'private' });
    for (const each of [without, mirror]) await each[Symbol.asyncDispose]();
  });

  it.each(['http', 'https'] as const)('give the token to no other port of their host, which redirects there by %s', async (protocol) => {
    const told: (string | undefined)[] = [];
    const listener = (req: IncomingMessage, res: ServerResponse): boolean => {
      told.push(JSON.stringify(req.rawHeaders));
      res.writeHead(401, { 'WWW-Authenticate': 'Basic realm="git"' }).end();
      return true;
    };
    await using other = await startGitOrigin({ ...(protocol === 'https' && { tls }), intercept: listener });
    let redirects = 0;
    await using moved = await startGitOrigin({
      tls,
      intercept: (req, res) => {
        redirects += 1;
        res.writeHead(302, { location: `${other.url.replace('127.0.0.1', 'localhost')}${req.url}` }).end();
        return true;
      },
    });
    const [fleet, a] = [await repository(), await repository(moved)];
    const host = `localhost:${new URL(moved.url).port}`;
    const gone = { '.gitmodules': gitmodules({ a: `https://${host}/${nameOf(a)}` }), a: { submodule: await a.commit({ text: 'one' }, 'a') } };
    const sha = await fleet.commit(gone, 'first');
    const mirror = await opened(fleet, [{ host, user: 'x-access-token', token: secret(TOKEN), ssh: undefined }]);
    await mirror.fetch(undefined);
    await expect(mirror.inspect(sha)).rejects.toMatchObject({ code: 'SUBMODULE_AWAY' });
    expect(redirects).toBeGreaterThan(0);
    expect(told.length > 0).toBe(protocol === 'https');
    const login = Buffer.from(`x-access-token:${TOKEN}`).toString('base64');
    expect(told.join('\n')).not.toContain(login);
    await mirror[Symbol.asyncDispose]();
  });

  it('come over SSH with the key for their git host', async () => {
    await using server = await startSshServer(join(dir, 'sshd'));
    const [fleet, a] = [await repository(), await repository(closed)];
    const sub = await a.commit({ text: 'by ssh' }, 'a');
    const url = `ssh://${server.user}@localhost:${server.port}${a.bareDir}`;
    const sha = await fleet.commit({ 'flake.nix': FLAKE, '.gitmodules': gitmodules({ a: url }), a: { submodule: sub } }, 'first');
    const access = { host: 'localhost', user: 'x', token: undefined, ssh: { key: secret(server.key), knownHosts: [server.knownHost] } };
    const mirror = await opened(fleet, [access]);
    await mirror.fetch(undefined);
    expect(await answers(mirror, sha)).toMatchObject({ text: 'by ssh' });
    await mirror[Symbol.asyncDispose]();
  });
});

it('are fetched once, also when the mirror was lost', async () => {
  const [fleet, a] = [await repository(), await repository()];
  const sha = await fleet.commit(
    { 'flake.nix': FLAKE, '.gitmodules': gitmodules({ a: a.url }), a: { submodule: await a.commit({ text: 'one' }, 'a') } },
    'first',
  );
  const folder = join(dir, 'mirrors', 'lost.git');
  const open = async (): Promise<GitMirror> =>
    mirrorOf(await openMirror({ dir: folder, url: fleet.url, branch: 'main', logger: silentLogger }), folder, fleet.url);
  for (const _ of [1, 2]) {
    const mirror = await open();
    await mirror.fetch(undefined);
    expect(await answers(mirror, sha)).toMatchObject({ text: 'one' });
    await mirror[Symbol.asyncDispose]();
    await rm(folder, { recursive: true });
  }
  expect(uploads(a)).toBe(1);
});
