import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { execInTest } from '@floe/runtime';
import { eventually, exampleFleetFiles, TestFleet, testNixSettings } from '@floe/testkit';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

// One server without machines: these faults are between the forge and the evaluation. Each test leaves the branch in a valid
// state, and shows that the server continues without help.

let fleet: TestFleet;
let files: Record<string, string>;

beforeAll(async () => {
  files = await exampleFleetFiles();
  fleet = await TestFleet.create({ files, nixConfig: testNixSettings, pollSeconds: 1, hasPostgres: true });
  await fleet.startServer();
  await fleet.settled(await headOfWorkTree());
});
afterAll(async () => {
  await fleet[Symbol.asyncDispose]();
});

async function headOfWorkTree(): Promise<string> {
  return await fleet.git('-C', fleet.workTree, 'rev-parse', 'HEAD');
}

async function problem(code: string): Promise<string> {
  return await eventually(`the problem ${code} is shown`, async () => {
    const found = (await fleet.fleetView()).repository.problem;
    return found?.code === code ? found.message : undefined;
  });
}

async function noProblem(): Promise<void> {
  await eventually('the problem is gone', async () => ((await fleet.fleetView()).repository.problem === null ? true : undefined));
}

let counter = 0;
/** A push that must succeed once a fault is over. */
async function pushGood(): Promise<void> {
  counter += 1;
  const sha = await fleet.push(`Good ${counter}`, { ...files, 'README.md': `${counter}` });
  expect(await fleet.settled(sha)).toMatchObject({ state: 'PUBLISHED' });
}

describe('the repository', () => {
  it('force-pushed: is held and shown, and goes on when an administrator accepts it', async () => {
    await pushGood();
    const accepted = await headOfWorkTree();
    await fleet.git('-C', fleet.workTree, 'reset', '-q', '--hard', 'HEAD~1');
    const rewritten = await fleet.push('Another history', { 'README.md': 'rewritten' }, { force: true });
    const held = await eventually('the force-push is held', async () => (await fleet.fleetView()).repository.held ?? undefined);
    expect(held).toMatchObject({ commit: rewritten, reason: expect.stringMatching(/rewritten/) as string });
    expect((await fleet.fleetView()).repository.acceptedCommit).toBe(accepted);
    expect(await fleet.revision(rewritten)).toBeUndefined();
    await eventually('the commit says so', () =>
      /^held: .*rewritten/.test(fleet.forge.statusOf(rewritten, 'floe/evaluate')?.description ?? '') ? true : undefined,
    );

    const other = await fleet.request('/api/repository/accept', { method: 'POST', body: JSON.stringify({ commit: accepted, reason: 'a mistake' }) });
    expect(other.status).toBe(409);
    const answer = await fleet.request('/api/repository/accept', {
      method: 'POST',
      body: JSON.stringify({ commit: rewritten, reason: 'cleaned the history' }),
    });
    expect(answer.status).toBe(204);
    expect(await fleet.settled(rewritten)).toMatchObject({ state: 'PUBLISHED' });
    expect((await fleet.fleetView()).repository.held).toBeNull();
  });

  it('without its branch: says so, and goes on when the branch is back', async () => {
    await fleet.git('-C', fleet.forge.bareDir, 'symbolic-ref', 'HEAD', 'refs/heads/other');
    await fleet.git('-C', fleet.workTree, 'push', '-q', 'origin', ':main');
    expect(await problem('BRANCH_NOT_FOUND')).toMatch(/main/);
    await pushGood();
    await noProblem();
  });

  it('that cannot be reached: says so, and goes on when it is back', async () => {
    const port = Number(new URL(fleet.forge.origin).port);
    await fleet.forge.close();
    expect(await problem('REPOSITORY_UNREACHABLE')).toMatch(/127\.0\.0\.1/);
    expect((await fetch(`${fleet.serverUrl}/readyz`)).status).toBe(200);
    await fleet.forge.listen(port);
    await pushGood();
    await noProblem();
  });

  it('that wants another token: says so without showing the token, and goes on when it is right', async () => {
    const file = join(fleet.dir, 'secrets/repository-token');
    await fleet.server.stop();
    await writeFile(file, 'an-old-token');
    await fleet.startServer();
    const message = await problem('REPOSITORY_UNAUTHORIZED');
    expect(message).toMatch(/token/i);
    expect(`${message}${fleet.server.log()}`).not.toContain('an-old-token');
    await fleet.server.stop();
    await writeFile(file, fleet.forge.token);
    await fleet.startServer();
    await pushGood();
    await noProblem();
  });
});

describe('a commit that nobody allowed signed', () => {
  it('is refused with who and what to do, on the page and on the commit; signed afterwards and accepted, it goes through', async () => {
    const [key, signers] = [join(fleet.dir, 'signing-key'), join(fleet.dir, 'allowed_signers')];
    await execInTest('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', 'x', '-f', key]);
    await writeFile(signers, `ada@example.org ${await readFile(`${key}.pub`, 'utf8')}`);
    await fleet.server.stop();
    await fleet.startServer({ FLOE_SSH_SIGNERS_FILE: signers });
    try {
      const base = await headOfWorkTree();
      const unsigned = await fleet.push('Not signed', { 'README.md': 'by somebody' });
      const refused = await fleet.settled(unsigned);
      expect(refused).toMatchObject({ state: 'REJECTED', error: expect.stringContaining('FLOE_SSH_SIGNERS_FILE') as string });
      expect(refused.error).toContain(`- ${unsigned.slice(0, 10)} (Not signed, by `);
      await eventually('the commit says so', () =>
        /signed/.test(fleet.forge.statusOf(unsigned, 'floe/evaluate')?.description ?? '') ? true : undefined,
      );
      // As the refusal says.
      await fleet.git('-C', fleet.workTree, 'config', 'gpg.format', 'ssh');
      await fleet.git('-C', fleet.workTree, 'config', 'user.signingkey', `${key}.pub`);
      await fleet.git('-C', fleet.workTree, 'rebase', '-q', '--rebase-merges', '--exec', 'git commit -q --amend --no-edit -S', base);
      const signed = await headOfWorkTree();
      await fleet.git('-C', fleet.workTree, 'push', '-q', '--force-with-lease', 'origin', 'HEAD:main');
      await eventually('it is held', async () => ((await fleet.fleetView()).repository.held?.commit === signed ? true : undefined));
      const accepted = await fleet.request('/api/repository/accept', {
        method: 'POST',
        body: JSON.stringify({ commit: signed, reason: 'signed now' }),
      });
      expect(accepted.status).toBe(204);
      expect(await fleet.settled(signed)).toMatchObject({ state: 'PUBLISHED' });
      // A signed commit on top of an unsigned one does not bring that along.
      await fleet.git('-C', fleet.workTree, 'commit', '-q', '--allow-empty', '-m', 'Hidden');
      const hidden = await headOfWorkTree();
      await fleet.git('-C', fleet.workTree, 'commit', '-q', '--allow-empty', '-S', '-m', 'On top');
      await fleet.git('-C', fleet.workTree, 'push', '-q', 'origin', 'HEAD:main');
      const both = await fleet.settled(await headOfWorkTree());
      expect(both).toMatchObject({ state: 'REJECTED', error: expect.stringContaining(`- ${hidden.slice(0, 10)} (Hidden, by `) as string });
    } finally {
      await fleet.server.stop();
      await fleet.startServer({ FLOE_SSH_SIGNERS_FILE: undefined });
    }
    await pushGood();
  });
});

describe('a flake', () => {
  it.each([
    ['without flake.nix', { 'flake.nix': null }, /flake\.nix/],
    ['that does not parse', { 'flake.nix': '{ outputs = { self }: { a = ; }; }' }, /syntax error.*flake\.nix:1/],
    ['without nixosConfigurations', { 'flake.nix': '{ outputs = { self }: { }; }' }, /no output nixosConfigurations/],
    ['without hosts', { 'flake.nix': '{ outputs = { self }: { nixosConfigurations = { }; }; }' }, /nixosConfigurations of the flake is empty/],
  ])('%s: fails with the cause on the page and on the commit, and the next push goes through', async (_name, change, cause) => {
    const sha = await fleet.push('A mistake', change);
    const revision = await fleet.settled(sha);
    expect(revision).toMatchObject({ state: 'EVAL_FAILED', error: expect.stringMatching(cause) as string });
    const status = await eventually('the commit says so', () => {
      const found = fleet.forge.statusOf(sha, 'floe/evaluate');
      return found === undefined || found.state === 'pending' ? undefined : found;
    });
    expect(status.state).toBe('failure');
    expect(status.description).toMatch(cause);
    await pushGood();
  });

  it('that lost most of its hosts is held until an administrator says that it is meant', async () => {
    const many = Object.fromEntries(['dan', 'eve', 'fay'].map((host) => [`hosts/${host}.nix`, '{ ... }: { }\n']));
    const grown = await fleet.push('Three more', many);
    expect(await fleet.settled(grown)).toMatchObject({ state: 'PUBLISHED' });
    const gone = Object.fromEntries(['bob', 'cyd', 'dan', 'eve', 'fay'].map((host) => [`hosts/${host}.nix`, null]));
    for (const path of Object.keys(gone)) await rm(join(fleet.workTree, path), { force: true });
    const shrunk = await fleet.push('Where are they', gone);
    const held = await eventually('it is held', async () => (await fleet.fleetView()).repository.held ?? undefined);
    expect(held).toMatchObject({ commit: shrunk, reason: 'only 1 of 6 hosts are left in the flake; these would go: bob, cyd, dan, eve, fay' });
    await fleet.request('/api/repository/accept', { method: 'POST', body: JSON.stringify({ commit: shrunk, reason: 'sold' }) });
    expect(await fleet.settled(shrunk)).toMatchObject({ state: 'PUBLISHED' });
    await pushGood();
  });
});
