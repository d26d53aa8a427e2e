import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DEFAULT_POLICY, defaultGates, type HostName, type RolloutPolicy } from '@floe/model';
import { logStable, openStatementLog, type StatementLog } from '@floe/pipeline';
import { loadOrCreateSigner, silentLogger, systemClock, type Signer } from '@floe/runtime';
import type { Revision } from '@floe/store';
import { eventually, startPostgres, type PostgresServer } from '@floe/testkit';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { dataPaths } from '@floe/pipeline';
import { publishCommit, system } from '../test/commits.ts';
import { noBuilder, startTestServer, TestAgent, type TestServer } from '../test/test-server.ts';

// A server whose database is lost knows its hosts and what is stable by the statement log, and no policy. The first commit after that may have
// any: whoever may push must not loosen the gates by the loss.

const HOST = 'ada' as HostName;
const [ring] = DEFAULT_POLICY.rings;
if (ring === undefined) throw new Error('the default policy has a ring');
const RINGS: RolloutPolicy = {
  ...DEFAULT_POLICY,
  rings: ['canary', 'all'].map((name, index) => ({ ...ring, ...defaultGates(index, 2), name, soakMs: 0 })),
};

let postgres: PostgresServer;
let dir: string;
beforeAll(async () => {
  postgres = await startPostgres();
  dir = await mkdtemp(join(tmpdir(), 'floe-rebuilt-'));
});
afterAll(async () => {
  await postgres[Symbol.asyncDispose]();
  await rm(dir, { recursive: true, force: true });
});

describe.each(['PGlite', 'Postgres'] as const)('after the loss of a database (%s)', (kind) => {
  /** The files of one server, on which it starts with an empty database each time. */
  class World {
    readonly dataDir: string;
    statements!: StatementLog;
    signer!: Signer;

    constructor(name: string) {
      this.dataDir = join(dir, `${kind}-${name}`);
    }

    async start(): Promise<TestServer> {
      const paths = dataPaths(this.dataDir);
      await rm(paths.database, { recursive: true, force: true });
      const env = kind === 'PGlite' ? {} : { DATABASE_URL: await postgres.createDatabase() };
      const server = await startTestServer({ dataDir: this.dataDir, env, runPipeline: noBuilder });
      this.statements = openStatementLog(paths.statements, silentLogger);
      this.signer = await loadOrCreateSigner(paths.releaseKey, 'release-1');
      return server;
    }

    /** A commit is published. */
    async publish(server: TestServer, name: string, policy?: RolloutPolicy): Promise<Revision> {
      return await publishCommit(server, { [HOST]: system(name) }, policy, {}, this.signer, this.statements);
    }

    /** The host does what it is told, and that is written to the statement log. */
    async complete(server: TestServer, name: string): Promise<void> {
      const { store } = server.context;
      const toplevel = system(name);
      const agent = await TestAgent.welcome(server.url, await server.enrol(HOST));
      const { epoch } = await eventually('it is told', async () => {
        const { desired } = (await store.hosts.get(HOST)) ?? {};
        return desired?.toplevel === toplevel ? desired : undefined;
      });
      const observed = { current: toplevel, booted: toplevel, profile: { generation: 1, toplevel } };
      agent.send({ type: 'report', seq: 1, epoch, state: 'SUCCEEDED', toplevel, observed, at: 1 });
      await eventually('it is complete', async () => (await rolloutOf(server))?.state === 'COMPLETE' || undefined);
      await agent[Symbol.asyncDispose]();
      await this.log(server);
    }

    async log({ context: { store }, repository: { id } }: TestServer): Promise<void> {
      await logStable({ store, statements: this.statements, releaseSigner: this.signer, clock: systemClock }, id);
    }
  }

  async function rolloutOf({ context: { store }, repository }: TestServer) {
    return (await store.hosts.fleet(repository.id)).rollout;
  }

  async function weakerOf(server: TestServer): Promise<readonly string[]> {
    const weaker = await eventually('it is compared', async () => (await rolloutOf(server))?.weaker);
    return weaker.map(({ text }) => text);
  }

  async function isTold({ context: { store } }: TestServer, name: string): Promise<boolean> {
    return (await store.hosts.get(HOST))?.desired?.toplevel === system(name);
  }

  test('the first policy waits for an administrator, who is told why, and later ones are compared again', async () => {
    const world = new World('rings');
    {
      await using server = await world.start();
      await world.publish(server, 'one', RINGS);
      expect(await weakerOf(server)).toEqual([]);
      await world.complete(server, 'one');
    }
    await using server = await world.start();
    await world.publish(server, 'bad');
    expect(await weakerOf(server)).toEqual(['the database was rebuilt, and no earlier policy is known: this one may be weaker']);
    expect([(await rolloutOf(server))?.state, await isTold(server, 'bad')]).toEqual(['WAITING_APPROVAL', false]);
    // Nor may a newer one that follows before somebody approved.
    const { sha: commit } = await world.publish(server, 'two', RINGS);
    expect(await weakerOf(server)).toHaveLength(1);
    const approved = await server.ask('POST', 'rollout/approve', { commit, ring: 'all', reason: 'it has the rings that it had' });
    expect(approved).toMatchObject({ status: 200 });
    await world.complete(server, 'two');
    await world.publish(server, 'three', RINGS);
    expect(await weakerOf(server)).toEqual([]);
  });

  test('a pause from before the first commit holds that back, until it is over', async () => {
    const world = new World('paused');
    await using server = await world.start();
    expect(await server.ask('POST', 'rollout/pause', { reason: 'rebuilt' })).toMatchObject({ status: 200 });
    await world.publish(server, 'one');
    await eventually('the rollout is paused', async () => ((await rolloutOf(server))?.course.pause?.cause === 'freeze' ? true : undefined));
    expect(await isTold(server, 'one')).toBe(false);
    expect(await server.ask('POST', 'rollout/resume', { reason: 'looked at it' })).toMatchObject({ status: 200 });
    await world.complete(server, 'one');
  });

  test('where the last one was the default, it is compared with that, and only what is weaker waits', async () => {
    const world = new World('default');
    {
      await using server = await world.start();
      await world.publish(server, 'one');
      await world.complete(server, 'one');
    }
    await using server = await world.start();
    await world.publish(server, 'two');
    expect(await weakerOf(server)).toEqual([]);
    await world.complete(server, 'two');
    await world.publish(server, 'three', { ...DEFAULT_POLICY, shrink: { percent: 100, hosts: 1 } });
    expect(await weakerOf(server)).toHaveLength(1);
  });

  test('a commit that changed the policy and no host is in the log, too', async () => {
    const world = new World('quiet');
    {
      await using server = await world.start();
      await world.publish(server, 'one');
      await world.complete(server, 'one');
      await publishCommit(server, {}, RINGS, {}, world.signer, world.statements);
      await eventually('it is complete', async () => {
        const current = await rolloutOf(server);
        return (current?.policy.rings.length === 2 && current.state === 'COMPLETE') || undefined;
      });
      await world.log(server);
    }
    await using server = await world.start();
    await world.publish(server, 'bad');
    expect(await weakerOf(server)).toHaveLength(1);
    expect(await isTold(server, 'bad')).toBe(false);
  });
});
