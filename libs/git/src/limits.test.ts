import { createHash } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { createServer, type RequestListener, type ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pipeline, Readable, type Writable } from 'node:stream';
import { deflateSync } from 'node:zlib';
import type { CommitSha } from '@floe/model';
import { silentLogger } from '@floe/runtime';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { openMirror, type GitMirror, type MirrorOptions } from './index.ts';
import { encodePacket } from './pkt-line.ts';

// The limits of what a git server may send, tried against a server that exceeds them.
vi.setConfig({ testTimeout: 60_000 });

const MIB = 1024 ** 2;
const HEAD = 'a'.repeat(40);
const cleanups: (() => PromiseLike<unknown>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup();
});

async function serve(listener: RequestListener): Promise<string> {
  const server = createServer(listener);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  cleanups.push(async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  return `http://127.0.0.1:${address.port}/fleet.git`;
}

async function mirrorOf(url: string, options: Partial<MirrorOptions> = {}): Promise<GitMirror & { readonly dir: string }> {
  const parent = await mkdtemp(join(tmpdir(), 'floe-limits-'));
  cleanups.push(() => rm(parent, { recursive: true, force: true }));
  const dir = join(parent, 'mirror');
  const mirror = await openMirror({ dir, url, branch: 'main', logger: silentLogger, ...options });
  cleanups.push(() => mirror[Symbol.asyncDispose]());
  return Object.assign(mirror, { dir });
}

async function failureOf(promise: Promise<unknown>): Promise<unknown> {
  return await promise.then(
    () => 'no failure',
    (error: unknown) => error,
  );
}

const capabilities = 'side-band-64k ofs-delta object-format=sha1';
function advertise(res: ServerResponse, lines: readonly string[] = [`${HEAD} refs/heads/main\0${capabilities}\n`]): void {
  res.writeHead(200, { 'content-type': 'application/x-git-upload-pack-advertisement' });
  res.write(`${encodePacket('# service=git-upload-pack\n')}0000${lines.map(encodePacket).join('')}`);
}

/** Writes `chunk` until the client disconnects. */
function withoutEnd(out: Writable, chunk: Buffer | string): void {
  const endless = new Readable({ read: () => void endless.push(chunk) });
  pipeline(endless, out, () => undefined);
}

function sideband(data: Buffer): Buffer {
  const parts: Buffer[] = [];
  for (let at = 0; at < data.length; at += 60_000) {
    const piece = data.subarray(at, at + 60_000);
    parts.push(Buffer.from((piece.length + 5).toString(16).padStart(4, '0')), Buffer.from([1]), piece);
  }
  return Buffer.concat(parts);
}

/** A server that sends one pack to every client. */
async function packServer(pack: Buffer, head: string = HEAD): Promise<string> {
  return await serve((req, res) => {
    if (req.method === 'GET') {
      advertise(res, [`${head} refs/heads/main\0${capabilities}\n`]);
      res.end('0000');
      return;
    }
    res.writeHead(200, { 'content-type': 'application/x-git-upload-pack-result' });
    res.write(encodePacket('NAK\n'));
    res.write(sideband(pack));
    res.end('0000');
  });
}

const KINDS = { commit: 1, tree: 2, blob: 3, tag: 4, offset: 6 } as const;

function entry(kind: keyof typeof KINDS, size: number, data: Buffer, prefix: Buffer = Buffer.alloc(0)): Buffer {
  const header: number[] = [];
  let rest = Math.floor(size / 16);
  header.push((KINDS[kind] << 4) | (size % 16) | (rest > 0 ? 0x80 : 0));
  while (rest > 0) {
    const next = Math.floor(rest / 128);
    header.push((rest % 128) | (next > 0 ? 0x80 : 0));
    rest = next;
  }
  return Buffer.concat([Buffer.from(header), prefix, deflateSync(data)]);
}

function objectId(type: string, content: Buffer): string {
  return createHash('sha1').update(`${type} ${content.length}\0`).update(content).digest('hex');
}

function packOf(entries: readonly Buffer[], count = entries.length): Buffer {
  const header = Buffer.alloc(12);
  header.write('PACK');
  header.writeUInt32BE(2, 4);
  header.writeUInt32BE(count, 8);
  const body = Buffer.concat([header, ...entries]);
  return Buffer.concat([body, createHash('sha1').update(body).digest()]);
}

function varint(value: number): Buffer {
  const bytes: number[] = [];
  for (let rest = value; ; rest = Math.floor(rest / 128)) {
    if (rest < 128) return Buffer.from([...bytes, rest]);
    bytes.push((rest % 128) | 0x80);
  }
}

function backwards(distance: number): Buffer {
  const bytes = [distance % 128];
  for (let rest = Math.floor(distance / 128); rest > 0; rest = Math.floor(rest / 128)) {
    rest -= 1;
    bytes.unshift((rest % 128) | 0x80);
  }
  return Buffer.from(bytes);
}

/** A chain of deltas, each of which repeats the previous object `copies` times. */
function doubling(links: number, base: Buffer, copies: number): Buffer[] {
  const entries = [entry('blob', base.length, base)];
  let size = base.length;
  for (let link = 0; link < links; link += 1) {
    const result = size * copies;
    // A delta copies at most 16 MiB at once; the chain stays below that until it is refused.
    const copy = Buffer.concat([Buffer.from([0x80 | 0x70]), Buffer.from([size & 255, (size >> 8) & 255, (size >> 16) & 255])]);
    const delta = Buffer.concat([varint(size), varint(result), ...Array.from({ length: copies }, () => copy)]);
    entries.push(entry('offset', delta.length, delta, backwards(entries.at(-1)?.length ?? 0)));
    size = result;
  }
  return entries;
}

/** Memory of this process with its threads. */
async function peakDuring(action: () => Promise<unknown>): Promise<{ result: unknown; grownBytes: number }> {
  globalThis.gc?.();
  const before = process.memoryUsage().rss;
  let peak = before;
  const timer = setInterval(() => (peak = Math.max(peak, process.memoryUsage().rss)), 20);
  try {
    return { result: await action(), grownBytes: Math.max(peak, process.memoryUsage().rss) - before };
  } finally {
    clearInterval(timer);
  }
}

async function expectNothingLeft(dir: string): Promise<void> {
  const names = await readdir(dir, { recursive: true });
  expect(names.filter((name) => /\.(?:pack|idx)$|floe-tmp\/./.test(name))).toEqual([]);
}

describe('a git server that sends endlessly', () => {
  it.each<[string, string, (res: ServerResponse) => unknown]>([
    ['refs', 'list of branches and tags', (res) => [advertise(res), withoutEnd(res, encodePacket(`${HEAD} refs/heads/${'x'.repeat(60_000)}\n`))]],
    ['short refs', 'list of branches and tags', (res) => [advertise(res), withoutEnd(res, encodePacket(`${HEAD} refs/tags/x\n`).repeat(1000))]],
  ])('is disconnected at a limit: %s', async (_what, named, answer) => {
    const mirror = await mirrorOf(await serve((_req, res) => answer(res)));
    const { result, grownBytes } = await peakDuring(async () => await failureOf(mirror.fetch(undefined)));
    expect(result).toMatchObject({ code: 'REPOSITORY_TOO_LARGE', retryable: false });
    expect(String(result)).toContain(named);
    expect(grownBytes).toBeLessThan(300 * MIB);
  });

  it.each<[string, Buffer]>([
    ['a pack', sideband(Buffer.alloc(60_000, 7))],
    ['talk on the second band', Buffer.concat([Buffer.from('0fa4'), Buffer.from([2]), Buffer.alloc(3999, 0x2e)])],
  ])('is disconnected at the limit of the download: %s', async (_what, chunk) => {
    const url = await serve((req, res) => {
      if (req.method === 'GET') {
        advertise(res);
        res.end('0000');
        return;
      }
      res.writeHead(200, { 'content-type': 'application/x-git-upload-pack-result' });
      withoutEnd(res, chunk);
    });
    const mirror = await mirrorOf(url, { limits: { downloadBytes: 8 * MIB, objectBytes: MIB } });
    const { result, grownBytes } = await peakDuring(async () => await failureOf(mirror.fetch(undefined)));
    expect(result).toMatchObject({ code: 'REPOSITORY_TOO_LARGE', retryable: false });
    expect(String(result)).toMatch(/8 MiB.*FLOE_REPOSITORY_MAX_MIB/);
    expect(grownBytes).toBeLessThan(200 * MIB);
    await expectNothingLeft(mirror.dir);
  });

  it.each<[string, (res: ServerResponse) => unknown]>([
    ['a header', (res) => (res.socket === null ? undefined : withoutEnd(res.socket, 'x-more: aaaaaaaaaaaaaaaaaaaaaaaaaa\r\n'))],
    ['a redirect to itself', (res) => res.writeHead(302, { location: '/fleet.git/info/refs?service=git-upload-pack' }).end()],
    ['an error page', (res) => [res.writeHead(500), withoutEnd(res, Buffer.alloc(60_000, 0x20))]],
    ['a page', (res) => [res.writeHead(200, { 'content-type': 'text/html' }), withoutEnd(res, Buffer.alloc(60_000, 0x20))]],
    ['flushes', (res) => [advertise(res, []), withoutEnd(res, '0000'.repeat(10_000))]],
    ['comments', (res) => [advertise(res, []), withoutEnd(res, encodePacket('# more\n').repeat(1000))]],
    ['a redirect to no address', (res) => res.writeHead(302, { location: 'http://[' }).end()],
  ])('is disconnected immediately: %s', async (_what, answer) => {
    const url = await serve((_req, res) => {
      if (_what === 'a header') res.socket?.write('HTTP/1.1 200 OK\r\n');
      answer(res);
    });
    const mirror = await mirrorOf(url);
    const { result, grownBytes } = await peakDuring(async () => await failureOf(mirror.fetch(undefined)));
    expect(result).toMatchObject({ name: 'FloeError' });
    expect(grownBytes).toBeLessThan(100 * MIB);
  });

  it('counts as silent when it sends a byte now and then', async () => {
    const slow = await serve((req, res) => {
      if (req.method === 'GET') {
        advertise(res);
        res.end('0000');
        return;
      }
      res.writeHead(200, { 'content-type': 'application/x-git-upload-pack-result' });
      const timer = setInterval(() => res.write('0006\x02.'), 20);
      res.on('close', () => clearInterval(timer));
    });
    const patient = await mirrorOf(slow, { silenceMs: 1_500 });
    const failure = await failureOf(patient.fetch(undefined));
    expect(failure).toMatchObject({ code: 'GIT_TIMED_OUT', retryable: true });
    expect(String(failure)).toContain('FLOE_REPOSITORY_SILENCE_SECONDS');
    await expectNothingLeft(patient.dir);
  });
});

describe('a pack that grows when it is unpacked', () => {
  const zeros = Buffer.alloc(64 * MIB);
  it.each<[string, Buffer, string]>([
    ['a file of zeros that says its size', packOf([entry('blob', 1024 * MIB, zeros)]), 'a file of 1024 MiB'],
    ['a commit of zeros', packOf([entry('commit', 64 * MIB, zeros)]), 'a file of 64 MiB'],
    ['a size of 2^70', packOf([entry('blob', 2 ** 70, Buffer.from('x'))]), 'MiB'],
    ['deltas that double', packOf(doubling(60, Buffer.alloc(1000, 1), 2)), 'a file of'],
    [
      'many files just below the limit',
      packOf(Array.from({ length: 40 }, () => entry('blob', 16 * MIB, zeros.subarray(0, 16 * MIB)))),
      'when it is unpacked',
    ],
    ['more objects than anybody has', packOf([], 0xffff_ffff), 'objects'],
  ])('is refused before it does: %s', async (_what, pack, named) => {
    const mirror = await mirrorOf(await packServer(pack), { limits: { downloadBytes: 8 * MIB, objectBytes: 16 * MIB } });
    const { result, grownBytes } = await peakDuring(async () => await failureOf(mirror.fetch(undefined)));
    expect(result).toMatchObject({ code: 'REPOSITORY_TOO_LARGE', retryable: false });
    expect(String(result)).toContain(named);
    expect(grownBytes).toBeLessThan(350 * MIB);
    await expectNothingLeft(mirror.dir);
  });

  it.each<[string, Buffer]>([
    ['an object that is longer than it says', packOf([entry('blob', 10, zeros)])],
    ['an object that is shorter than it says', packOf([entry('blob', 1000, Buffer.from('x'))])],
    ['fewer objects than it says', packOf([entry('blob', 1, Buffer.from('x'))], 5)],
    ['bytes after its last object', packOf([entry('blob', 1, Buffer.from('x')), entry('blob', 1, Buffer.from('y'))], 1)],
    ['a delta of nothing', packOf([entry('offset', 3, Buffer.from([1, 1, 0]), backwards(500))])],
    ['a delta of itself', packOf([entry('offset', 3, Buffer.from([1, 1, 0]), Buffer.from([0]))])],
    ['no pack', Buffer.from('this is not a pack at all, but long enough to be one')],
    ['nothing', Buffer.alloc(0)],
  ])('is a broken transfer: %s', async (_what, pack) => {
    const mirror = await mirrorOf(await packServer(pack));
    expect(await failureOf(mirror.fetch(undefined))).toMatchObject({ code: 'REPOSITORY_UNREACHABLE', retryable: true });
    await expectNothingLeft(mirror.dir);
  });

  it('is refused before it is unpacked: large files that each are a delta of the previous one', async () => {
    const pack = packOf(doubling(100, Buffer.alloc(15 * MIB, 1), 1));
    const mirror = await mirrorOf(await packServer(pack), { limits: { downloadBytes: 32 * MIB, objectBytes: 16 * MIB } });
    const { result, grownBytes } = await peakDuring(async () => await failureOf(mirror.fetch(undefined)));
    expect(result).toMatchObject({ code: 'REPOSITORY_TOO_LARGE', retryable: false });
    expect(String(result)).toMatch(/stored as deltas are larger than 576 MiB.*FLOE_REPOSITORY_MAX_FILE_MIB/);
    expect(grownBytes).toBeLessThan(350 * MIB);
    await expectNothingLeft(mirror.dir);
  });

  it('is accepted when it only has many links', async () => {
    const text = Buffer.from(`tree 4b825dc642cb6eb9a060e54bf8d69288fbee4904\nauthor A <a> 1 +0000\ncommitter A <a> 1 +0000\n\nx\n`);
    const head = objectId('commit', text);
    const entries = [entry('commit', text.length, text), ...doubling(3000, Buffer.from('abc'), 1)];
    const mirror = await mirrorOf(await packServer(packOf(entries), head));
    expect(await mirror.fetch(undefined)).toMatchObject({ kind: 'advanced', head: head as CommitSha });
    expect(await readFile(join(mirror.dir, 'refs/heads/main'), 'utf8')).toBe(`${head}\n`);
  });
});

describe('a repository of an unsupported kind', () => {
  it.each<[string, readonly string[], RegExp]>([
    ['in SHA-256', [`${'b'.repeat(64)} refs/heads/main\0side-band-64k object-format=sha256\n`], /SHA-256/],
    ['in SHA-256, empty', [`${'0'.repeat(64)} capabilities^{}\0object-format=sha256\n`], /SHA-256/],
    ['a shallow clone', [`${HEAD} refs/heads/main\0${capabilities}\n`, `shallow ${HEAD}\n`], /shallow clone/],
  ])('is refused with a reason: %s', async (_what, lines, message) => {
    const mirror = await mirrorOf(await serve((_req, res) => (advertise(res, lines), res.end('0000'))));
    const failure = await failureOf(mirror.fetch(undefined));
    expect(failure).toMatchObject({ code: 'REPOSITORY_UNSUPPORTED', retryable: false });
    expect(String(failure)).toMatch(message);
  });
});
