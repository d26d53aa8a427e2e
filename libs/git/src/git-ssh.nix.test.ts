import { chmod, chown, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { readdirSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { execInTest, isFloeError, silentLogger } from '@floe/runtime';
import { startGitOrigin, startSshServer, type GitOrigin, type OriginRepository, type SshServer } from '@floe/testkit';
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import {
  DEFAULT_REPOSITORY_LIMITS,
  findDefaultBranch,
  openMirror,
  type FetchProgress,
  type GitMirror,
  type MirrorOptions,
  type SshLogin,
} from './index.ts';
import { encodePacket } from './pkt-line.ts';
import { mirrorHere } from './test/mirror-here.ts';

// A real sshd and real git at the server. What comes is counted and checked by the code that does it for HTTP: hostile-server.test.ts, limits.test.ts.
vi.setConfig({ testTimeout: 120_000, hookTimeout: 60_000 });

const MIB = 1024 ** 2;
let dir: string;
let server: SshServer;
let origin: GitOrigin;
let login: SshLogin;
let admitted: string;
let count = 0;
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "floe ssh 50% o'f-"));
  server = await startSshServer(await plainFolder());
  origin = await startGitOrigin();
  login = { keyFile: await file(`${server.key}\n`), knownHostsFile: await file(`${server.knownHost}\n`), searchPath: process.env['PATH'] };
  admitted = await readFile(server.admittedFile, 'utf8');
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
  await origin[Symbol.asyncDispose]();
  for (const folder of [dir, ...plainFolders]) await rm(folder, { recursive: true, force: true });
});
beforeEach(async () => await writeFile(server.admittedFile, admitted));

const plainFolders: string[] = [];
/** One whose name no shell, and no configuration of sshd, could misread. */
async function plainFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'floe-ssh-'));
  plainFolders.push(folder);
  return folder;
}

async function file(content: string): Promise<string> {
  const path = join(dir, `file ${++count}`);
  await writeFile(path, content, { mode: 0o600 });
  return path;
}

/** What the server does instead of what it is asked. */
async function instead(script: string): Promise<void> {
  await writeFile(server.admittedFile, `command="sh ${await served(`${script}\n`)}" ${admitted}`);
}

/** A file whose name no shell could misread. */
async function served(content: string): Promise<string> {
  const path = join(dirname(server.admittedFile), `served-${++count}`);
  await writeFile(path, content);
  return path;
}

const at = ({ bareDir }: OriginRepository): string => `ssh://${server.user}@localhost:${server.port}${bareDir}`;
const repository = async (): Promise<OriginRepository> => await origin.repository(`fleet${++count}`);
const options = (url: string, more: Partial<MirrorOptions> = {}): MirrorOptions => ({
  dir: join(dir, `mirror ${++count}`),
  url,
  branch: 'main',
  ssh: login,
  logger: silentLogger,
  ...more,
});
const mirrorOf = (url: string, more: Partial<MirrorOptions> = {}): GitMirror & { readonly dir: string } => mirrorHere(options(url, more));

async function failureOf(promise: Promise<unknown>): Promise<{ code: string; message: string; retryable: boolean }> {
  const error: unknown = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (!isFloeError(error)) throw new Error('no failure of ours', { cause: error });
  return { code: error.code, message: error.message, retryable: error.retryable };
}

/** The programs ssh that are connected to the server. */
function running(): string[] {
  return readdirSync('/proc').flatMap((pid) => {
    try {
      const words = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
      return words[0] === 'ssh' && words.includes(`${server.port}`) ? [words.join(' ')] : [];
    } catch {
      return [];
    }
  });
}

describe('a mirror over SSH', () => {
  it('clones, finds nothing new, advances, and tells a force-push and a branch that is gone', async () => {
    const fleet = await repository();
    const url = at(fleet);
    const first = await fleet.commit({ 'flake.nix': '{ }\n', 'hosts/ada.nix': 'one\n' }, 'first');
    const progress: FetchProgress[] = [];
    await using mirror = await openMirror(options(url, { onProgress: (each) => progress.push(each) }));
    expect(await mirror.fetch(undefined)).toEqual({ kind: 'advanced', head: first, from: undefined });
    expect(progress.length).toBeGreaterThan(0);
    expect(await mirror.fetch(first)).toEqual({ kind: 'unchanged', head: first });
    await fleet.commit({ 'hosts/ada.nix': 'two\n' }, 'second');
    const third = await fleet.commit({ 'hosts/ben.nix': 'one\n' }, 'third');
    expect(await mirror.fetch(first)).toEqual({ kind: 'advanced', head: third, from: first });
    expect(await mirror.changedPaths(first, third)).toEqual([
      { path: 'hosts/ada.nix', kind: 'modified' },
      { path: 'hosts/ben.nix', kind: 'added' },
    ]);
    expect(await mirror.inspect(third)).toMatchObject({ problem: undefined });
    const other = await fleet.rewrite({ 'hosts/ben.nix': 'two\n' }, 'again');
    expect(await mirror.fetch(third)).toEqual({ kind: 'diverged', head: other, accepted: third });
    await fleet.commit({ a: '1' }, 'elsewhere', { branch: 'testing/ada' });
    await fleet.deleteBranch('main');
    expect(await failureOf(mirror.fetch(third))).toMatchObject({
      code: 'BRANCH_NOT_FOUND',
      retryable: false,
      message: expect.stringContaining('set FLOE_REPOSITORY_BRANCH to one that it has') as string,
    });
  });

  it('finds the default branch, lists branches, and merges its packs', async () => {
    const fleet = await repository();
    let head = await fleet.commit({ a: '0' }, 'first');
    await fleet.commit({ a: '1' }, 'elsewhere', { branch: 'testing/ada' });
    expect(await findDefaultBranch(options(at(fleet)))).toBe('main');
    const mirror = mirrorHere({ ...options(at(fleet)), maxPacks: 2 });
    expect(await mirror.branches('testing/')).toMatchObject({ isComplete: true, branches: [{ name: 'testing/ada' }] });
    await mirror.fetch(undefined);
    for (let index = 0; index < 3; index++) {
      const accepted = head;
      head = await fleet.commit({ a: `more ${index}` }, 'more');
      expect(await mirror.fetch(accepted)).toMatchObject({ kind: 'advanced', head });
    }
    expect(await mirror.fetch(head)).toEqual({ kind: 'unchanged', head });
    expect((await readdir(join(mirror.dir, 'objects/pack'))).filter((name) => name.endsWith('.pack'))).toHaveLength(1);
    expect((await execInTest('git', ['--git-dir', mirror.dir, 'fsck', '--strict'], {})).exitCode).toBe(0);
  });

  it('takes an address in the short form, from the home of the user', async () => {
    const fleet = await repository();
    const head = await fleet.commit({ a: '1' }, 'first');
    // In that form there is no place for a port.
    const mirror = mirrorOf(`${server.user}@localhost:${fleet.bareDir}`, { ssh: { ...login, searchPath: await withPort(server.port) } });
    expect(await mirror.fetch(undefined)).toMatchObject({ kind: 'advanced', head });
  });

  it('an empty repository is said to be empty', async () => {
    expect(await failureOf(mirrorOf(at(await repository())).fetch(undefined))).toMatchObject({
      code: 'BRANCH_NOT_FOUND',
      message: expect.stringContaining('is empty: push a first commit to main') as string,
    });
  });

  it('ssh gets nothing of this process but where programs are', async () => {
    const fleet = await repository();
    await fleet.commit({ a: '1' }, 'first');
    const [variables, args] = [await file(''), await file('')];
    const searchPath = await sshThat(`env > "${variables}"; printf '%s\\n' "$@" > "${args}"; exec "$real" "$@"`);
    process.env['SSH_AUTH_SOCK'] = '/none';
    try {
      await mirrorOf(at(fleet), { ssh: { ...login, searchPath } }).fetch(undefined);
    } finally {
      delete process.env['SSH_AUTH_SOCK'];
    }
    // What the shell adds, and what marks the processes of a run.
    const others = new Set(['PWD', 'OLDPWD', 'SHLVL', '_', 'EXECUTION_ID']);
    const names = (await readFile(variables, 'utf8')).split('\n').flatMap((line) => /^(\w+)=/.exec(line)?.[1] ?? []);
    expect(names.filter((name) => !others.has(name)).toSorted()).toEqual(['LC_ALL', 'PATH']);
    const given = (await readFile(args, 'utf8')).split('\n');
    expect(given.slice(0, 2)).toEqual(['-F', 'none']);
    for (const option of ['BatchMode=yes', 'StrictHostKeyChecking=yes', 'IdentitiesOnly=yes', 'IdentityAgent=none', 'GlobalKnownHostsFile=/dev/null'])
      expect(given).toContain(option);
  });
});

/** The PATH with an ssh that runs `script`; `$real` is the real one. */
async function sshThat(script: string): Promise<string> {
  const folder = await plainFolder();
  const real = (await execInTest('sh', ['-c', 'command -v ssh'])).stdout.trim();
  await writeFile(join(folder, 'ssh'), `#!/bin/sh\nreal=${real}\n${script}\n`);
  await chmod(join(folder, 'ssh'), 0o755);
  return `${folder}:${process.env['PATH']}`;
}

async function withPort(port: number): Promise<string> {
  return await sshThat(`exec "$real" -p ${port} "$@"`);
}

describe('what goes wrong over SSH', () => {
  it.each([
    [
      'a key of the host that is not known',
      async () => ({ ...login, knownHostsFile: await file(`${server.knownHost.replace('localhost', 'git.example.org')}\n`) }),
      { code: 'REPOSITORY_UNAUTHORIZED', retryable: false },
      /is not in FLOE_REPOSITORY_KNOWN_HOSTS_FILE\. Compare what "ssh-keyscan -p \d+ localhost" prints/,
    ],
    [
      'another key of the host than is known',
      async () => ({ ...login, knownHostsFile: await file(`${server.knownHost.replace(/ AAAA\S+/, ` ${otherKey()}`)}\n`) }),
      { code: 'REPOSITORY_UNAUTHORIZED', retryable: false },
      /is not in FLOE_REPOSITORY_KNOWN_HOSTS_FILE\. Compare/,
    ],
    [
      'a key that the server does not admit',
      async () => ({ ...login, keyFile: await file(`${server.otherKey}\n`) }),
      { code: 'REPOSITORY_UNAUTHORIZED', retryable: false },
      /does not admit the key in FLOE_REPOSITORY_SSH_KEY_FILE: add its public part there.*Permission denied/,
    ],
    [
      'a key that is none',
      async () => ({ ...login, keyFile: await file('none\n') }),
      { code: 'REPOSITORY_UNAUTHORIZED', retryable: false },
      /FLOE_REPOSITORY_SSH_KEY_FILE/,
    ],
    [
      'no ssh',
      async () => await Promise.resolve({ ...login, searchPath: '/none' }),
      { code: 'REPOSITORY_URL_UNSUPPORTED', retryable: false },
      /install OpenSSH so that ssh is in the PATH of the service, or use the https:\/\/ address/,
    ],
  ])('%s: is named, with what to do', async (_what, ssh, expected, words) => {
    const fleet = await repository();
    await fleet.commit({ a: '1' }, 'first');
    const mirror = mirrorOf(at(fleet), { ssh: await ssh() });
    const failure = await failureOf(mirror.fetch(undefined));
    expect(failure).toMatchObject(expected);
    expect(failure.message).toMatch(words);
    expect(failure.message).not.toContain('PRIVATE');
    expect(await mirror.head()).toBeUndefined();
  });

  it('no repository at the path, and one that may not be read', async () => {
    const fleet = await repository();
    await fleet.commit({ a: '1' }, 'first');
    const expected = { code: 'REPOSITORY_NOT_FOUND', retryable: false };
    const none = await failureOf(mirrorOf(`${at(fleet)}-none`).fetch(undefined));
    expect(none).toMatchObject(expected);
    expect(none.message).toMatch(
      /or the key in FLOE_REPOSITORY_SSH_KEY_FILE may not read it.*it says: fatal: .*does not appear to be a git repository/,
    );
    if (process.getuid?.() !== 0) return;
    // Git reads no repository of somebody else.
    await chown(fleet.bareDir, 65_534, 65_534);
    expect(await failureOf(mirrorOf(at(fleet)).fetch(undefined))).toMatchObject(expected);
  });

  it('a server that is away, and one that hangs up, are asked again', async () => {
    for (const url of [`ssh://git@localhost:9/fleet`, 'ssh://git@no-such-host.invalid/fleet'])
      expect(await failureOf(mirrorOf(url).fetch(undefined))).toMatchObject({
        code: 'REPOSITORY_UNREACHABLE',
        retryable: true,
        message: expect.stringContaining('could not be reached by ssh: check the network, the server and FLOE_REPOSITORY_URL; it says: ') as string,
      });
  });
});

describe('a server over SSH that is not what it should be', () => {
  const listing = (head: string): string =>
    `${encodePacket(`${head} HEAD\0side-band-64k ofs-delta\n`)}${encodePacket(`${head} refs/heads/main\n`)}0000`;
  const HEAD = 'a'.repeat(40);
  /** The list of refs, and what comes when objects are asked for. */
  const answering = async (objects: string, head = HEAD): Promise<string> =>
    `cat ${await served(listing(head))}; [ "$(head -c 4)" = 0000 ] || { ${objects}; }`;
  const band = (bytes: number): string => encodePacket(`\u0001${'x'.repeat(bytes)}`);

  it.each([
    ['says nothing', 'true', 'REPOSITORY_NOT_FOUND'],
    ['is a shell that welcomes people', 'echo Welcome', 'REPOSITORY_NOT_FOUND'],
    ['answers with a list that ends early', `printf '003e${HEAD} refs'`, 'REPOSITORY_UNREACHABLE'],
    ['refuses in words of the protocol', `printf '${encodePacket('ERR come back later')}'; exit 1`, 'REPOSITORY_REFUSED'],
    ['says the words of ssh', `echo 'Host key verification failed.' >&2; exit 1`, 'REPOSITORY_NOT_FOUND'],
  ])('%s', async (_what, script, code) => {
    await instead(script);
    const failure = await failureOf(mirrorOf(at(await repository())).fetch(undefined));
    expect(failure.code).toBe(code);
    expect(failure.message.length).toBeLessThan(1_000);
    expect(failure.message).not.toMatch(/[\p{Cc}]/u);
  });

  it('sends an endless list of branches, or an endless pack: it is cut off at the limit', async () => {
    const limits = { ...DEFAULT_REPOSITORY_LIMITS, downloadBytes: 2 * MIB };
    const url = at(await repository());
    await instead(`yes "${encodePacket(`${HEAD} refs/heads/${'x'.repeat(900)}\n`).trim()}"`);
    expect(await failureOf(mirrorOf(url, { limits }).fetch(undefined))).toMatchObject({
      code: 'REPOSITORY_TOO_LARGE',
      message: expect.stringContaining('its list of branches and tags') as string,
    });
    await instead(await answering(`printf '0008NAK\\n'; while cat ${await served(band(60_000))}; do :; done`));
    const mirror = mirrorOf(url, { limits });
    expect(await failureOf(mirror.fetch(undefined))).toMatchObject({
      code: 'REPOSITORY_TOO_LARGE',
      message: expect.stringContaining('to allow more, set FLOE_REPOSITORY_MAX_MIB') as string,
    });
    expect((await readdir(mirror.dir, { recursive: true })).filter((name) => name.includes('pack-'))).toEqual([]);
    await expect.poll(running, { timeout: 10_000 }).toEqual([]);
  });

  it('hangs up in the middle of a pack: nothing of it is kept, and the next fetch has all', async () => {
    const fleet = await repository();
    const head = await fleet.commit({ a: 'x'.repeat(5_000), b: String(process.hrtime.bigint()) }, 'first');
    await instead(`git upload-pack '${fleet.bareDir}' | head -c 350`);
    const mirror = mirrorOf(at(fleet));
    expect(await failureOf(mirror.fetch(undefined))).toMatchObject({ code: 'REPOSITORY_UNREACHABLE', retryable: true });
    expect(await mirror.head()).toBeUndefined();
    await writeFile(server.admittedFile, admitted);
    expect(await mirror.fetch(undefined)).toMatchObject({ kind: 'advanced', head });
  });

  it('sends what is no pack', async () => {
    await instead(await answering(`printf '0008NAK\\n'; cat ${await served(`${band(3_000)}0000`)}`));
    expect(await failureOf(mirrorOf(at(await repository())).fetch(undefined))).toMatchObject({ code: 'REPOSITORY_UNREACHABLE' });
  });

  /** Until the connection has ended. */
  const SILENCE = 'while [ $PPID != 1 ] && kill -0 $PPID; do sleep 0.2; done';

  it('is silent, before or within its answer: the fetch ends, and ssh with it', async () => {
    const url = at(await repository());
    for (const script of [SILENCE, await answering(SILENCE), `yes >&2`]) {
      await instead(script);
      await using mirror = await openMirror(options(url, { silenceMs: 3_000 }));
      expect(await failureOf(mirror.fetch(undefined))).toMatchObject({
        code: 'GIT_TIMED_OUT',
        retryable: true,
        message: expect.stringContaining('FLOE_REPOSITORY_SILENCE_SECONDS') as string,
      });
      await expect.poll(running, { timeout: 10_000 }).toEqual([]);
    }
  });

  it('is asked when the fetch is called off, or the mirror closed: ssh ends with it', async () => {
    const url = at(await repository());
    await instead(SILENCE);
    const mirror = await openMirror(options(url));
    const calledOff = new AbortController();
    const first = mirror.fetch(undefined, calledOff.signal);
    await expect.poll(running, { timeout: 10_000 }).toHaveLength(1);
    calledOff.abort(new Error('called off'));
    await expect(first).rejects.toThrow('called off');
    await expect.poll(running, { timeout: 10_000 }).toEqual([]);
    const second = mirror.fetch(undefined);
    second.catch(() => undefined);
    await expect.poll(running, { timeout: 10_000 }).toHaveLength(1);
    await mirror[Symbol.asyncDispose]();
    await expect(second).rejects.toThrow();
    await expect.poll(running, { timeout: 10_000 }).toEqual([]);
  });
});

/** A key of the same kind that is nobody's. */
function otherKey(): string {
  const [, , data = ''] = server.knownHost.split(' ');
  return data.replace(/.{8}$/, (end) => [...end].toReversed().join(''));
}
