import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openMirror } from '@floe/git';
import type { CommitSha } from '@floe/model';
import { exec, execInTest, silentLogger } from '@floe/runtime';
import { startGitOrigin, type GitOrigin, type OriginRepository } from '@floe/testkit';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { askSigners, type Signed } from './refusal.ts';
import type { AllowedSigners } from './types.ts';

// Git, ssh-keygen and gpg are real, the repository is fetched over HTTP. Of the database only the newest published commit is asked.

let dir = '';
let gnupg = '';
let origin: GitOrigin;
let signers: AllowedSigners;
const env = { PATH: process.env['PATH'], HOME: '/nonexistent' };

async function run(file: string, ...args: readonly string[]): Promise<string> {
  const { exitCode, stdout, stderr } = await execInTest(file, args, { env: { ...env, GNUPGHOME: gnupg }, keepsDaemons: true });
  if (exitCode !== 0) throw new Error(`${file} ${args.join(' ')}: ${stderr}`);
  return stdout;
}

/** `twice`: an allowed key with two names. `expired`, `other`: in the file of signers, but not for this time, or not for commits. */
const SSH_KEYS = ['ada', 'twice', 'expired', 'other', 'mallory'] as const;
const PGP_KEYS = ['grace', 'revoked', 'oscar'] as const;
const sshKey = (name: string): string => join(dir, name);
const sshPublic = async (name: string): Promise<string> => (await readFile(`${sshKey(name)}.pub`, 'utf8')).split(' ').slice(0, 2).join(' ');

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'floe-signing-'));
  gnupg = join(dir, 'gnupg');
  await mkdir(gnupg, { mode: 0o700 });
  for (const name of SSH_KEYS) await run('ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-C', 'x', '-f', sshKey(name));
  for (const name of PGP_KEYS)
    await run('gpg', '--batch', '--passphrase', '', '--quick-generate-key', `${name} <${name}@example.org>`, 'ed25519', 'sign', 'never');
  const sshFile = join(dir, 'allowed_signers');
  await writeFile(
    sshFile,
    [
      '# who may sign',
      `ada@example.org ${await sshPublic('ada')}`,
      `two@example.org,twice@example.org namespaces="git" ${await sshPublic('twice')}`,
      `expired@example.org valid-before="20200101" ${await sshPublic('expired')}`,
      `other@example.org namespaces="file" ${await sshPublic('other')}`,
      '',
    ].join('\n'),
  );
  const openPgpFile = join(dir, 'keys.asc');
  const certificate = join(gnupg, 'openpgp-revocs.d', `${await fingerprint('revoked')}.rev`);
  // gpg puts a colon before the certificate, so that nobody imports it by accident.
  await writeFile(join(dir, 'revocation'), (await readFile(certificate, 'utf8')).replace(':-----BEGIN', '-----BEGIN'));
  const elsewhere = join(dir, 'gnupg-with-revocation');
  await mkdir(elsewhere, { mode: 0o700 });
  const all = await run('gpg', '--armor', '--export', 'grace', 'revoked');
  await writeFile(join(dir, 'all.asc'), all);
  await run('gpg', '--homedir', elsewhere, '--batch', '--import', join(dir, 'all.asc'), join(dir, 'revocation'));
  await writeFile(openPgpFile, await run('gpg', '--homedir', elsewhere, '--armor', '--export'));
  NAMES.grace = await fingerprint('grace');
  signers = { exec, sshFile, openPgpFile, path: env.PATH };
  origin = await startGitOrigin();
});
afterAll(async () => {
  await run('gpgconf', '--kill', 'gpg-agent').catch(() => undefined);
  await execInTest('gpgconf', ['--homedir', join(dir, 'gnupg-with-revocation'), '--kill', 'all']);
  await origin[Symbol.asyncDispose]();
  await rm(dir, { recursive: true, force: true });
});

async function fingerprint(name: string): Promise<string> {
  return /^fpr:+([0-9A-F]+):/m.exec(await run('gpg', '--with-colons', '--list-keys', name))?.[1] ?? '';
}

type Signer = (typeof SSH_KEYS)[number] | (typeof PGP_KEYS)[number] | 'nobody';
/** Of those who are allowed: a name of the file of SSH signers, the first of several, or the fingerprint. */
const NAMES: { [Name in Signer]?: string } = { ada: 'ada@example.org', twice: 'two@example.org' };
const ALLOWED: ReadonlySet<Signer> = new Set(['ada', 'twice', 'grace']);

/** Commits in the work clone of the repository, and pushes. */
async function commitAs(repository: OriginRepository, signer: Signer, message: string, ...more: readonly string[]): Promise<CommitSha> {
  const isPgp = (PGP_KEYS as readonly string[]).includes(signer);
  const key = isPgp
    ? ['-c', 'gpg.format=openpgp', '-c', `user.signingkey=${signer}`]
    : ['-c', 'gpg.format=ssh', '-c', `user.signingkey=${sshKey(signer)}.pub`];
  const program = join(dir, 'gpg-here');
  await writeFile(program, `#!/bin/sh\nGNUPGHOME='${gnupg}' exec gpg "$@"\n`, { mode: 0o755 });
  const sign = signer === 'nobody' ? ['commit', '--no-gpg-sign'] : ['commit', '-S'];
  await repository.git('-c', `gpg.openpgp.program=${program}`, ...key, ...sign, '-q', '--allow-empty', '-m', message, ...more);
  return (await repository.git('rev-parse', 'HEAD')) as CommitSha;
}

let count = 0;
async function opened(): Promise<OriginRepository> {
  count += 1;
  const repository = await origin.repository(`fleet-${count}`);
  await repository.commit({ 'flake.nix': '{ }' }, 'first, signed by nobody');
  return repository;
}

async function asked(repository: OriginRepository, base: CommitSha | undefined, head: CommitSha, by = signers): Promise<string | undefined> {
  const answer = await signedBy(repository, base, head, by);
  return answer?.kind === 'refused' ? answer.why : undefined;
}

async function signedBy(repository: OriginRepository, base: CommitSha | undefined, head: CommitSha, by = signers): Promise<Signed | undefined> {
  await repository.git('push', '-q', '--force', 'origin', `${head}:main`);
  await using mirror = await openMirror({ dir: join(dir, `mirror-${Math.random()}`), url: repository.url, branch: 'main', logger: silentLogger });
  await mirror.fetch(undefined);
  const revisions = { newestPublishedOfBranch: async () => await Promise.resolve(base === undefined ? undefined : { sha: base }) };
  return await askSigners({ mirror, store: { revisions } as never, signers: by }, 'fleet', head);
}

describe('the commits of a push', () => {
  test('are told from those before by the log of a builder that does not believe its database', async () => {
    const repository = await opened();
    const base = (await repository.git('rev-parse', 'HEAD')) as CommitSha;
    const unsigned = await commitAs(repository, 'nobody', 'unsigned');
    const head = await commitAs(repository, 'ada', 'signed');
    await repository.git('push', '-q', '--force', 'origin', `${head}:main`);
    await using mirror = await openMirror({ dir: join(dir, 'mirror-of-log'), url: repository.url, branch: 'main', logger: silentLogger });
    await mirror.fetch(undefined);
    const store = { revisions: { newestPublishedOfBranch: async () => await Promise.resolve({ sha: unsigned }) } } as never;
    expect((await askSigners({ mirror, store, signers }, 'fleet', head))?.kind).toBe('signed');
    const newestReleased = async () => await Promise.resolve({ commit: base, sequence: 1 });
    expect((await askSigners({ mirror, store, signers, newestReleased }, 'fleet', head))?.kind).toBe('refused');
  });

  test('are all signed by allowed signers, or the first of the others are named: whoever signed which, also in merges', async () => {
    const signer = fc.constantFrom<Signer>('ada', 'ada', 'ada', 'twice', 'grace', 'grace', ...SSH_KEYS, ...PGP_KEYS, 'nobody');
    let refused = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(fc.record({ signer, isOnSide: fc.boolean() }), { minLength: 1, maxLength: 5 }), signer, async (commits, merger) => {
        const repository = await opened();
        const base = (await repository.git('rev-parse', 'HEAD')) as CommitSha;
        const made: { readonly sha: CommitSha; readonly signer: Signer }[] = [];
        await repository.git('branch', '-q', 'side');
        for (const [index, each] of commits.entries()) {
          await repository.git('checkout', '-q', each.isOnSide ? 'side' : 'main');
          made.push({ sha: await commitAs(repository, each.signer, `commit ${index}`), signer: each.signer });
        }
        await repository.git('checkout', '-q', 'main');
        if (commits.some(({ isOnSide }) => isOnSide)) {
          await repository.git('merge', '-q', '--no-ff', '--no-commit', '-s', 'ours', 'side');
          made.push({ sha: await commitAs(repository, merger, 'merge'), signer: merger });
        }
        const head = (await repository.git('rev-parse', 'HEAD')) as CommitSha;
        const answer = await asked(repository, base, head);
        const wrong = made.filter((each) => !ALLOWED.has(each.signer));
        const named = made.filter(({ sha }) => answer?.includes(sha.slice(0, 10)) === true);
        expect(answer === undefined).toBe(wrong.length === 0);
        expect(named).toHaveLength(Math.min(3, wrong.length));
        expect(wrong).toEqual(expect.arrayContaining(named));
        const answered = await signedBy(repository, base, head);
        if (answered?.kind === 'signed') {
          expect(new Set(answered.signers)).toEqual(new Set(made.map((each) => NAMES[each.signer])));
          expect(answered.signers).toHaveLength(new Set(answered.signers).size);
        }
        if (answer !== undefined) refused += 1;
      }),
      { numRuns: Math.max(6, (fc.readConfigureGlobal().numRuns ?? 0) / 10) },
    );
    expect(refused).toBeGreaterThan(0);
  });

  test.each<[Signer, RegExp]>([
    ['nobody', /it has no signature/],
    ['mallory', /its SSH key is none of the allowed ones/],
    ['expired', /its SSH (?:key is none of the allowed ones|signature is not valid)/],
    ['other', /its SSH (?:key is none of the allowed ones|signature is not valid)/],
    ['oscar', /its OpenPGP signature is not valid, or of no allowed key/],
    ['revoked', /its OpenPGP signature is not valid, or of no allowed key/],
  ])('signed by %s are refused, with why and what to do', async (signer, why) => {
    const repository = await opened();
    const base = (await repository.git('rev-parse', 'HEAD')) as CommitSha;
    const head = await commitAs(repository, signer, 'a change\n\nmore');
    const answer = await asked(repository, base, head);
    expect(answer).toMatch(why);
    expect(answer).toContain(`- ${head.slice(0, 10)} (a change, by Ada Admin): `);
    expect(answer).toContain(`git rebase --rebase-merges --exec 'git commit --amend --no-edit -S' ${base.slice(0, 10)}`);
  });

  test('that were changed after they were signed are refused', async () => {
    const repository = await opened();
    const base = (await repository.git('rev-parse', 'HEAD')) as CommitSha;
    for (const signer of ['ada', 'grace'] as const) {
      const good = await commitAs(repository, signer, 'a change');
      expect(await asked(repository, base, good)).toBeUndefined();
      const file = join(dir, 'bent');
      await writeFile(file, (await repository.git('cat-file', 'commit', good)).replace('a change', 'a chance'));
      const bent = (await repository.git('hash-object', '-t', 'commit', '-w', file)) as CommitSha;
      expect(await asked(repository, base, bent)).toMatch(/is not valid/);
    }
  });
});

test('of a branch that was set back, and before the first publication, the head counts', async () => {
  const repository = await opened();
  const first = (await repository.git('rev-parse', 'HEAD')) as CommitSha;
  const good = await commitAs(repository, 'ada', 'good');
  expect(await asked(repository, undefined, good)).toBeUndefined();
  expect(await asked(repository, undefined, first)).toMatch(/no signature/);
  expect(await asked(repository, good, first)).toMatch(/no signature/);
  expect(await asked(repository, good, good)).toBeUndefined();
  // The mirror does not have the published commit any more.
  expect(await asked(repository, 'f'.repeat(40) as CommitSha, good)).toBeUndefined();
});

test('settings of the user, of the machine and in the repository do not count', async () => {
  const repository = await opened();
  const base = (await repository.git('rev-parse', 'HEAD')) as CommitSha;
  const own = join(dir, 'own_signers');
  await writeFile(own, `* ${await sshPublic('mallory')}\n`);
  await repository.git('config', 'gpg.ssh.allowedSignersFile', own);
  await repository.commit({ '.gitconfig': `[gpg "ssh"]\n allowedSignersFile = ${own}\n`, allowed_signers: `* ${await sshPublic('mallory')}\n` }, 'x');
  const head = await commitAs(repository, 'mallory', 'mine');
  expect(await asked(repository, base, head)).toMatch(/its SSH key is none of the allowed ones/);
});

test('a kind of key that nobody may use is named, and what cannot be checked is tried again, never passed', async () => {
  const repository = await opened();
  const [ssh, pgp] = [await commitAs(repository, 'ada', 'by ssh'), await commitAs(repository, 'grace', 'by pgp')];
  expect(await asked(repository, ssh, pgp, { ...signers, openPgpFile: undefined })).toMatch(
    /signed with an OpenPGP key, and only SSH keys are allowed/,
  );
  expect(await asked(repository, undefined, ssh, { ...signers, sshFile: undefined })).toMatch(/signed with an SSH key, and only OpenPGP keys/);
  const missing = join(dir, 'missing');
  for (const [head, by] of [
    [ssh, { sshFile: missing }],
    [ssh, { sshFile: signers.sshFile, path: '/nonexistent' }],
    [pgp, { openPgpFile: missing }],
    [pgp, { openPgpFile: signers.sshFile }],
    [pgp, { openPgpFile: signers.openPgpFile, path: '/nonexistent' }],
  ] as const)
    await expect(asked(repository, undefined, head, { exec, path: env.PATH, ...by })).rejects.toMatchObject({
      code: 'SIGNERS_UNCHECKED',
      retryable: true,
    });
  // Nobody at all may sign.
  await writeFile(join(dir, 'empty'), '');
  expect(await asked(repository, undefined, ssh, { exec, sshFile: join(dir, 'empty'), path: env.PATH })).toMatch(/none of the allowed ones/);
});
