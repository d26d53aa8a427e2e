import { existsSync } from 'node:fs';
import { readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import type { HostName, StorePath } from '@floe/model';
import { loadOrCreateCacheKey } from '@floe/nix';
import { execInTest, silentLogger } from '@floe/runtime';
import { startPutCache, startS3Server, startSshServer, type PutCache } from '@floe/testkit';
import fc from 'fast-check';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { leftCache } from '../evaluation/released.ts';
import { SmallSystems } from '../test/small-systems.ts';
import { publishApart } from './publish-apart.ts';
import { publishClosures } from './publish-closures.ts';

// Publication to caches elsewhere, by a builder's settings, against real ones: a server of S3's protocol, an HTTP cache, sshd, a program that pushes.

const { signal } = new AbortController();
const stack = new AsyncDisposableStack();
let world: SmallSystems;
let http: PutCache;
/** What a machine behind SSH, or a push command, gives to hosts. */
let served: PutCache;
let servers = 0;
let one: StorePath;
let two: StorePath;

beforeAll(async () => {
  world = stack.use(await SmallSystems.create());
  http = stack.use(await startPutCache(join(world.dir, 'http')));
  served = stack.use(await startPutCache(join(world.dir, 'served')));
  const [first, second] = await world.make(['one', 'two']);
  [one, two] = [first as StorePath, second as StorePath];
});
afterAll(async () => await stack.disposeAsync());

const hashOf = (path: string): string => basename(path).slice(0, 32);
const narinfoIn = (folder: string, path: string): string => join(folder, `${hashOf(path)}.narinfo`);

/** A cache, with the settings for it, how what is in it gets to where hosts download, and the folder with its files. */
interface Kind {
  readonly settings: Readonly<Record<string, string>>;
  readonly afterwards?: () => Promise<void>;
  /** Loses a path, as a rule of its own for what is old does. */
  readonly lose: (path: string) => Promise<void>;
}

async function s3(): Promise<Kind> {
  const dir = join(world.dir, `s3-${(servers += 1)}`);
  const server = stack.use(await startS3Server(dir));
  const settings = {
    FLOE_PUBLISH_TO: server.storeUrl,
    FLOE_PUBLISH_CREDENTIALS_FILE: await world.file(server.credentials),
    FLOE_CACHE_URL: server.url,
  };
  const lose = async (path: string): Promise<void> => {
    const gone = (await readdir(dir, { recursive: true })).filter((name) => name.includes(`${hashOf(path)}.narinfo`));
    expect(gone).not.toEqual([]);
    for (const name of gone) await rm(join(dir, name));
  };
  return { settings, lose };
}

async function put(): Promise<Kind> {
  const settings = { FLOE_PUBLISH_TO: http.url, FLOE_PUBLISH_CREDENTIALS_FILE: await world.file(http.netrc), FLOE_CACHE_URL: http.url };
  return { settings, lose: async (path) => await rm(narinfoIn(http.dir, path)) };
}

async function ssh(): Promise<Kind> {
  const server = stack.use(await startSshServer(join(world.dir, `sshd-${(servers += 1)}`)));
  const remote = join(world.dir, 'remote');
  const settings = {
    FLOE_PUBLISH_TO: `ssh://${server.user}@localhost:${server.port}?remote-store=${encodeURIComponent(`local?root=${remote}`)}`,
    FLOE_PUBLISH_CREDENTIALS_FILE: await world.file(`${server.key}\n`),
    FLOE_PUBLISH_KNOWN_HOSTS_FILE: await world.file(`${server.knownHost}\n`),
    FLOE_CACHE_URL: served.url,
  };
  // What serves the store of that machine signs nothing itself.
  const afterwards = async (): Promise<void> => {
    const copied = await execInTest('nix', ['copy', '--from', `local?root=${remote}`, '--to', `file://${served.dir}`, '--all'], { env: world.env() });
    expect(copied.exitCode, copied.stderr).toBe(0);
  };
  const lose = async (path: string): Promise<void> => {
    await rm(narinfoIn(served.dir, path));
    const removed = await execInTest('nix-store', ['--store', `local?root=${remote}`, '--delete', '--ignore-liveness', path], { env: world.env() });
    expect(removed.exitCode, removed.stderr).toBe(0);
  };
  return { settings, afterwards, lose };
}

/** It signs with a key of its own, as attic and cachix do, and has its login in its environment alone. */
async function command(script = ''): Promise<Kind> {
  const key = await loadOrCreateCacheKey(join(world.dir, 'pushed-key'), 'pushed-1');
  const program = await world.file(
    `#!/bin/sh
set -eu
${script}
test "$PUSH_TOKEN" = the-token-of-the-cache
tr '\\n' '\\0' | xargs -0 nix copy --no-check-sigs --from 'local?root=${join(world.dir, 'server')}' --to 'file://${served.dir}?compression=zstd&secret-key=${key.secretKeyFile}'
`,
    0o755,
  );
  const settings = {
    FLOE_PUBLISH_COMMAND: program,
    FLOE_PUBLISH_CREDENTIALS_FILE: await world.file('# of the cache\nPUSH_TOKEN="the-token-of-the-cache"\n'),
    FLOE_CACHE_URL: served.url,
    FLOE_CACHE_PUBLIC_KEYS: key.publicKey,
  };
  return { settings, lose: async (path) => await rm(narinfoIn(served.dir, path)) };
}

beforeEach(async () => {
  http.fault = undefined;
  served.fault = undefined;
  http.requests.length = 0;
  for (const dir of [http.dir, served.dir]) for (const name of await readdir(dir)) await rm(join(dir, name), { recursive: true });
});

describe.each([
  ['S3', s3],
  ['HTTP with PUT', put],
  ['SSH', ssh],
  ['a command', command],
] as const)('%s', (_name, kind) => {
  test('gets closures that hosts can download, again what it lost, and nothing that it has', { timeout: 120_000 }, async () => {
    const { settings, lose, afterwards = async () => await Promise.resolve() } = await kind();
    const deps = world.builder(settings);
    const { publisher } = deps.cache;
    const cache = {
      ...deps.cache,
      publisher: {
        publish: async (...args: Parameters<typeof publisher.publish>) => {
          await publisher.publish(...args);
          await afterwards();
        },
        forget: () => publisher.forget(),
      },
    };
    const told: string[] = [];
    const publish = async () => await publishClosures({ nix: deps.nix, cache }, [one, two], { signal, onProgress: (what) => void told.push(what) });
    const published = await publish();
    expect([...published.keys()]).toEqual([one, two]);
    for (const { narHash, closureSizeBytes } of published.values()) {
      expect(narHash).toMatch(/^sha256:[0-9a-z]{52}$/);
      expect(closureSizeBytes).toBeGreaterThan(300);
    }
    expect(told.length).toBeGreaterThan(1);
    const keys = (settings['FLOE_CACHE_PUBLIC_KEYS'] ?? world.key.publicKey).split(' ');
    expect(await world.canDownload(one, [settings['FLOE_CACHE_URL'] ?? ''], keys)).toBe(true);

    http.requests.length = 0;
    expect(await publish()).toEqual(published);
    expect(http.requests.filter((each) => each.startsWith('PUT'))).toEqual([]);

    const host = 'ada' as HostName;
    const isGone = async () => (await leftCache({ cache, logger: silentLogger }, [host], new Map([[host, two]]))).gone.has(host);
    expect(await isGone()).toBe(false);
    await lose(two);
    // A host that no commit changes is asked about once an hour.
    expect(await isGone()).toBe(false);
    world.elapsedMs += 2 * 3600_000;
    expect(await isGone()).toBe(true);
    await expect(deps.nix.readBack(cache, [two])).rejects.toMatchObject({ code: 'CACHE_PATH_MISSING', retryable: true });
    expect(await publish()).toEqual(published);
    expect(await world.canDownload(two, [settings['FLOE_CACHE_URL'] ?? ''], keys)).toBe(true);
  });
});

test('a cache that takes files has each narinfo after its content and after all that it refers to', async () => {
  const deps = world.builder((await put()).settings);
  await publishClosures(deps, [one, two], { signal });
  const puts = http.requests.filter((each) => each.startsWith('PUT /')).map((each) => each.slice('PUT /'.length));
  expect(puts.filter((name) => name.endsWith('.narinfo'))).toHaveLength(5);
  for (const name of puts.filter((each) => each.endsWith('.narinfo'))) {
    const text = await readFile(join(http.dir, name), 'utf8');
    const url = /^URL: (.*)$/m.exec(text)?.[1] ?? '';
    const references = (/^References: (.*)$/m.exec(text)?.[1] ?? '').split(' ').filter((each) => each !== '');
    for (const earlier of [url, ...references.map((each) => `${each.slice(0, 32)}.narinfo`)])
      expect(puts.indexOf(earlier), earlier).toBeLessThan(puts.indexOf(name));
  }
});

test('what was removed as a whole is published again, and while the cache is away nothing counts as lost', { timeout: 30_000 }, async () => {
  const deps = world.builder((await put()).settings);
  const published = await publishClosures(deps, [one, two], { signal });
  for (const name of await readdir(http.dir)) await rm(join(http.dir, name), { recursive: true });
  expect(await publishClosures(deps, [one, two], { signal })).toEqual(published);
  http.fault = () => ({ kind: 'status', status: 503 });
  world.elapsedMs += 2 * 3600_000;
  const hosts = Array.from({ length: 50 }, (_, index) => `host-${index}` as HostName);
  http.requests.length = 0;
  const { gone } = await leftCache({ cache: deps.cache, logger: silentLogger }, hosts, new Map(hosts.map((host) => [host, one])));
  expect([...gone]).toEqual([]);
  // Not for each of them.
  expect(http.requests.length).toBeLessThanOrEqual(3 * 16);
});

test('a copy that nobody signed is replaced where closures are put', async () => {
  const deps = world.builder((await put()).settings);
  await publishClosures(deps, [one], { signal });
  const path = narinfoIn(http.dir, one);
  const whole = await readFile(path, 'utf8');
  await writeFile(path, whole.replace(/^Sig: .*\n/m, ''));
  await expect(deps.nix.readBack(deps.cache, [one])).rejects.toMatchObject({ code: 'CACHE_PATH_UNSIGNED', retryable: false });
  await publishClosures(world.builder((await put()).settings), [one], { signal });
  expect(await readFile(path, 'utf8')).toBe(whole);
});

describe('what goes wrong', () => {
  const isPut = (method: string): boolean => method === 'PUT';
  test.each([
    ['has no room', { kind: 'status', status: 507 }, 'CACHE_FULL', 1],
    ['does not admit us', { kind: 'status', status: 403 }, 'CACHE_REFUSES', 1],
    ['is overloaded', { kind: 'status', status: 503 }, 'CACHE_AWAY', 3],
    ['is asked too often', { kind: 'status', status: 429 }, 'CACHE_AWAY', 3],
    ['closes the connection', { kind: 'closes' }, 'CACHE_AWAY', 3],
    ['sends us elsewhere', { kind: 'status', status: 301 }, 'CACHE_REFUSES', 1],
    ['does not take it', { kind: 'status', status: 413 }, 'CACHE_PATH_REFUSED', 1],
  ] as const)('a cache that %s: %o gives %s after %i tries', { timeout: 30_000 }, async (_name, fault, code, tries) => {
    http.fault = (method) => (isPut(method) ? fault : undefined);
    const deps = world.builder((await put()).settings);
    await expect(publishClosures(deps, [one], { signal })).rejects.toMatchObject({ code, retryable: true });
    expect(http.requests.filter((each) => each === 'PUT /nix-cache-info')).toHaveLength(tries);
    // It goes on when that has passed.
    http.fault = undefined;
    expect((await publishClosures(deps, [one], { signal })).has(one)).toBe(true);
  });

  test('what passes while it is tried again is no error, nor is a cache that is slow', { timeout: 30_000 }, async () => {
    const failed = new Set<string>();
    http.fault = (method, name) => {
      if (!isPut(method) || failed.has(name)) return isPut(method) ? { kind: 'slow', pauseMs: 200 } : undefined;
      failed.add(name);
      return { kind: 'status', status: 502 };
    };
    const deps = world.builder((await put()).settings);
    expect((await publishClosures(deps, [one], { signal })).has(one)).toBe(true);
    expect(failed.size).toBeGreaterThan(3);
  });

  test('a closure that the cache does not take holds nobody', { timeout: 30_000 }, async () => {
    http.fault = (method, name) => (isPut(method) && name === `${hashOf(two)}.narinfo` ? { kind: 'status', status: 413 } : undefined);
    const deps = { ...world.builder((await put()).settings), logger: silentLogger };
    const apart = await publishApart(deps, [one, two], async () => await Promise.resolve([]), signal);
    expect([...apart.published.keys()]).toEqual([one]);
    expect(apart.refused).toMatchObject([{ item: two, error: { code: 'CACHE_PATH_REFUSED' } }]);
  });

  test('a cache that is not there, or a login that is wrong, holds all, and no message has the login', { timeout: 30_000 }, async () => {
    const { settings } = await put();
    const wrong = await world.file('machine 127.0.0.1 login floe password not-the-password');
    const login = world.builder({ ...settings, FLOE_PUBLISH_CREDENTIALS_FILE: wrong });
    const refused = await publishApart({ ...login, logger: silentLogger }, [one, two], async () => await Promise.resolve([]), signal).catch(
      (error: unknown) => error,
    );
    expect(refused).toMatchObject({ code: 'CACHE_REFUSES', message: expect.not.stringContaining('not-the-password') as string });
    const away = world.builder({ ...settings, FLOE_PUBLISH_TO: 'http://127.0.0.1:9' });
    await expect(publishClosures(away, [one], { signal })).rejects.toMatchObject({ code: 'CACHE_AWAY', retryable: true });
    const { settings: bucket } = await s3();
    const key = await world.file('[default]\naws_access_key_id = S3RVER\naws_secret_access_key = another-secret\n');
    const s3Login = world.builder({ ...bucket, FLOE_PUBLISH_CREDENTIALS_FILE: key });
    await expect(publishClosures(s3Login, [one], { signal })).rejects.toMatchObject({
      code: 'CACHE_REFUSES',
      message: expect.not.stringContaining('another-secret') as string,
    });
  });

  test('what answers is no cache', async () => {
    http.fault = () => ({ kind: 'text', text: '<html>please log in</html>' });
    await expect(publishClosures(world.builder((await put()).settings), [one], { signal })).rejects.toMatchObject({ code: 'CACHE_FOREIGN' });
  });

  test('whatever a cache changes in a narinfo, no other content is believed', { timeout: 60_000 }, async () => {
    const deps = world.builder((await put()).settings);
    const truth = await publishClosures(deps, [one], { signal });
    const text = await readFile(narinfoIn(http.dir, one), 'utf8');
    const change = fc.oneof(
      fc
        .record({ at: fc.nat(text.length - 1), by: fc.constantFrom('a', '0', 'Z', ' ', '\n', '/') })
        .map(({ at, by }) => text.slice(0, at) + by + text.slice(at + 1)),
      fc.nat(text.split('\n').length - 1).map((line) => text.split('\n').toSpliced(line, 1).join('\n')),
      fc.constantFrom('', 'x'.repeat(2_000_000), text.replaceAll(/^Sig: [\w.-]+:/gm, 'Sig: other-1:'), text.replace(/^NarSize: .*$/m, 'NarSize: 1')),
    );
    await fc.assert(
      fc.asyncProperty(change, async (lie) => {
        http.fault = (_method, name) => (name === `${hashOf(one)}.narinfo` ? { kind: 'text', text: lie } : undefined);
        const read = await deps.nix.readBack(deps.cache, [one]).catch((error: unknown) => error);
        if (read instanceof Map) expect(read).toEqual(truth);
        else expect(read).toMatchObject({ code: expect.stringMatching(/^CACHE_(PATH_UNSIGNED|PATH_MISSING|FOREIGN)$/) as string });
      }),
      { numRuns: 200 },
    );
  });

  test.each([
    ['lacks', { kind: 'status', status: 404 }],
    ['has another size of', { kind: 'text', text: 'short' }],
  ] as const)('a cache that %s the content of a path does not have it', async (_name, fault) => {
    const deps = world.builder((await put()).settings);
    await publishClosures(deps, [one], { signal });
    http.fault = (method, name) => (name.startsWith('nar/') && method !== 'PUT' ? fault : undefined);
    await expect(deps.nix.readBack(deps.cache, [one])).rejects.toMatchObject({
      code: 'CACHE_PATH_MISSING',
      message: expect.stringContaining('content') as string,
    });
  });

  test('what is signed by another key than hosts trust is not published', async () => {
    const { settings } = await command();
    const { FLOE_CACHE_PUBLIC_KEYS: _, ...withoutKey } = settings;
    await expect(publishClosures(world.builder(withoutKey), [one], { signal })).rejects.toMatchObject({ code: 'CACHE_PATH_UNSIGNED' });
  });

  test('a path may be in a cache besides that hosts have, too', async () => {
    const { settings } = await command();
    await publishClosures(world.builder(settings), [one], { signal });
    const moved = (await readdir(served.dir)).find((name) => name.endsWith('.narinfo') && !name.startsWith(hashOf(one))) ?? '';
    const upstream = stack.use(await startPutCache(join(world.dir, 'upstream')));
    await execInTest('cp', ['-r', `${served.dir}/.`, upstream.dir]);
    served.fault = (_method, name) => (name === moved ? { kind: 'status', status: 404 } : undefined);
    await expect(world.builder(settings).nix.readBack(world.builder(settings).cache, [one])).rejects.toMatchObject({ code: 'CACHE_PATH_MISSING' });
    const both = world.builder({ ...settings, FLOE_CACHE_UPSTREAM_URLS: upstream.url });
    expect((await both.nix.readBack(both.cache, [one])).has(one)).toBe(true);
  });

  test.each([
    [
      'ends with an error',
      'echo "no: the-token-of-the-cache is old" >&2; exit 3',
      'PUBLISH_COMMAND_FAILED',
      /status 3.*It said: no: \[redacted\] is old$/,
    ],
    ['pushes nothing and says that all is well', 'cat > /dev/null; exit 0', 'CACHE_PATH_MISSING', /lacks/],
    ['hangs', 'sleep 1000', 'PUBLISH_COMMAND_FAILED', /not done within 2 s/],
    ['is killed', 'kill -9 $$', 'PUBLISH_COMMAND_FAILED', /was killed \(SIGKILL\)/],
  ] as const)('a command that %s', { timeout: 30_000 }, async (_name, script, code, message) => {
    const { settings } = await command(script);
    // Else there is no cache, which is another error.
    served.fault = (_method, name) => (name === 'nix-cache-info' ? { kind: 'text', text: 'StoreDir: /nix/store\n' } : undefined);
    const deps = world.builder({ ...settings, ...(script.startsWith('sleep') ? { FLOE_PUBLISH_TIMEOUT_SECONDS: '2' } : {}) });
    await expect(publishClosures(deps, [one], { signal })).rejects.toMatchObject({
      code,
      retryable: true,
      message: expect.stringMatching(message) as string,
    });
  });

  test('a machine behind SSH that has another key, or does not admit ours, gets nothing', { timeout: 60_000 }, async () => {
    const { settings } = await ssh();
    const other = stack.use(await startSshServer(join(world.dir, 'other-sshd')));
    const remote = join(world.dir, 'remote');
    await rm(remote, { recursive: true, force: true });
    for (const wrong of [
      { FLOE_PUBLISH_CREDENTIALS_FILE: await world.file(`${other.otherKey}\n`) },
      {
        FLOE_PUBLISH_KNOWN_HOSTS_FILE: await world.file(
          `${other.knownHost.replace(`:${other.port}`, `:${new URL(settings['FLOE_PUBLISH_TO'] ?? '').port}`)}\n`,
        ),
      },
    ])
      await expect(publishClosures(world.builder({ ...settings, ...wrong }), [one], { signal })).rejects.toMatchObject({
        code: 'NIX_FAILED',
        retryable: true,
      });
    expect(existsSync(join(remote, 'nix/store', basename(one)))).toBe(false);
  });
});
