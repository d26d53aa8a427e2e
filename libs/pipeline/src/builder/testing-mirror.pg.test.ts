import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { CommitSha } from '@floe/model';
import { isFloeError, silentLogger, systemClock } from '@floe/runtime';
import { startPostgres } from '@floe/testkit';
import { expect, test } from 'vitest';
import { openOnPostgres } from '../test/migrated-postgres.ts';
import type { BuilderConfig } from './builder-config.ts';
import { openTesting } from './testing-mirror.ts';

test('what a builder without its lease tells of a testing branch is not shown', async () => {
  const dataDir = await mkdtemp(join(tmpdir(), 'floe-testing-mirror-'));
  await using server = await startPostgres();
  await using store = await openOnPostgres(server.url);
  const repository = { url: 'https://git.example.org/fleet.git', testingBranches: 1 };
  const config = { dataDir, repository, publicUrl: 'https://floe.example.org', forge: 'github' } as Partial<BuilderConfig> as BuilderConfig;
  const { id } = await store.repositories.ensure({ url: repository.url, branch: 'main', now: 1 });
  const claim = async (owner: string) => store.underLease({ repositoryId: id, token: (await store.repositories.claim(id, owner, 0)) ?? 0 });
  try {
    await using testing = await openTesting({ config, clock: systemClock, logger: silentLogger }, id, 'main');
    const shown = async (by: typeof store, digit: string): Promise<boolean> =>
      await testing.tell(by, digit.repeat(40) as CommitSha, { kind: 'no-host', name: 'eve' }).then(
        () => true,
        (error: unknown) => {
          if (isFloeError(error, 'LEASE_LOST')) return false;
          throw error;
        },
      );
    const old = await claim('one');
    expect(await shown(old, 'a')).toBe(true);
    const other = await claim('another');
    expect(await shown(old, 'b')).toBe(false);
    expect(await shown(other, 'c')).toBe(true);
  } finally {
    await rm(dataDir, { recursive: true, force: true });
  }
});
