import * as fs from 'node:fs/promises';
import { performance } from 'node:perf_hooks';
import { fetch, type GitHttpRequest, type GitHttpResponse, type PromiseFsClient } from 'isomorphic-git';
import type { CommitSha } from '@floe/model';
import type { Advertisement } from './advertisement.ts';
import { gitError, isTranslated, translateFolderError } from './errors.ts';
import type { GitTransport } from './git-transport.ts';
import { notGit, refusal } from './http-errors.ts';
import { DOWNLOAD_SETTING, mib, tooLarge, type RepositoryLimits } from './limits.ts';
import type { MirrorFolder } from './mirror-folder.ts';
import type { FetchProgress } from './mirror-types.ts';
import { checkPack } from './pack/check-pack.ts';
import { encodePacket, frame, PacketError, PacketReader } from './pkt-line.ts';

export interface ReceivePackOptions {
  readonly dir: string;
  readonly url: string;
  readonly branch: string;
  readonly folder: MirrorFolder;
  readonly limits: RepositoryLimits;
  readonly transport: GitTransport;
  readonly head: CommitSha;
  /** A ref to a commit that is present with its complete history. */
  readonly haveRef: string;
  readonly advertisement: Advertisement;
  readonly signal: AbortSignal;
  readonly onProgress: (progress: FetchProgress) => void;
}

/** Fewer bytes than this are no progress: a server that sends single bytes now and then counts as silent. */
const LEAST_BYTES = 1024;
const PROGRESS_MS = 250;
/** For isomorphic-git, which knows HTTP alone. What it asks there goes to the transport. */
const NO_PLACE = 'https://repository.invalid';
/** Where an index has its number of objects: the last entry of its fan-out table. */
const INDEX_COUNT_OFFSET = 8 + 255 * 4;

/**
 * Lets isomorphic-git fetch the objects that the mirror lacks. Its `http` and `fs` are wrapped: bytes are counted as they arrive,
 * and a pack is checked as a whole before it is written or unpacked. A refused pack leaves no files. Returns the path of the
 * pack.
 */
export async function receivePack(options: ReceivePackOptions): Promise<string> {
  const { dir, url, branch, advertisement } = options;
  if (!advertisement.capabilities.has('side-band-64k')) throw notGit(url, new Error('the server offers no side-band-64k'));
  const guard = new FetchGuard(options);
  try {
    await fetch({
      fs: guard.fs,
      http: { request: async (request) => await guard.request(request) },
      gitdir: dir,
      url: NO_PLACE,
      remote: 'origin',
      ref: options.haveRef,
      remoteRef: `refs/heads/${branch}`,
      singleBranch: true,
      tags: false,
      onProgress: ({ loaded, total }) => guard.indexed(loaded, total),
    });
    if (guard.failure !== undefined) throw guard.failure;
    if (guard.whole === undefined) throw new Error('the answer contained no pack');
    return guard.whole;
  } catch (caught) {
    await guard.discard();
    options.signal.throwIfAborted();
    const error = guard.failure ?? caught;
    if (isTranslated(error) || translateFolderError(error, dir) !== undefined) throw error;
    throw incompleteTransfer(url, error);
  }
}

/** The server stopped before it had sent everything. */
export function incompleteTransfer(url: string, cause?: unknown): Error {
  return gitError('REPOSITORY_UNREACHABLE', `${url} sent an incomplete or damaged answer; Floe tries again`, {
    data: { url },
    cause,
  });
}

function asError(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error(String(thrown));
}

class FetchGuard {
  /** The first error: isomorphic-git swallows some, and tries to write a second time. */
  failure: Error | undefined;
  readonly #options: ReceivePackOptions;
  readonly #report: (progress: FetchProgress) => void;
  /** The pack for which an index was written. */
  whole: string | undefined;
  #packPath: string | undefined;
  #receivedBytes = 0;
  #count = 0;

  constructor(options: ReceivePackOptions) {
    this.#options = options;
    this.#report = reporter(options.onProgress);
  }

  get fs(): PromiseFsClient {
    const { readFile, mkdir, rmdir, unlink, stat, lstat, readdir, readlink, symlink } = fs;
    const writeFile = async (path: string, content: string | Uint8Array): Promise<void> => {
      if (this.failure !== undefined) throw this.failure;
      try {
        await this.#write(path, content);
      } catch (error) {
        this.failure = asError(error);
        throw error;
      }
    };
    return { promises: { readFile, writeFile, mkdir, rmdir, unlink, stat, lstat, readdir, readlink, symlink } };
  }

  async request({ method, body }: GitHttpRequest): Promise<GitHttpResponse> {
    const { transport, url } = this.#options;
    const answer = { url, method: method ?? 'GET', statusCode: 200, statusMessage: 'OK' };
    if (method !== 'POST') {
      return { ...answer, headers: { 'content-type': 'application/x-git-upload-pack-advertisement' }, body: once(this.#listing()) };
    }
    const chunks: Uint8Array[] = [];
    for await (const chunk of body ?? []) chunks.push(chunk);
    try {
      const answerBody = await transport.uploadPack(Buffer.concat(chunks).toString('latin1'));
      return { ...answer, headers: { 'content-type': 'application/x-git-upload-pack-result' }, body: this.#heard(answerBody) };
    } catch (error) {
      this.failure ??= asError(error);
      throw error;
    }
  }

  indexed(objects: number, totalObjects: number): void {
    this.#options.signal.throwIfAborted();
    this.#report({ receivedBytes: this.#receivedBytes, objects, totalObjects });
  }

  /** A pack without an index is useless. */
  async discard(): Promise<void> {
    if (this.#packPath !== undefined) await fs.rm(this.#packPath, { force: true });
  }

  /** The list of refs from the discovery, without those that are not needed: there may be a million. */
  #listing(): Buffer {
    const { head, branch, advertisement } = this.#options;
    const capabilities = ['side-band-64k', 'ofs-delta'].filter((name) => advertisement.capabilities.has(name)).join(' ');
    const refs = [`${head} HEAD\0${capabilities}\n`, `${head} refs/heads/${branch}\n`].map(encodePacket).join('');
    return Buffer.from(`${encodePacket('# service=git-upload-pack\n')}0000${refs}0000`);
  }

  /** The answer without the server's final error message, which isomorphic-git would take for the end of the pack. */
  async *#heard(body: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void> {
    const packets = new PacketReader(this.#counted(body));
    try {
      for (;;) {
        const packet = await packets.next();
        if (packet === 'end') return;
        const words = packet === 'flush' ? undefined : lastWords(packet);
        if (words !== undefined) throw refusal(this.#options.url, words);
        yield frame(packet);
      }
    } catch (error) {
      this.failure ??= error instanceof PacketError ? incompleteTransfer(this.#options.url, error) : asError(error);
      throw error;
    }
  }

  async *#counted(body: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void> {
    const maxBytes = this.#options.limits.downloadBytes;
    try {
      for await (const chunk of body) {
        this.#receivedBytes += chunk.length;
        if (this.#receivedBytes > maxBytes) throw tooLarge(`its new objects are a download of more than ${mib(maxBytes)}`, DOWNLOAD_SETTING);
        this.#report({ receivedBytes: this.#receivedBytes, objects: 0, totalObjects: 0 });
        yield chunk;
      }
    } catch (error) {
      this.failure ??= asError(error);
      throw error;
    }
  }

  async #write(path: string, content: string | Uint8Array): Promise<void> {
    const { folder, limits, signal } = this.#options;
    const bytes = typeof content === 'string' ? Buffer.from(content) : Buffer.from(content.buffer, content.byteOffset, content.byteLength);
    if (path.endsWith('.pack')) {
      this.#count = await checkPack(bytes, { limits, signal, onProgress: (objects, total) => this.indexed(objects, total) });
      this.#packPath = path;
      await folder.writeWhole(path, bytes);
    } else if (path.endsWith('.idx')) {
      // isomorphic-git leaves out objects that it cannot unpack.
      if (bytes.readUInt32BE(INDEX_COUNT_OFFSET) !== this.#count) throw new Error('a pack contains objects that cannot be unpacked');
      await folder.writeWhole(path, bytes);
      this.whole = this.#packPath;
      this.#packPath = undefined;
    }
    // The caller moves the refs, once everything that they refer to is present.
  }
}

/** A server's error message: in a line before the pack, or on the third band (git: gitprotocol-pack). */
function lastWords(packet: Buffer): string | undefined {
  if (packet[0] === 3) return packet.toString('utf8', 1);
  return packet.toString('latin1', 0, 4) === 'ERR ' ? packet.toString('utf8', 4) : undefined;
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array, void> {
  yield bytes;
}

function reporter(onProgress: (progress: FetchProgress) => void): (progress: FetchProgress) => void {
  let told: FetchProgress | undefined;
  let toldAt = 0;
  return (progress) => {
    const isNew =
      told === undefined ||
      progress.receivedBytes - told.receivedBytes >= LEAST_BYTES ||
      progress.objects !== told.objects ||
      progress.totalObjects !== told.totalObjects;
    if (!isNew || performance.now() - toldAt < PROGRESS_MS) return;
    told = progress;
    toldAt = performance.now();
    onProgress(progress);
  };
}
