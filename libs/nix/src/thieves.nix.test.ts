import { access } from 'node:fs/promises';
import { join } from 'node:path';
import { exec } from '@floe/runtime';
import { describe, expect, it } from 'vitest';
import type { BurglaryReport } from './test/thieves/report.ts';

// Whoever may push decides what Nix runs here. Each theft is tried as a push would, and once more with impure evaluation;
// first without the sandbox, to see that it works.

const PROJECT = join(import.meta.dirname, '../../..');
const SCRIPTS = join(import.meta.dirname, 'test/thieves');
const rootfs = (suite: string): string => join(PROJECT, '.tools/lab', suite);
/** As the lab: guests' root file systems, and namespaces made by root. */
const isPossible =
  process.getuid?.() === 0 &&
  (await access(join(rootfs('trixie'), '.floe-stamp')).then(
    () => true,
    () => false,
  ));

const isThorough = process.env['FLOE_THOROUGH_TESTS'] !== undefined;

async function burgle(suite: string, user: 'root' | 'user' | 'reckless', confinement: 'bare' | 'sandboxed' | 'strict'): Promise<BurglaryReport> {
  const namespaces = ['--mount', '--pid', '--net', '--ipc', '--uts', '--fork', '--kill-child=SIGKILL'];
  const stage = [process.execPath, join(SCRIPTS, 'stage.ts'), user, confinement];
  const result = await exec('unshare', [...namespaces, 'sh', join(SCRIPTS, 'world.sh'), rootfs(suite), PROJECT, ...stage], { timeoutMs: 280_000 });
  expect(result.exitCode, `${result.end} ${result.stderr}`).toBe(0);
  return JSON.parse(result.stdout) as BurglaryReport;
}

describe.runIf(isPossible).each([
  ['Nix 2.8', 'bookworm'],
  ['Nix 2.26', 'trixie'],
])('thieves on %s', (_name, suite) => {
  describe.each([
    ['root with a single-user Nix', 'root'],
    ["an unprivileged user with root's daemon", 'user'],
  ] as const)('as %s', (_who, user) => {
    // Half of it, unless all is asked for: it takes as long as the other test.
    it.runIf(isThorough || (suite === 'trixie') === (user === 'user'))('each theft works without the sandbox', async () => {
      const { thefts, stolen } = await burgle(suite, user, 'bare');
      const works = thefts.filter(({ worksBare, isSingleUser }) => worksBare !== 'nowhere' && (!isSingleUser || user === 'root'));
      const missing = works.filter(({ name, worksBare }) => (worksBare === 'pure' ? stolen.pure : stolen.impure)[name] === undefined);
      expect(missing.map(({ name }) => name)).toEqual([]);
      expect(Object.keys(stolen.flakes)).toEqual(
        expect.arrayContaining([
          'an input that is locked to a folder',
          'an input that is locked to a folder, by its policy',
          'an input that is locked to a repository',
        ]),
      );
    });

    it('nothing comes out of the sandbox', async () => {
      const { thefts, stolen, tried, left } = await burgle(suite, user, 'sandboxed');
      const open = thefts.filter(({ staysOpenFor }) => staysOpenFor.includes(user)).map(({ name }) => name);
      expect(Object.keys(stolen.pure).toSorted(), 'what docs/operate.md calls open').toEqual(open.toSorted());
      expect({ ...stolen, pure: {} }).toEqual({ impure: {}, pure: {}, flakes: {} });
      expect(left).toEqual([]);
      expect(tried).toBeGreaterThan(thefts.length * 1.5);
    });
  });

  it('a daemon that builds as root outside of its own sandbox gives a thief everything: it is refused', async () => {
    const { stolen } = await burgle(suite, 'reckless', 'bare');
    expect(Object.keys(stolen.pure)).toEqual(expect.arrayContaining(['builtin:fetchurl', 'a builder with host dependencies']));
    expect((await burgle(suite, 'reckless', 'sandboxed')).stolen.refused).toBe('BUILDS_NOT_ISOLATED');
  });

  it('a single-user Nix lets each commit change what later ones contain: it is refused', async () => {
    expect((await burgle(suite, 'root', 'strict')).stolen.refused).toBe('BUILDS_CHANGE_STORE');
  });
});
