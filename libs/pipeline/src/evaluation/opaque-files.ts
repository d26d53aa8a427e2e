import { lstat, open, realpath } from 'node:fs/promises';
import { join } from 'node:path';
import { NOWHERE, opaqueKind, shownText, type OpaqueFile, type OpaqueKind } from '@floe/git';
import type { HostName, StorePath } from '@floe/model';
import type { HostEvaluation } from '@floe/nix';
import type { Revision } from '@floe/store';
import type { PipelineDeps } from '../deps.ts';
import { addressWithout } from './source.ts';

interface Candidate {
  readonly host: HostName;
  readonly drvPath: string;
}

const BEGINNING = 64;
const NAMED = 3;

const KINDS: Record<OpaqueKind, string> = {
  lfs: 'is a pointer of Git LFS and not the file itself, which Floe does not fetch: commit the file, or fetch it in Nix with a hash',
  'git-crypt': 'is encrypted by git-crypt, and Floe has no key: use sops-nix or agenix, which decrypt on the machine',
  encrypted: 'is encrypted by a filter of .gitattributes, and Floe has no key: use sops-nix or agenix, which decrypt on the machine',
};

/**
 * Which of the hosts use a Git LFS pointer or an encrypted file, with a sentence for each. Two checks decide: whether the host
 * evaluates when these files are replaced by dangling links, and whether a copy of one is among the sources of its system. A
 * fleet that only stores such files is not affected.
 */
export async function usersOfOpaqueFiles(
  deps: Pick<PipelineDeps, 'mirror' | 'source' | 'nix' | 'repositoryNix' | 'limits'>,
  revision: Pick<Revision, 'sha'>,
  hosts: readonly Candidate[],
  signal: AbortSignal,
): Promise<ReadonlyMap<HostName, string>> {
  const { mirror, nix, repositoryNix, limits } = deps;
  const users = new Map<HostName, string>();
  if (hosts.length === 0) return users;
  const { opaque, isComplete } = await mirror.inspect(revision.sha);
  if (opaque.length === 0) return users;
  const paths = opaque.map(({ path }) => path);
  const failures: HostEvaluation[] = [];
  await repositoryNix.evaluateHosts(
    await addressWithout(deps, revision.sha, paths),
    hosts.map(({ host }) => host),
    {
      concurrency: limits.evaluations,
      timeoutMs: limits.evaluationTimeoutMs,
      maxMemoryBytes: limits.evaluationMemoryBytes,
      signal,
      onResult: (result) => failures.push(result),
    },
  );
  for (const result of failures) {
    // It evaluates with the files, so an error without them is about them. A resource limit that was exceeded proves nothing.
    if (result.kind === 'failed' && result.code === 'EVALUATION_FAILED') {
      users.set(
        result.host,
        sentence(
          opaque.filter((_, index) => result.error.includes(`${NOWHERE}${index}-`)),
          opaque,
          isComplete,
        ),
      );
    }
  }
  for (const { host, drvPath } of hosts) {
    if (users.has(host) || signal.aborted) continue;
    const copied = await copiesAmong(await repositoryNix.sourcesOf(drvPath), opaque, (path) => nix.storeFilePath(path as StorePath));
    if (copied !== undefined) users.set(host, sentence(copied, opaque, isComplete));
  }
  return users;
}

/** Extends an error that names such a file or a submodule by the reason why its content is not as expected. */
export async function explainOpaque({ mirror }: Pick<PipelineDeps, 'mirror'>, { sha }: Pick<Revision, 'sha'>, error: string): Promise<string> {
  const { opaque, submodules } = await mirror.inspect(sha);
  const submodule = submodules.find((path) => hasPath(error, path) || folderSpellings(path).some((spelling) => error.includes(spelling)));
  if (submodule !== undefined) {
    return `${shownText(submodule, 200)} is a submodule that is not fetched, so its folder is empty: set repository.submodules of the server (FLOE_REPOSITORY_SUBMODULES=yes), or make it an input of the flake: ${error}`;
  }
  const named = opaque.filter(({ path }) => hasPath(error, path));
  return named.length === 0 ? error : `${sentence(named, named, true)}: ${error}`;
}

/** A character of a name: next to it, the match is only part of another name. */
const NAME_CHARACTER = /[\p{L}\p{N}._+-]/u;

/** Whether the text contains the path, as a whole or as the end of a longer path. The letter e alone is not the file `e`. */
function hasPath(text: string, path: string): boolean {
  for (let at = text.indexOf(path); at >= 0; at = text.indexOf(path, at + 1)) {
    const end = at + path.length;
    const isEndOfSentence = text[end] === '.' && !NAME_CHARACTER.test(text[end + 1] ?? ' ');
    if (!NAME_CHARACTER.test(text[at - 1] ?? ' ') && (isEndOfSentence || !NAME_CHARACTER.test(text[end] ?? ' '))) return true;
  }
  return false;
}

/** The names that Nix may use for a missing folder: the folder, and each parent that contains nothing else. */
function folderSpellings(path: string): readonly string[] {
  const parts = path.split('/');
  const folders = parts.map((_, index) => parts.slice(0, index + 1).join('/'));
  return folders.flatMap((folder) => [`'${folder}'`, `/${folder}'`, `"${folder}"`, `/${folder}"`]);
}

function sentence(named: readonly OpaqueFile[], all: readonly OpaqueFile[], isComplete: boolean): string {
  const files = named.length > 0 ? named : all;
  const [first] = files;
  if (first === undefined) return 'it uses a file that is not in the repository itself';
  if (named.length > 0 || (all.length === 1 && isComplete)) return `${shownText(first.path, 200)} ${KINDS[first.kind]}`;
  const list = files
    .slice(0, NAMED)
    .map(({ path }) => shownText(path, 200))
    .join(', ');
  return `it uses one of the files that are pointers of Git LFS or encrypted, which Floe cannot read: ${list}${files.length > NAMED ? ', …' : ''}`;
}

/** The files of which a copy is among the sources of a system: `./cert.pem` is copied alone, `./certs` with its folder. */
async function copiesAmong(
  sources: readonly string[],
  opaque: readonly OpaqueFile[],
  place: (path: string) => string,
): Promise<readonly OpaqueFile[] | undefined> {
  const found: OpaqueFile[] = [];
  let isAny = false;
  for (const source of sources) {
    const root = place(source);
    const stats = await lstat(root).catch(() => undefined);
    if (stats?.isFile() === true && (await isOpaque(root))) {
      const name = source.slice('/nix/store/'.length + 33);
      found.push(...opaque.filter(({ path }) => path.split('/').at(-1) === name).slice(0, 1));
      isAny = true;
    }
    // `self` copies the whole repository, which does not show which files a host reads.
    if (stats?.isDirectory() !== true || (await lstat(join(root, 'flake.nix')).catch(() => undefined)) !== undefined) continue;
    for (const file of opaque) if (await holds(root, file.path)) found.push(file);
  }
  return isAny || found.length > 0 ? found : undefined;
}

/** Whether the folder contains the file at the end of its path. If so, the folder was copied from one of the file's parents. */
async function holds(root: string, path: string): Promise<boolean> {
  const names = path.split('/');
  for (let start = 0; start < names.length; start += 1) if (await isOpaque(join(root, ...names.slice(start)))) return true;
  return false;
}

async function isOpaque(path: string): Promise<boolean> {
  const stats = await lstat(path).catch(() => undefined);
  // The content of the store comes from the repository, so a link in it may point anywhere.
  if (stats?.isFile() !== true || (await realpath(path)) !== path) return false;
  const file = await open(path, 'r');
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(BEGINNING), 0, BEGINNING, 0);
    return opaqueKind(stats.size, buffer.subarray(0, bytesRead)) !== undefined;
  } finally {
    await file.close();
  }
}
