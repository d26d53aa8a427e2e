import { join } from 'node:path';
import type { CommitSha, HostName, StorePath } from '@floe/model';
import { seal, type EnrolmentStatement, type ReleaseStatement } from '@floe/protocol';
import { generateKeyPem, signerFromPem, silentLogger, systemClock } from '@floe/runtime';
import { expect, test } from 'vitest';
import type { World } from '../test/world.ts';
import { worldForEachTest } from '../test/world-for-each-test.ts';
import { accessOnly } from './access-only.ts';
import { rebuildFromStatements } from './rebuild.ts';
import { openStatementLog } from './statement-log.ts';

let world: World;
let dir: string;
worldForEachTest((...given) => ([world, dir] = given));

const releaseKey = signerFromPem('release-1', generateKeyPem());
const serverKey = signerFromPem('server-1', generateKeyPem());
const repositoryOf = { repository: 'https://forge.example/fleet.git', ref: 'refs/heads/main' };

test('a server beside a builder takes who is enrolled from its own log, and no release that it signed before', async () => {
  const host = 'ada' as HostName;
  const log = openStatementLog(join(dir, 'statements'), silentLogger);
  const toplevel = `/nix/store/${'0'.repeat(32)}-old` as StorePath;
  const release: ReleaseStatement = {
    version: 1,
    ...repositoryOf,
    commit: 'a'.repeat(40) as CommitSha,
    sequence: 7,
    host,
    toplevel,
    narHash: 'sha256-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=',
    closureSizeBytes: 1,
    system: 'x86_64-linux',
    issuedAt: 1,
    expiresAt: 2,
  };
  await log.writeRelease(seal(releaseKey, 'floe/release', release), release);
  const enrolment: EnrolmentStatement = { version: 1, host, machineId: 'f'.repeat(32), publicKey: serverKey.publicKey, enrolledAt: 1 };
  await log.appendEnrolment(seal(serverKey, 'floe/enrolment', enrolment), enrolment);

  const { store } = world;
  const repository = await store.repositories.ensure({ url: repositoryOf.repository, branch: 'main', now: 1 });
  const deps = { store, clock: systemClock, releaseKeys: [releaseKey], serverKeys: [serverKey], logger: silentLogger };
  expect(await rebuildFromStatements({ ...deps, statements: accessOnly(log) }, repository)).toMatchObject({ releases: 0, enrolments: 1 });
  expect(await store.releases.latest(repository.id)).toEqual([]);
  expect(await store.repositories.get(repository.id)).toMatchObject({ sequence: 0, acceptedCommit: undefined });
  // The whole log has it.
  expect(await rebuildFromStatements({ ...deps, statements: log }, repository)).toMatchObject({ releases: 1 });
});
