import { resolve } from 'node:path';
import { FloeError } from '@floe/runtime';
import { count } from '@floe/views';
import type { Facts } from './facts.ts';
import type { Findings } from './findings.ts';
import { gitIn, type Git, type GitDeps } from './git.ts';

export interface RepositoryToCheck {
  readonly dir: string;
  /** Who may sign commits, in the format of ssh-keygen; undefined: signatures are not looked at. */
  readonly signersFile: string | undefined;
}

/** Whether the commits of releases are in the repository, on the tracked branch, in the order of their sequences, and signed. */
export async function judgeCommits(deps: GitDeps, { dir, signersFile }: RepositoryToCheck, facts: Facts, findings: Findings): Promise<number> {
  const git = gitIn(deps, dir);
  const released = [...facts.commits].filter(([, { isSubmitted }]) => !isSubmitted).toSorted(([one], [other]) => one - other);
  // By what the release key signed last, and not by what the server says that it follows.
  const followed = released.at(-1)?.[1];
  if (followed === undefined) return 0;
  const { ref } = followed;
  if (!/^refs\/heads\/[\w./@+-]{1,500}$/.test(ref)) throw new FloeError('USAGE', `the releases name no branch of git: ${ref.slice(0, 100)}`);
  const branch = ref.slice('refs/heads/'.length);
  const candidates = [`refs/remotes/origin/${branch}`, ref];
  const heads = (
    await Promise.all(candidates.map(async (name) => await git(['rev-parse', '--verify', '--quiet', '--end-of-options', `${name}^{commit}`])))
  ).flatMap(({ exitCode, text }) => (exitCode === 0 ? [text.trim()] : []));
  if (heads.length === 0)
    throw new FloeError('USAGE', `${dir} is no git repository with the branch ${branch} (looked for ${candidates.join(' and ')})`);
  // One look at the history, instead of one for each pair: children come before their parents.
  const history = await git(['rev-list', '--topo-order', '--parents', ...heads, '--']);
  if (history.exitCode !== 0) throw new FloeError('USAGE', `the history of ${branch} in ${dir} cannot be read: ${history.error}`);
  const rows = history.text.split('\n').filter((row) => row !== '');
  const parents: History = new Map(rows.map((row, place) => [row.slice(0, 40), { parents: row.slice(41), place }]));
  const known: { readonly sequence: number; readonly commit: string; readonly line: number }[] = [];
  let elsewhere = 0;
  for (const [sequence, { line, commit, repository, ref: of }] of released) {
    if (repository !== followed.repository || of !== ref) {
      elsewhere += 1;
      continue;
    }
    if (facts.revisions.get(sequence)?.isHandover === true) {
      findings.note(line, `the sequence ${sequence} is a handover of a CI, by the server's word: its commit is not looked for`);
      continue;
    }
    if (parents.has(commit)) known.push({ sequence, commit, line });
    else
      findings.bend(
        line,
        `the commit ${commit} of the sequence ${sequence} is not on ${branch} in ${dir}: it was never pushed there, was removed by a force-push, or the repository is older than the export (git fetch)`,
      );
  }
  if (elsewhere > 0)
    findings.note(
      undefined,
      `${count(elsewhere, 'commit is', 'commits are')} of a repository or branch that the fleet followed before: not looked for`,
    );
  judgeOrder(known, parents, findings);
  if (signersFile !== undefined) await judgeSigners(git, signersFile, known, findings);
  return known.length;
}

/** Of each commit its parents, and its place: children come before their parents. */
type History = ReadonlyMap<string, { readonly parents: string; readonly place: number }>;

/** Each is in the history of the next. */
function judgeOrder(
  known: readonly { readonly sequence: number; readonly commit: string; readonly line: number }[],
  history: History,
  findings: Findings,
): void {
  for (const [index, { sequence, commit, line }] of known.entries()) {
    const before = known[index - 1];
    if (before === undefined || before.commit === commit || isAncestor(before.commit, commit, history)) continue;
    findings.bend(
      line,
      `the commit ${commit} has the sequence ${sequence}, and does not follow from ${before.commit} with ${before.sequence}: they are in another order, or one was force-pushed over the other`,
    );
  }
}

/** Looks no further than the ancestor's place: what is behind that comes from none of its children. */
function isAncestor(ancestor: string, of: string, history: History): boolean {
  const end = history.get(ancestor)?.place ?? -1;
  const seen = new Set([of]);
  const todo = [of];
  for (let next = todo.pop(); next !== undefined; next = todo.pop()) {
    if (next === ancestor) return true;
    for (const parent of (history.get(next)?.parents ?? '').split(' ')) {
      if (parent === '' || seen.has(parent) || (history.get(parent)?.place ?? Infinity) > end) continue;
      seen.add(parent);
      todo.push(parent);
    }
  }
  return false;
}

/** All that came between the first and the last: the first one was accepted before. */
async function judgeSigners(
  git: Git,
  signersFile: string,
  known: readonly { readonly commit: string; readonly line: number }[],
  findings: Findings,
): Promise<void> {
  const [first, last] = [known[0], known.at(-1)];
  if (first === undefined || last === undefined) return;
  const config = ['-c', 'gpg.format=ssh', '-c', `gpg.ssh.allowedSignersFile=${resolve(signersFile)}`];
  const log = await git([...config, 'log', '--format=%H %G?', last.commit, `^${first.commit}`, '--']);
  const own = await git([...config, 'log', '-1', '--format=%H %G?', first.commit, '--']);
  if (log.exitCode !== 0 || own.exitCode !== 0) throw new FloeError('USAGE', `git cannot check signatures: ${log.error}`);
  const lines = new Map(known.map(({ commit, line }) => [commit, line]));
  for (const row of `${own.text}\n${log.text}`.split('\n')) {
    const [commit = '', verdict] = row.split(' ');
    if (commit !== '' && verdict !== 'G')
      findings.bend(lines.get(commit), `the commit ${commit} is not signed by one of ${signersFile} (git says ${verdict ?? '?'})`);
  }
}
