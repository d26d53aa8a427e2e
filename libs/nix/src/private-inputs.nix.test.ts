import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { HostName } from '@floe/model';
import { exec, execInTest, Secret, silentLogger, type Exec, type SecretSource } from '@floe/runtime';
import { startGitOrigin, startSshServer, type GitOrigin, type SshServer } from '@floe/testkit';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createAskRemote, createNix, createRepositoryNix, openSandbox, type HostEvaluation, type InputAccess, type RepositoryNix } from './index.ts';
import { commitFlake, SYSTEM } from './test/worlds.ts';

// Private inputs on real servers: what is needed comes, and the login goes nowhere else.

const TOKEN = `TOKEN${Date.now()}x`;
const limits = { timeoutMs: 60_000, maxMemoryBytes: 4 * 1024 ** 3, signal: new AbortController().signal };
const SETTINGS = ['experimental-features = nix-command flakes', 'substituters =', 'sandbox = false', 'build-users-group =', 'download-attempts = 1'];

let dir = '';
let tls: { key: string; cert: string };
let env: NodeJS.ProcessEnv;
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'floe-private-'));
  await mkdir(join(dir, 'mirror'));
  // What the sandbox shows of the folder for temporary files.
  const [key, cert] = [join(dir, 'key.pem'), join(dir, 'mirror/cert.pem')];
  const subject = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost,DNS:api.localhost,IP:127.0.0.1'];
  const made = await execInTest('openssl', ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-keyout', key, '-out', cert, ...subject]);
  if (made.exitCode !== 0) throw new Error(made.stderr);
  tls = { key: await readFile(key, 'utf8'), cert: await readFile(cert, 'utf8') };
  env = { PATH: process.env['PATH'], HOME: '/nowhere', NIX_CONFIG: SETTINGS.join('\n'), NIX_SSL_CERT_FILE: cert, GIT_SSL_CAINFO: cert };
});
afterAll(async () => {
  await exec('chmod', ['-R', 'u+w', dir], { timeoutMs: 60_000 });
  await rm(dir, { recursive: true, force: true });
});

/** What programs were started with, as everybody on the machine can see. */
let seen: string[] = [];
let headers: (string | undefined)[] = [];
let intercept: ((req: IncomingMessage, res: ServerResponse) => boolean) | undefined;
let origin: GitOrigin;
beforeEach(async () => {
  [seen, headers, intercept] = [[], [], undefined];
  origin = await startGitOrigin({
    tls,
    token: TOKEN,
    intercept: (req, res) => {
      seen.push(...commandLines());
      headers.push(req.headers.authorization);
      return intercept?.(req, res) === true;
    },
  });
});
afterEach(async () => {
  await origin[Symbol.asyncDispose]();
});

function commandLines(): string[] {
  const { readdirSync, readFileSync } = process.getBuiltinModule('node:fs');
  return readdirSync('/proc').flatMap((pid) => {
    if (!/^\d+$/.test(pid)) return [];
    try {
      return [readFileSync(`/proc/${pid}/cmdline`, 'utf8')];
    } catch {
      return [];
    }
  });
}

const recorded: Exec = async (file, args, options) => {
  seen.push([file, ...args].join(' '));
  return await exec(file, args, options);
};
const secret = (text: string): SecretSource => ({ setting: 'tokenFile', read: async () => await Promise.resolve(new Secret(text)) });
/** The port of the origin, under the name of this machine, which is another host than 127.0.0.1. */
const place = (): string => `localhost:${new URL(origin.url).port}`;
const access = (token = TOKEN): InputAccess => ({ host: place(), user: 'x-access-token', token: secret(token), ssh: undefined });

let opened = 0;
async function nixWith(...inputAccess: readonly InputAccess[]): Promise<{ nix: RepositoryNix; folder: string }> {
  opened += 1;
  const folder = join(dir, `sandbox-${opened}`);
  const sandbox = await openSandbox(
    { exec: recorded, env, dir: folder, readable: [join(dir, 'mirror')] },
    { secrets: [], programs: [], nonce: folder, mayBuildsChangeStore: true },
  );
  const own = createNix({ exec, logger: silentLogger, env });
  return { nix: createRepositoryNix({ exec: recorded, logger: silentLogger, sandbox, inputAccess, askRemote: createAskRemote(env) }, own), folder };
}

async function evaluate(nix: RepositoryNix, url: string): Promise<HostEvaluation> {
  const results: HostEvaluation[] = [];
  await nix.evaluateHosts(url, ['ada' as HostName], { ...limits, concurrency: 1, onResult: (result) => results.push(result) });
  const [result] = results;
  if (result === undefined) throw new Error('no result');
  return result;
}

let made = 0;
/** A private repository, and how flake.lock names its commit. */
async function privateInput(
  files: Record<string, string> = {},
): Promise<{ url: string; attributes: Record<string, unknown>; folder: string; bareDir: string }> {
  made += 1;
  const repository = await origin.repository(`lib${made}`);
  const rev = await repository.commit(
    { 'flake.nix': '{ outputs = { self }: { text = "private"; }; }', unique: `${Date.now()} ${made}`, ...files },
    'One',
  );
  const lastModified = Number(await repository.git('log', '-1', '--format=%ct'));
  const folder = join(dir, `lib-${rev}`);
  await execInTest('git', ['clone', '-q', repository.bareDir, folder]);
  await rm(join(folder, '.git'), { recursive: true });
  const hashed = await execInTest('nix', ['hash', 'path', folder], { env: { ...process.env, NIX_CONFIG: SETTINGS.join('\n') } });
  const url = `https://${place()}/lib${made}.git`;
  return {
    url,
    folder,
    bareDir: repository.bareDir,
    attributes: { narHash: hashed.stdout.trim(), rev, revCount: 1, lastModified, ref: 'refs/heads/main' },
  };
}

const TOPLEVEL = `derivation { name = "t"; system = "${SYSTEM}"; builder = "/bin/sh"; args = [ "-c" "echo \${lib.text} > $out" ]; }`;
async function fleet(input: { readonly locked: object; readonly original: object; readonly url: string }, toplevel = TOPLEVEL): Promise<string> {
  const { locked, original, url } = input;
  return await commitFlake(join(dir, 'mirror'), {
    'flake.nix': `{ inputs.lib.url = "${url}"; outputs = { self, lib }: { nixosConfigurations.ada.config.system.build.toplevel = ${toplevel}; }; }`,
    'flake.lock': JSON.stringify({ nodes: { lib: { locked, original }, root: { inputs: { lib: 'lib' } } }, root: 'root', version: 7 }),
  });
}

async function gitFleet(toplevel?: string): Promise<string> {
  const { url, attributes } = await privateInput();
  const { ref, ...rest } = attributes;
  return await fleet(
    { url: `git+${url}?ref=main`, locked: { type: 'git', url, ref, ...rest }, original: { type: 'git', url, ref: 'main' } },
    toplevel,
  );
}

async function texts(folder: string): Promise<string> {
  const names = (await readdir(folder, { recursive: true, withFileTypes: true })).filter((entry) => entry.isFile());
  return (await Promise.all(names.map(async (entry) => await readFile(join(entry.parentPath, entry.name), 'latin1')))).join('\n');
}

/** A lock file with these inputs, of which nothing is in the store: `lib`, or `none` and `away`. */
function lockOf(...named: readonly object[]): string {
  const names = named.length === 1 ? ['lib'] : ['none', 'away'];
  const nodes = named.map((original, index) => [
    names[index] ?? '',
    { locked: { ...original, rev: 'a'.repeat(40), narHash: `sha256-${'A'.repeat(42)}${index + 5}=`, lastModified: 1, revCount: 1 }, original },
  ]);
  return JSON.stringify({
    nodes: { ...Object.fromEntries(nodes), root: { inputs: Object.fromEntries(names.map((name) => [name, name])) } },
    root: 'root',
    version: 7,
  });
}

const ENCODED = Buffer.from(`x-access-token:${TOKEN}`).toString('base64');
function expectNoToken(text: string): void {
  expect(text).not.toContain(TOKEN);
  expect(text).not.toContain(ENCODED);
}

describe('with a token, a private input', { timeout: 120_000 }, () => {
  it('over git is fetched, evaluated and built, and the token is nowhere', async () => {
    const url = await gitFleet();
    const { nix, folder } = await nixWith(access());
    expect(await nix.listHosts(url, limits)).toMatchObject({ hosts: ['ada'] });
    const result = await evaluate(nix, url);
    if (result.kind !== 'evaluated') throw new Error(JSON.stringify(result));
    expect(await nix.build(result, { ...limits, root: join(dir, `root-${made}`) })).toMatchObject({ kind: 'built' });
    expect(await readFile(result.toplevel, 'utf8')).toBe('private\n');
    expect(headers).toContain(`Basic ${ENCODED}`);
    // Git itself was seen.
    expect(seen.join('\n')).toContain('git-remote-https');
    expectNoToken(seen.join('\n'));
    expectNoToken(await texts(folder));
    expectNoToken(JSON.stringify(result));
    for (const path of [...(await nix.sourcesOf(result.drvPath)), result.drvPath])
      expectNoToken((await execInTest('grep', ['-ra', 'TOKEN', path])).stdout);
  });

  it('over git+ssh is fetched over https, with its lock unchanged', async () => {
    const { url, attributes } = await privateInput();
    const { ref, ...rest } = attributes;
    const ssh = url.replace('https://', 'ssh://git@');
    const flake = await fleet({
      url: `git+${ssh}?ref=main`,
      locked: { type: 'git', url: ssh, ref, ...rest },
      original: { type: 'git', url: ssh, ref: 'main' },
    });
    const { nix } = await nixWith(access());
    expect(await evaluate(nix, flake)).toMatchObject({ kind: 'evaluated' });
    expect(headers).toContain(`Basic ${ENCODED}`);
  });

  it.each([
    ['a tarball', (at: string) => ({ type: 'tarball', url: `https://${at}/lib.tar.gz` }), /^\/lib\.tar\.gz$/, 'authorization', `Basic ${ENCODED}`],
    [
      'GitHub',
      (at: string) => ({ type: 'github', host: at, owner: 'o', repo: 'r' }),
      /^(?:\/api\/v3)?\/repos\/o\/r\/tarball\//,
      'authorization',
      `token ${TOKEN}`,
    ],
    [
      'GitLab',
      (at: string) => ({ type: 'gitlab', host: at, owner: 'o', repo: 'r' }),
      /^\/api\/v4\/projects\/o%2Fr\/repository\/archive/,
      'private-token',
      TOKEN,
    ],
  ])('of %s is fetched', async (_what, reference, path, header, value) => {
    const { attributes, folder } = await privateInput();
    const packed = `${folder}.tar.gz`;
    const tar = await execInTest('tar', [
      'czf',
      packed,
      `--mtime=@${String(attributes['lastModified'])}`,
      '-C',
      join(folder, '..'),
      folder.slice(folder.lastIndexOf('/') + 1),
    ]);
    expect(tar.exitCode).toBe(0);
    const body = await readFile(packed);
    const asked: string[] = [];
    intercept = (req, res) => {
      asked.push(req.url ?? '');
      if (!path.test(req.url ?? '') || req.headers[header] !== value) res.writeHead(401).end();
      else res.writeHead(200, { 'content-type': 'application/gzip' }).end(body);
      return true;
    };
    const { narHash, rev, lastModified } = attributes;
    const named = reference(place());
    const flake =
      'url' in named
        ? await fleet({ url: named.url, locked: { ...named, narHash }, original: named })
        : // A flake cannot name a port there, and Nix does not mind one in its lock.
          await fleet({
            url: `${named.type}:o/r?host=localhost`,
            locked: { ...named, narHash, lastModified, rev },
            original: { ...named, host: 'localhost' },
          });
    const { nix } = await nixWith(access());
    const result = await evaluate(nix, flake);
    expect(result, JSON.stringify({ result, asked })).toMatchObject({ kind: 'evaluated' });
    expectNoToken(seen.join('\n'));
  });

  it('gives the token to no other host, also when its own redirects there', async () => {
    const told: (string | undefined)[] = [];
    await using other = await startGitOrigin({
      tls,
      intercept: (req, res) => {
        told.push(req.headers.authorization, JSON.stringify(req.rawHeaders));
        res.writeHead(401, { 'WWW-Authenticate': 'Basic realm="git"' }).end();
        return true;
      },
    });
    const flakes = [await gitFleet()];
    intercept = (req, res) => {
      res.writeHead(302, { location: `${other.url}${req.url}` }).end();
      return true;
    };
    const { attributes } = await privateInput();
    const { narHash, rev, lastModified, ref, revCount } = attributes;
    const https = `${other.url}/lib.git`;
    flakes.push(
      await fleet({
        url: `git+${https}?ref=main`,
        locked: { type: 'git', url: https, narHash, rev, lastModified, ref, revCount },
        original: { type: 'git', url: https, ref: 'main' },
      }),
    );
    const tarball = `https://${place()}/lib.tar.gz`;
    const named = { type: 'tarball', url: tarball };
    flakes.push(await fleet({ url: tarball, locked: { ...named, narHash }, original: named }));
    const { nix } = await nixWith(access());
    for (const flake of flakes) expect(await evaluate(nix, flake)).toMatchObject({ kind: 'failed' });
    expect(told.length).toBeGreaterThan(4);
    expectNoToken(told.join('\n'));
  });

  it.each([
    ['another port', 'asked without a login', true],
    ['another port', 'asked with it', true],
    ['plain http', 'asked without a login', false],
    ['plain http', 'asked with it', false],
  ] as const)('over git gives the token not to %s of its host, which redirects there when %s', async (_where, when, isTls) => {
    const told: (string | undefined)[] = [];
    await using other = await startGitOrigin({
      ...(isTls && { tls }),
      intercept: (req, res) => {
        told.push(JSON.stringify(req.rawHeaders));
        res.writeHead(401, { 'WWW-Authenticate': 'Basic realm="git"' }).end();
        return true;
      },
    });
    const flake = await gitFleet();
    let redirects = 0;
    intercept = (req, res) => {
      if (when === 'asked with it' && req.headers.authorization === undefined) return false;
      redirects += 1;
      res.writeHead(302, { location: `${other.url.replace('127.0.0.1', 'localhost')}${req.url}` }).end();
      return true;
    };
    const { nix } = await nixWith(access());
    expect(await evaluate(nix, flake)).toMatchObject({ kind: 'failed' });
    expect(redirects).toBeGreaterThan(0);
    // Plain http is asked by the evaluation alone, which has no login.
    if (isTls) expect(told).not.toEqual([]);
    expectNoToken(told.join('\n'));
  });

  it('shows the token to no code of the flake, and to nobody when the server repeats it', async () => {
    const look = `env; ls -Ra $HOME /tmp; cat $HOME/.netrc $HOME/.git-login $HOME/.* /tmp/*; tr '\\0' ' ' < /proc/self/environ; for p in /proc/[0-9]*; do cat $p/environ $p/cmdline; done`;
    const builder = `derivation { name = "look-${Date.now()}"; system = "${SYSTEM}"; builder = "/bin/sh"; PATH = "/usr/bin:/bin"; args = [ "-c" ''{ export HOME=${dir}/sandbox-${opened + 1}/home; ${look}; } 2>&1 | tr -d '\\0' > $out'' ]; }`;
    const flake = await gitFleet(`throw (lib.text + builtins.readFile (${builder}) + builtins.getEnv "NIX_CONFIG")`);
    const { nix } = await nixWith(access());
    const result = await evaluate(nix, flake);
    if (result.kind !== 'failed') throw new Error('it was evaluated');
    expect(result.error).toMatch(/^private/);
    expect(result.error).toContain('PATH=');
    expectNoToken(JSON.stringify(result));
    intercept = (req, res) => {
      res.writeHead(500, { 'content-type': 'text/plain' }).end(`you sent ${req.headers.authorization} and ${TOKEN}`);
      return true;
    };
    const repeated = await evaluate(nix, await gitFleet());
    expect(repeated).toMatchObject({ kind: 'failed' });
    expectNoToken(JSON.stringify(repeated));
  });

  it('is fetched when others cannot be had', async () => {
    const { url, attributes } = await privateInput();
    const locked = { type: 'git', url, ...attributes };
    const away = Array.from({ length: 4 }, (_, index) => `a${index}`);
    const node = (port: number) => ({ type: 'tarball', url: `https://127.0.0.1:${port}/x.tar.gz` });
    const nodes = Object.fromEntries(
      away.map((name, index) => [name, { locked: { ...node(index + 1), narHash: `sha256-${'A'.repeat(42)}${index}=` }, original: node(index + 1) }]),
    );
    const inputs = away.map((name, index) => `${name}.url = "https://127.0.0.1:${index + 1}/x.tar.gz";`).join(' ');
    const flake = await commitFlake(join(dir, 'mirror'), {
      'flake.nix': `{ inputs = { ${inputs} lib.url = "git+${url}?ref=main"; }; outputs = inputs@{ self, lib, ... }: { nixosConfigurations.ada.config.system.build.toplevel = ${TOPLEVEL}; }; }`,
      'flake.lock': JSON.stringify({
        nodes: {
          ...nodes,
          lib: { locked, original: { type: 'git', url, ref: 'main' } },
          root: { inputs: Object.fromEntries([...away, 'lib'].map((name) => [name, name])) },
        },
        root: 'root',
        version: 7,
      }),
    });
    const { nix } = await nixWith(access());
    expect(await evaluate(nix, flake)).toMatchObject({ kind: 'evaluated' });
  });
});

describe('with a key, a private input over SSH', { timeout: 120_000 }, () => {
  let server: SshServer;
  beforeAll(async () => {
    server = await startSshServer(join(dir, 'sshd'));
  });
  afterAll(async () => {
    await server[Symbol.asyncDispose]();
  });
  const withKey = (key = server.key, ...knownHosts: readonly string[]): InputAccess => ({
    host: 'localhost',
    user: 'x-access-token',
    token: secret(TOKEN),
    ssh: { key: secret(key), knownHosts: knownHosts.length === 0 ? [server.knownHost] : knownHosts },
  });
  async function sshFleet(toplevel?: string, at = server.port): Promise<string> {
    const { bareDir, attributes } = await privateInput();
    const url = `ssh://${server.user}@localhost:${at}${bareDir}`;
    const { ref, ...rest } = attributes;
    return await fleet(
      { url: `git+${url}?ref=main`, locked: { type: 'git', url, ref, ...rest }, original: { type: 'git', url, ref: 'main' } },
      toplevel,
    );
  }
  /** In the middle of the private key. */
  const secretPart = (): string => server.key.split('\n').slice(2, 4).join('');

  it('is fetched, evaluated and built with its lock unchanged, and the key is nowhere', async () => {
    const url = await sshFleet();
    const { nix, folder } = await nixWith(withKey());
    expect(await nix.listHosts(url, limits)).toMatchObject({ hosts: ['ada'] });
    const result = await evaluate(nix, url);
    if (result.kind !== 'evaluated') throw new Error(`${JSON.stringify(result)} ${server.log()}`);
    expect(await nix.build(result, { ...limits, root: join(dir, `root-${made}`) })).toMatchObject({ kind: 'built' });
    expect(await readFile(result.toplevel, 'utf8')).toBe('private\n');
    expect(server.log()).toContain('Accepted publickey');
    for (const text of [seen.join('\n'), await texts(folder), JSON.stringify(result)]) expect(text.replaceAll('\n', '')).not.toContain(secretPart());
    for (const path of await nix.sourcesOf(result.drvPath)) expect((await execInTest('grep', ['-ra', 'PRIVATE KEY', path])).stdout).toBe('');
    // Asked by the key, and not over https.
    expect(headers).toEqual([]);
  });

  it('shows the key to no code of the flake', async () => {
    const look = `env; ls -Ra $HOME /tmp; cat $HOME/* $HOME/.* /tmp/*; for p in /proc/[0-9]*; do cat $p/environ $p/cmdline; done`;
    const builder = `derivation { name = "look-${Date.now()}"; system = "${SYSTEM}"; builder = "/bin/sh"; PATH = "/usr/bin:/bin"; args = [ "-c" ''{ export HOME=${dir}/sandbox-${opened + 1}/home; ${look}; } 2>&1 | tr -d '\\0\\n' > $out'' ]; }`;
    const result = await evaluate((await nixWith(withKey())).nix, await sshFleet(`throw (lib.text + builtins.readFile (${builder}))`));
    if (result.kind !== 'failed') throw new Error('it was evaluated');
    expect(result.error).toMatch(/^private/);
    expect(result.error).not.toContain(secretPart());
    expect(result.error).not.toContain('GIT_SSH_COMMAND');
  });

  it.each([
    ['for a key that it does not admit', () => withKey(server.otherKey)],
    ['for a host whose key is another one than is known', () => withKey(server.key, server.knownHost.replace(/ AAAA\S+/, ` ${'A'.repeat(68)}`))],
    ['for a host that nobody knows', () => withKey(server.key, server.knownHost.replace('localhost', 'git.example.org'))],
  ])('is refused %s: what to check is said, and it is not tried again', async (_why, using) => {
    const result = await evaluate((await nixWith(using())).nix, await sshFleet());
    expect(result).toMatchObject({ kind: 'failed', code: 'INPUT_REFUSED', isRetryable: false });
    const error = 'error' in result ? result.error : '';
    expect(error).toContain(
      'see that the key of inputs."localhost".sshKeyFile may read it, and that inputs."localhost".knownHosts has the key of the host',
    );
    expect(error).toContain(`what "ssh-keyscan -p ${server.port} localhost" prints`);
    // Why, in the words of ssh.
    expect(error).toMatch(/Host key verification failed|Permission denied/);
    expect(error.replaceAll('\n', '')).not.toContain(secretPart());
  });

  it('is tried again when its server is away', async () => {
    expect(await evaluate((await nixWith(withKey())).nix, await sshFleet(undefined, 9))).toMatchObject({
      kind: 'failed',
      code: 'INPUT_AWAY',
      isRetryable: true,
    });
  });
});

describe('an input that is refused', { timeout: 120_000 }, () => {
  const refused = { kind: 'failed', code: 'INPUT_REFUSED', isRetryable: false };
  const ofGit = async (url: string, nix: RepositoryNix): Promise<HostEvaluation> => {
    const named = { type: 'git', url, ref: 'main' };
    const locked = { ...named, rev: 'a'.repeat(40), narHash: `sha256-${'A'.repeat(43)}=`, lastModified: 1, revCount: 1 };
    return await evaluate(nix, await fleet({ url: `git+${url}?ref=main`, locked, original: named }));
  };

  it.each([
    [
      'without a token',
      () => [],
      (at: string) => `${at} gives no access to it, or has no such thing: if it is private, set inputs."${at}".tokenFile of this server`,
    ],
    [
      'for a wrong token',
      () => [access('wrong')],
      (at: string) => `${at} gives no access to it, or has no such thing: see that the token of inputs."${at}".tokenFile may read it`,
    ],
  ])('%s names the host and the setting, and is not tried again', async (_why, all, message) => {
    const { nix } = await nixWith(...all());
    const url = await gitFleet();
    const result = await evaluate(nix, url);
    expect(result).toMatchObject({
      ...refused,
      error: expect.stringContaining(`cannot fetch input lib (https://${place()}/lib${made}.git): ${message(place())}`) as string,
    });
    expectNoToken(JSON.stringify(result));
    const needed = await commitFlake(join(dir, 'mirror'), {
      'flake.nix': `{ inputs.lib.url = "git+https://${place()}/none.git?ref=main"; outputs = { self, lib }: { nixosConfigurations = lib.hosts; }; }`,
      'flake.lock': lockOf({ type: 'git', url: `https://${place()}/none.git`, ref: 'main' }),
    });
    await expect(nix.listHosts(needed, limits)).rejects.toMatchObject({
      code: 'INPUT_REFUSED',
      retryable: false,
      message: expect.stringContaining(message(place())) as string,
    });
  });

  it('because it is not there with any token, is said', async () => {
    expect(await ofGit(`https://${place()}/none.git`, (await nixWith(access())).nix)).toMatchObject({
      ...refused,
      error: expect.stringContaining('has no such thing') as string,
    });
  });

  it('over SSH, without any login, is said at once', async () => {
    const result = await ofGit('ssh://git@git.example.org/lib.git', (await nixWith(access())).nix);
    expect(result).toMatchObject({
      ...refused,
      error: expect.stringContaining(
        'SSH needs a login: if it is private, set inputs."git.example.org".sshKeyFile and knownHosts of this server',
      ) as string,
    });
  });

  it('over plain http gets no token, and is said', async () => {
    await using bare = await startGitOrigin({ token: TOKEN });
    const { port } = new URL(bare.url);
    const result = await ofGit(`http://localhost:${port}/none.git`, (await nixWith({ ...access(), host: `localhost:${port}` })).nix);
    expect(result).toMatchObject({ ...refused, error: expect.stringContaining('a token is not sent over http://') as string });
    expect(bare.requests.every(({ status }) => status === 401)).toBe(true);
  });

  it('because it is a folder of another machine, is said', async () => {
    const named = { type: 'path', path: '/home/ada/lib' };
    const flake = await fleet({
      url: 'path:/home/ada/lib',
      locked: { ...named, narHash: `sha256-${'A'.repeat(43)}=`, lastModified: 1 },
      original: named,
    });
    const result = await evaluate((await nixWith()).nix, flake);
    expect(result).toMatchObject({
      ...refused,
      error: expect.stringContaining('input lib (path:/home/ada/lib): it is a folder of the machine where flake.lock was written') as string,
    });
  });

  it.each([500, 502, 503, 429, 302])('is something else than one whose server answers with %s: that one is tried again', async (status) => {
    intercept = (_req, res) => {
      res.writeHead(status, { location: '/elsewhere' }).end();
      return true;
    };
    expect(await evaluate((await nixWith(access())).nix, await gitFleet())).toMatchObject({ kind: 'failed', code: 'INPUT_AWAY', isRetryable: true });
  });

  it('ends nothing while another one may come', async () => {
    const flake = await commitFlake(join(dir, 'mirror'), {
      'flake.nix': `{ inputs = { away.url = "git+http://127.0.0.1:9/a.git?ref=main"; none.url = "git+https://${place()}/none.git?ref=main"; }; outputs = { self, away, none }: { nixosConfigurations.ada = away.ada; }; }`,
      'flake.lock': lockOf(
        { type: 'git', url: `https://${place()}/none.git`, ref: 'main' },
        { type: 'git', url: 'http://127.0.0.1:9/a.git', ref: 'main' },
      ),
    });
    expect(await evaluate((await nixWith(access())).nix, flake)).toMatchObject({ code: 'INPUT_AWAY', isRetryable: true });
  });
});

it('writes no file that others of the machine can read', async () => {
  const { nix, folder } = await nixWith(access());
  const modes: number[] = [];
  intercept = () => {
    const { readdirSync, statSync } = process.getBuiltinModule('node:fs');
    for (const run of readdirSync(join(folder, 'runs')))
      for (const name of readdirSync(join(folder, 'runs', run, 'home')))
        if (name === '.git-login') modes.push(statSync(join(folder, 'runs', run, 'home', name)).mode & 0o777);
    return false;
  };
  await evaluate(nix, await gitFleet());
  expect(new Set(modes)).toEqual(new Set([0o600]));
  await writeFile(join(dir, 'done'), '');
  expect(await readdir(join(folder, 'runs'))).toEqual([]);
});
