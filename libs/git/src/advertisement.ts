import { gitError } from './errors.ts';
import { refusal } from './http-errors.ts';
import { MAX_REFS_BYTES, mib, tooLarge } from './limits.ts';
import { PacketError, PacketReader } from './pkt-line.ts';

/** The parts of a server's list of refs that are used. */
export interface Advertisement {
  /** The branch's commit; undefined: the branch does not exist. */
  readonly head: string | undefined;
  /** The branch that HEAD names; undefined: the server does not say, as when nothing was pushed to that branch. */
  readonly defaultBranch: string | undefined;
  /** Some of the branches, for an error message. */
  readonly branches: readonly string[];
  readonly branchCount: number;
  /** The branches in the folder that was asked for; `isComplete` false: there are more. */
  readonly under: { readonly branches: readonly { readonly name: string; readonly head: string }[]; readonly isComplete: boolean };
  readonly capabilities: ReadonlySet<string>;
}

const BRANCHES_KEPT = 50;
/** Of one folder. Their names are long at most as a line of the protocol is: 64 KiB. */
const LISTED_BRANCHES = 1_000;
const LONGEST_LISTED_NAME = 300;
/** Lines that are not refs: the service's name and the protocol's version. */
const MAX_COMMENTS = 10;
const HEADS = 'refs/heads/';
const HEAD_CAPABILITY = `symref=HEAD:${HEADS}`;

/** The body is counted while it is read, and only the used parts are kept, so that an endless list takes no memory. */
async function* counted(body: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  let bytes = 0;
  for await (const chunk of body) {
    bytes += chunk.length;
    if (bytes > MAX_REFS_BYTES) throw tooLarge(`its list of branches and tags is larger than ${mib(MAX_REFS_BYTES)}`);
    yield chunk;
  }
}

/** Reads the answer to `/info/refs?service=git-upload-pack` (git: gitprotocol-http, gitprotocol-pack, version 0). */
export async function readAdvertisement(body: AsyncIterable<Uint8Array>, url: string, branch: string, folder?: string): Promise<Advertisement> {
  const packets = new PacketReader(counted(body));
  let capabilities: ReadonlySet<string> | undefined;
  const branches: string[] = [];
  const listed: Advertisement['under']['branches'][number][] = [];
  let isListComplete = true;
  let branchCount = 0;
  let head: string | undefined;
  let flushes = 0;
  let comments = 0;
  for (;;) {
    const packet = await packets.next();
    if (packet === 'end') break;
    if (packet === 'flush') {
      // One after the service's name, one at the end.
      flushes += 1;
      if (flushes === 2) break;
      continue;
    }
    const line = packet.toString('utf8').replace(/\n$/, '');
    if (line.startsWith('# ') || line.startsWith('version ')) {
      comments += 1;
      if (comments > MAX_COMMENTS) throw new PacketError('a list of refs with many comments', false);
      continue;
    }
    if (line.startsWith('ERR ')) throw refusal(url, line.slice(4));
    if (line.startsWith('shallow ')) {
      throw gitError(
        'REPOSITORY_UNSUPPORTED',
        `the repository at ${url} is itself a shallow clone, with a part of its history only: fetch the rest there with "git fetch --unshallow", or name the repository that it was cloned from`,
        { data: { url } },
      );
    }
    const zero = line.indexOf('\0');
    if (capabilities === undefined) {
      capabilities = new Set(zero < 0 ? [] : line.slice(zero + 1).split(' '));
      assertSha1(capabilities, line, url);
    }
    const [oid, ref] = split(zero < 0 ? line : line.slice(0, zero));
    if (!ref.startsWith(HEADS)) continue;
    const name = ref.slice(HEADS.length);
    branchCount += 1;
    if (branches.length < BRANCHES_KEPT) branches.push(name);
    if (name === branch) head = oid;
    if (folder === undefined || !name.startsWith(folder)) continue;
    if (listed.length < LISTED_BRANCHES) listed.push({ name: name.slice(0, LONGEST_LISTED_NAME), head: oid });
    else isListComplete = false;
  }
  const under = { branches: listed, isComplete: isListComplete };
  const defaultBranch = [...(capabilities ?? [])].find((each) => each.startsWith(HEAD_CAPABILITY))?.slice(HEAD_CAPABILITY.length);
  return { head, defaultBranch, branches, branchCount, under, capabilities: capabilities ?? new Set() };
}

function split(line: string): [string, string] {
  const space = line.indexOf(' ');
  return [line.slice(0, space), line.slice(space + 1)];
}

function assertSha1(capabilities: ReadonlySet<string>, line: string, url: string): void {
  const format = [...capabilities].find((each) => each.startsWith('object-format='))?.slice('object-format='.length);
  if ((format === undefined || format === 'sha1') && !/^[0-9a-f]{64} /.test(line)) return;
  throw gitError(
    'REPOSITORY_UNSUPPORTED',
    `the repository at ${url} is in git's SHA-256 format, which neither Floe nor the forges' APIs support: create it again with "git init --object-format=sha1"`,
    { data: { url } },
  );
}
