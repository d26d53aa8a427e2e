import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { CommitSha } from '@floe/model';
import { peek, ReleaseStatement, type ExportLine } from '@floe/protocol';
import { exec, execInTest, FloeError, isFloeError, type Exec } from '@floe/runtime';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { pastFleet, resealed, type PastFleet } from '../test/past-fleet.ts';
import { unheard } from '../test/sentences.ts';
import type { Finding } from './findings.ts';
import { judgeCommits } from './judge-commits.ts';
import { readExport } from './read-export.ts';

// Git and ssh-keygen are real.

let dir: string;
let repository: string;
let signersFile: string;
/** One after another. */
let commits: CommitSha[];
/** Beside the last of them. */
let side: CommitSha;
const heard = new Set<string>();

const env = { PATH: process.env['PATH'] ?? '' };
async function git(...args: readonly string[]): Promise<string> {
  const config = ['user.name=ada', 'user.email=ada@example.org', 'gpg.format=ssh', `user.signingKey=${join(dir, 'ada')}`];
  const settings = config.flatMap((each) => ['-c', each]);
  const { exitCode, stdout, stderr } = await execInTest('git', ['-C', repository, ...settings, ...args], {
    env: { ...env, GIT_CONFIG_GLOBAL: '/dev/null', GIT_CONFIG_NOSYSTEM: '1' },
  });
  if (exitCode !== 0) throw new Error(stderr);
  return stdout.trim();
}

async function commit(subject: string, isSigned = true): Promise<CommitSha> {
  await git('commit', '-q', '--allow-empty', ...(isSigned ? ['-S'] : []), '-m', subject);
  return (await git('rev-parse', 'HEAD')) as CommitSha;
}

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'floe-commits-'));
  repository = join(dir, 'repository');
  signersFile = join(dir, 'signers');
  await mkdir(repository);
  await execInTest('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', 'x', '-f', join(dir, 'ada')], { env });
  await writeFile(signersFile, `ada@example.org ${await readFile(join(dir, 'ada.pub'), 'utf8')}`);
  await git('init', '-q', '-b', 'main');
  commits = [await commit('One'), await commit('Two'), await commit('Three')];
  await git('checkout', '-q', '--detach', commits[1]!);
  side = await commit('Aside');
  await git('checkout', '-q', 'main');
});
afterAll(async () => await rm(dir, { recursive: true }));

interface Said {
  readonly commits?: number;
  readonly bent: readonly string[];
  readonly notes: readonly string[];
  readonly refused?: string;
}

interface Asked {
  readonly signers?: string;
  readonly dir?: string;
  readonly exec?: Exec;
  readonly change?: (lines: readonly ExportLine[], fleet: PastFleet) => readonly ExportLine[];
}

/** All releases as `change` has them. */
function withReleases(change: (said: ReleaseStatement) => ReleaseStatement): NonNullable<Asked['change']> {
  return (lines, { releaseLine }) =>
    lines.map((line) => {
      const opened = line.kind === 'release' ? peek(line.envelope, ReleaseStatement) : undefined;
      return opened?.kind === 'opened' ? releaseLine(change(opened.statement)) : line;
    });
}

/** Checks a fleet that these commits were released to. */
async function check(released: readonly CommitSha[], asked: Asked = {}): Promise<Said> {
  const fleet = pastFleet(released);
  const text = resealed(asked.change?.(fleet.lines, fleet) ?? fleet.lines, fleet.server);
  const pieces = (async function* () {
    yield Buffer.from(text);
  })();
  const { facts, findings } = await readExport(pieces, { release: [fleet.release], server: [fleet.server], hosts: new Map() });
  const words = (found: readonly Finding[]): string[] => found.map(({ what }) => what);
  expect(words(findings.bent)).toEqual([]);
  const deps = { exec: asked.exec ?? exec, env, signal: new AbortController().signal };
  try {
    const seen = await judgeCommits(deps, { dir: asked.dir ?? repository, signersFile: asked.signers }, facts, findings);
    const said = { commits: seen, bent: words(findings.bent), notes: words(findings.notes) };
    for (const each of [...said.bent, ...said.notes]) heard.add(each);
    return said;
  } catch (error) {
    if (!isFloeError(error, 'USAGE')) throw error;
    heard.add(error.message);
    return { bent: [], notes: [], refused: error.message };
  }
}

/** On the branch main of the clone, and of what it fetched last, for the time of the test. */
async function onMain(head: CommitSha, run: () => Promise<void>): Promise<void> {
  await git('update-ref', 'refs/heads/main', head);
  await run();
  await git('update-ref', 'refs/heads/main', commits[2]!);
}

describe('R30: commits of releases', () => {
  test('that are in the clone, in order, and signed, are whole', async () => {
    expect(await check(commits, { signers: signersFile })).toMatchObject({ commits: 3, bent: [] });
    // Several releases of one commit, and commits that no release is of.
    expect(await check([commits[0]!, commits[2]!, commits[2]!], { signers: signersFile })).toMatchObject({ commits: 3, bent: [] });
    await git('update-ref', 'refs/remotes/origin/main', commits[2]!);
    await onMain(commits[0]!, async () => expect(await check(commits)).toMatchObject({ commits: 3, bent: [] }));
    await git('update-ref', '-d', 'refs/remotes/origin/main');
  });

  test('that the branch lacks are named', async () => {
    await onMain(commits[1]!, async () =>
      expect((await check(commits)).bent).toEqual([expect.stringContaining(`the commit ${commits[2]} of the sequence 3 is not on main in `)]),
    );
    expect((await check([commits[0]!, commits[1]!, side])).bent).toEqual([expect.stringContaining(`the commit ${side} of the sequence 3 is not on`)]);
  });

  test('in another order, also where one was force-pushed over the other, are named', async () => {
    expect((await check([commits[0]!, commits[2]!, commits[1]!])).bent).toEqual([
      `the commit ${commits[1]} has the sequence 3, and does not follow from ${commits[2]} with 2: they are in another order, or one was force-pushed over the other`,
    ]);
    await git('checkout', '-q', '--detach', commits[2]!);
    await git('merge', '-q', '-S', '--no-ff', '-m', 'Both', side);
    const both = (await git('rev-parse', 'HEAD')) as CommitSha;
    await git('checkout', '-q', 'main');
    await onMain(both, async () => {
      expect((await check([commits[1]!, commits[2]!, side])).bent).toEqual([
        expect.stringContaining(`${side} has the sequence 3, and does not follow`),
      ]);
      expect(await check([commits[2]!, both, both], { signers: signersFile })).toMatchObject({ bent: [] });
    });
  });

  test('that nobody allowed signed, also those between two releases, are named', async () => {
    await git('checkout', '-q', '--detach', commits[2]!);
    const unsigned = await commit('Not signed', false);
    const last = await commit('Signed');
    await git('checkout', '-q', 'main');
    await onMain(last, async () => {
      const { bent } = await check([commits[0]!, commits[1]!, last], { signers: signersFile });
      expect(bent).toEqual([`the commit ${unsigned} is not signed by one of ${signersFile} (git says N)`]);
      // The first one, too.
      expect((await check([unsigned, last, last], { signers: signersFile })).bent).toEqual([
        expect.stringContaining(`the commit ${unsigned} is not`),
      ]);
    });
    const nobody = join(dir, 'nobody');
    await writeFile(nobody, '');
    expect((await check(commits, { signers: nobody })).bent).toHaveLength(3);
  });

  test('are looked for on the branch that the release key signed, whatever the server says that it follows', async () => {
    await git('update-ref', 'refs/heads/other', commits[1]!);
    const change: Asked['change'] = (lines) =>
      lines.map((line) => (line.kind === 'header' ? { ...line, repository: 'https://other.example/x.git', ref: 'refs/heads/other' } : line));
    expect(await check(commits, { change })).toMatchObject({ commits: 3, bent: [] });
  });

  test('of another repository before, of a CI, or of a submitted system are not looked for', async () => {
    const before = await check([side, commits[1]!, commits[2]!], {
      change: withReleases((said) => (said.sequence === 1 ? { ...said, repository: 'https://git.example.org/old.git' } : said)),
    });
    expect(before).toEqual({ commits: 2, bent: [], notes: ['1 commit is of a repository or branch that the fleet followed before: not looked for'] });
    const ofCi = await check([commits[0]!, side, commits[2]!], {
      change: (lines) => lines.map((line) => (line.kind === 'revision' && line.sequence === 2 ? { ...line, isHandover: true } : line)),
    });
    expect(ofCi).toMatchObject({ commits: 2, bent: [], notes: [expect.stringContaining('the sequence 2 is a handover of a CI')] });
    const submitted = await check([commits[0]!, side, commits[2]!], {
      change: withReleases((said) => (said.sequence === 2 ? { ...said, purpose: 'submitted' } : said)),
    });
    expect(submitted).toEqual({ commits: 2, bent: [], notes: [] });
    expect(await check(commits, { change: (lines) => lines.filter(({ kind }) => kind !== 'release') })).toMatchObject({ commits: 0, bent: [] });
  });
});

test('what cannot be checked is refused', async () => {
  expect((await check(commits, { dir })).refused).toContain('is no git repository with the branch main');
  const change = withReleases((said) => ({ ...said, ref: 'refs/tags/v1' }));
  expect((await check(commits, { change })).refused).toContain('the releases name no branch of git: refs/tags/v1');
  const failing =
    (command: string): Exec =>
    async (file, args, options) => {
      const ended = await exec(file, args, options);
      return args.includes(command) ? { ...ended, exitCode: 128, stderr: 'fatal: no' } : ended;
    };
  expect((await check(commits, { exec: failing('rev-list') })).refused).toContain('the history of main in ');
  expect((await check(commits, { exec: failing('log'), signers: signersFile })).refused).toContain('git cannot check signatures');
  const late: Exec = async (file, args, options) => ({ ...(await exec(file, args, options)), end: 'timed-out' });
  expect((await check(commits, { exec: late })).refused).toContain('git did not end by itself');
  const missing: Exec = async () => await Promise.reject(new FloeError('EXEC_NOT_STARTED', 'no git'));
  expect((await check(commits, { exec: missing })).refused).toContain('git is not installed here');
});

test('each sentence of these checks was said in a test', () => {
  expect(unheard(import.meta.dirname, (file) => file === 'git.ts' || file === 'judge-commits.ts', heard)).toEqual([]);
});
