import { join } from 'node:path';
import type { CommitSha, HostName, StorePath } from '@floe/model';
import { silentLogger, systemClock, Troubles } from '@floe/runtime';
import { openStore, type Store } from '@floe/store';
import { startPostgres } from '@floe/testkit';
import { FleetFeed } from '../apps/server/src/feed.ts';
import { FleetReader } from '../apps/server/src/fleet-reader.ts';
import { Notices } from '../apps/server/src/notices.ts';
import { median, timed, type Figure, type Progress } from './measure.ts';

const HOSTS = 200;

/** A look at the fleet after many commits that gave each of 200 hosts a release, and after one, in turns; on Postgres. */
export async function benchHistory(commits: number, looks: number, progress: Progress): Promise<Figure[]> {
  await using young = await openFleet();
  await using old = await openFleet();
  await young.publish(1);
  for (let commit = 1; commit <= commits; commit += 1) {
    await old.publish(commit);
    if (commit % 100 === 0) progress(`${commit} commits`);
  }
  const [times, floor]: [number[], number[]] = [[], []];
  for (let done = 0; done < looks; done += 1) {
    times.push(await timed(old.look));
    floor.push(await timed(young.look));
  }
  const what = `(f) a look at ${HOSTS} hosts, ${commits} commits and 1`;
  return [{ what, unit: 'ms', floe: median(times), floor: median(floor), compare: 'ratio', aim: 1.3 }];
}

/** A database with hosts of one repository. */
async function openFleet() {
  await using opening = new AsyncDisposableStack();
  const { url } = opening.use(await startPostgres());
  const migrationsDir = join(import.meta.dirname, '../migrations');
  const store = opening.use(await openStore({ kind: 'postgres', url }, { clock: systemClock, logger: silentLogger, migrationsDir }));
  const { id: repositoryId } = await store.repositories.ensure({ url: 'https://forge.example/fleet.git', branch: 'main', now: 1 });
  const hosts = Array.from({ length: HOSTS }, (_, index) => `host${index}` as HostName);
  await store.hosts.ensure(repositoryId, hosts);
  const troubles = new Troubles({ clock: systemClock, logger: silentLogger });
  const feed = new FleetFeed(() => systemClock.now());
  const reader = new FleetReader({ store, clock: systemClock, feed, notices: new Notices(), fetches: { shown: null }, repositoryId, troubles });
  const opened = opening.move();
  return {
    look: async (): Promise<unknown> => await reader.fleet(),
    publish: async (commit: number): Promise<void> => await publish(store, repositoryId, hosts, commit),
    [Symbol.asyncDispose]: async () => await opened.disposeAsync(),
  };
}

async function publish(store: Store, repositoryId: string, hosts: readonly HostName[], commit: number): Promise<void> {
  const sha = String(commit).padStart(40, '0') as CommitSha;
  const about = { subject: 'Change', authorName: 'Ada', authorEmail: 'ada@example.org', committedAt: 1 };
  const { id, sequence } = await store.revisions.receive(repositoryId, { sha, ...about, receivedAt: commit, fetchedAt: commit });
  for (const event of ['accepted', 'verified'] as const) await store.revisions.advance(id, event, commit);
  const releases = hosts.map((host) => ({ host, toplevel: `/nix/store/${'0'.repeat(32)}-${host}-${commit}` as StorePath }));
  await store.revisions.saveEvaluations(
    id,
    releases.map((release) => ({ ...release, outcome: 'CHANGED' as const })),
  );
  await store.revisions.advance(id, 'evaluated', commit);
  const envelope = JSON.stringify({ payload: 'x'.repeat(600) });
  await store.releases.publish(
    id,
    releases.map((release) => ({ ...release, sequence, commit: sha, issuedAt: commit, envelope })),
    commit,
  );
  const { rollout } = await store.hosts.fleet(repositoryId);
  if (rollout !== undefined)
    await store.rollouts.save({ id: rollout.id, version: rollout.version, course: { ...rollout.course, state: 'COMPLETE' } }, commit, []);
}
