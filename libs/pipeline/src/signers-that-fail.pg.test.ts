import { isCommit, type HostName, type StorePath } from '@floe/model';
import { open, ReleaseStatement, storedEnvelope } from '@floe/protocol';
import { FloeError, silentLogger, systemClock, verifySignature, type AsyncSigner } from '@floe/runtime';
import { eventually } from '@floe/testkit';
import fc from 'fast-check';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { releaseHosts } from './release.ts';
import { openStatementLog } from './statements/statement-log.ts';
import { asCleared } from './test/cleared.ts';
import { signer, type World } from './test/world.ts';
import { worldForEachTest } from './test/world-for-each-test.ts';

let world: World;
let dir: string;
worldForEachTest((...given) => ([world, dir] = given));

const away = (): FloeError => new FloeError('SIGN_COMMAND_FAILED', 'the command that signs releases (/hsm) is away', { retryable: true });

test('whichever signatures fail, what was signed is handed out and signed no second time, and the rest follows', async () => {
  let sequence = 0;
  world.repository = await world.store.repositories.ensure({ url: 'https://forge.example/fleet.git', branch: 'main', now: 1 });
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.boolean(), { minLength: 1, maxLength: 60 }),
      fc.integer({ min: 1, max: 40 }),
      fc.boolean(),
      async (failures, count, isLast) => {
        const { store, repository } = world;
        sequence += 1;
        const about = { subject: '', authorName: '', authorEmail: '', committedAt: 1, receivedAt: 1, fetchedAt: 1 };
        const revision = await store.revisions.receive(repository.id, { sha: `${sequence}`.padStart(40, '0') as never, ...about });
        expect(isCommit(revision.sha)).toBe(true);
        for (const event of ['accepted', 'verified', 'evaluated'] as const) await store.revisions.advance(revision.id, event, 1);
        const hosts = Array.from({ length: count }, (_, index) => ({
          host: `host-${index}` as HostName,
          toplevel: `/nix/store/${'0'.repeat(32)}-${sequence}-${index}` as StorePath,
          system: 'x86_64-linux',
          narHash: 'sha256:0',
          closureSizeBytes: 1,
        }));
        await store.hosts.ensure(
          repository.id,
          hosts.map(({ host }) => host),
        );
        const left = [...failures];
        const signed = new Map<string, number>();
        const releaseSigner: AsyncSigner = {
          ...signer,
          async sign(bytes) {
            await Promise.resolve();
            if (left.shift() === true) throw away();
            const text = Buffer.from(bytes).toString();
            if (text.includes('floe/release')) signed.set(text, (signed.get(text) ?? 0) + 1);
            return signer.sign(bytes);
          },
        };
        const statements = openStatementLog(join(dir, 'flaky'), silentLogger);
        const deps = { store, statements, releaseSigner, clock: systemClock };
        for (let round = 0; round <= failures.length; round += 1) {
          const before = await store.releases.hostsOf(revision.id);
          try {
            await releaseHosts(deps, repository, asCleared(revision), hosts, isLast);
            break;
          } catch (error) {
            expect(error).toMatchObject({ code: 'SIGN_COMMAND_FAILED' });
            const now = await store.releases.hostsOf(revision.id);
            // All of them or none, where they belong together.
            if (isLast) expect(now.size).toBe(0);
            else expect([...before].every((host) => now.has(host))).toBe(true);
          }
        }
        expect((await store.releases.hostsOf(revision.id)).size).toBe(count);
        // The number of hosts: no statement was signed again, with other times.
        expect(signed.size).toBe(count);
        expect(Math.max(...signed.values())).toBe(1);
        for (const { host, sequence: of, envelope } of await store.releases.latest(repository.id)) {
          const stored = storedEnvelope(envelope);
          const opened = stored && open(stored, 'floe/release', ReleaseStatement, [signer], verifySignature);
          expect(opened).toMatchObject({ kind: 'opened', statement: { host, sequence: of } });
        }
        if (!isLast) await store.revisions.supersede(revision.id, revision.sha, 1);
      },
    ),
    { numRuns: Number(process.env['FLOE_FUZZ_RUNS'] ?? 12) },
  );
});

test('while nothing can be signed, hosts are evaluated and built, the commit says why it waits, and all is released when it can', async () => {
  const works = Promise.withResolvers<undefined>();
  let isAway = true;
  world.releaseSigner = {
    ...signer,
    async sign(bytes) {
      if (isAway) throw away();
      await works.promise;
      return signer.sign(bytes);
    },
  };
  const built = new Set<string>();
  world.onBuild = (host) => void built.add(host);
  world.commits.push({ ada: { evaluates: 1 }, bob: { evaluates: 2 } });
  await world.start(dir);
  const waiting = await eventually('it says why', async () => {
    const newest = await world.store.revisions.newest(world.repository.id);
    return newest?.error?.includes('/hsm') === true ? newest : undefined;
  });
  expect(waiting.state).toBe('BUILDING');
  await eventually('all are built', () => (built.size === 2 ? true : undefined));
  expect(await world.released()).toEqual({});
  isAway = false;
  works.resolve(undefined);
  const done = await world.ended(waiting.sha, 'PUBLISHED');
  expect(done.error).toBeUndefined();
  expect(await world.released()).toEqual({ ada: 1, bob: 2 });
});
