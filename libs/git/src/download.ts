import { createHash } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';
import type { CommitSha } from '@floe/model';
import type { Advertisement } from './advertisement.ts';
import { serverError } from './advertisement.ts';
import { gitError } from './errors.ts';
import { notGit, type GitHttp } from './git-http.ts';
import { DOWNLOAD_SETTING, mib, tooLarge } from './limits.ts';
import { encodePacket, PacketReader } from './pkt-line.ts';

export interface DownloadOptions {
  readonly url: string;
  readonly head: CommitSha;
  /** Commits that are here with all that is behind them. */
  readonly have: readonly string[];
  readonly advertisement: Advertisement;
  readonly maxBytes: number;
  readonly onBytes: (total: number) => void;
}

const BAND_DATA = 1;
const BAND_ERROR = 3;
const HASH_BYTES = 20;

/**
 * Asks for what the head has and we have not, and writes the pack into `file` as it comes. Returns its hash, which was
 * checked against the bytes. Nothing of it was looked at.
 */
export async function downloadPack(http: GitHttp, file: FileHandle, options: DownloadOptions): Promise<string> {
  const { url, advertisement, maxBytes } = options;
  if (!advertisement.capabilities.has('side-band-64k')) throw notGit(url, new Error('the server offers no side-band-64k'));
  const packets = new PacketReader(await http.uploadPack(request(options)));
  const hash = createHash('sha1');
  let total = 0;
  // The last bytes are the hash of all before them, so they are held back until more came.
  let held = Buffer.alloc(0);
  for (;;) {
    const packet = await packets.next();
    if (packet === 'flush' || packet === 'end') break;
    // Also what is only talk counts, so that a server cannot talk for ever.
    total += 4 + packet.length;
    if (total > maxBytes) throw tooLarge(`what is new in it is more than ${mib(maxBytes)} to download`, DOWNLOAD_SETTING);
    options.onBytes(total);
    const band = packet[0] ?? 0;
    if (band > BAND_ERROR) {
      const line = packet.toString('utf8');
      if (line.startsWith('ERR ')) throw serverError(url, line.slice(4));
      continue; // ACK or NAK
    }
    const data = packet.subarray(1);
    if (band === BAND_ERROR) throw serverError(url, data.toString('utf8'));
    if (band !== BAND_DATA) continue;
    await file.writeFile(data);
    const tail = Buffer.concat([held, data]);
    hash.update(tail.subarray(0, Math.max(0, tail.length - HASH_BYTES)));
    held = Buffer.from(tail.subarray(Math.max(0, tail.length - HASH_BYTES)));
  }
  if (held.length < HASH_BYTES || !hash.digest().equals(held)) throw incompleteTransfer(url);
  return held.toString('hex');
}

function request({ head, have, advertisement }: DownloadOptions): string {
  const wanted = ['side-band-64k', 'ofs-delta'].filter((name) => advertisement.capabilities.has(name));
  const haves = have.map((oid) => encodePacket(`have ${oid}\n`)).join('');
  return `${encodePacket(`want ${head} ${[...wanted, 'agent=floe'].join(' ')}\n`)}0000${haves}${encodePacket('done\n')}`;
}

/** The server ended in the middle of what it had to send. */
export function incompleteTransfer(url: string, cause?: unknown): Error {
  return gitError('REPOSITORY_UNREACHABLE', `${url} sent only a part of what was asked for, or something broken; the fetch is tried again`, {
    data: { url },
    cause,
  });
}
