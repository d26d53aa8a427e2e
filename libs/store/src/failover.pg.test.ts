import { once } from 'node:events';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { eventually, startPostgres, type PostgresServer } from '@floe/testkit';
import { openStore } from './open.ts';
import type { Store } from './store.ts';
import { newRepository, storeDeps } from './test/test-store.ts';

const AWAY = { code: 'STORE_UNREACHABLE', retryable: true };
const SOCKET = '.s.PGSQL.5432';

/** The name that clients know: leads to one server, then to another, as a proxy or DNS does. */
class Name implements AsyncDisposable {
  readonly url: string;
  readonly #dir: string;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  target: PostgresServer;

  private constructor(dir: string, target: PostgresServer) {
    this.#dir = dir;
    this.target = target;
    this.url = `postgres://floe@localhost/floe?host=${encodeURIComponent(dir)}`;
    this.#server = createServer((client) => {
      const upstream = connect(join(this.target.socketFolder, SOCKET));
      for (const [one, other] of [
        [client, upstream],
        [upstream, client],
      ] as const) {
        this.#sockets.add(one);
        one
          .on('error', () => undefined)
          .on('close', () => {
            this.#sockets.delete(one);
            other.destroy();
          });
        one.pipe(other);
      }
    });
  }

  static async create(target: PostgresServer): Promise<Name> {
    const dir = await mkdtemp(join(tmpdir(), 'floe-name-'));
    await chmod(dir, 0o755);
    const name = new Name(dir, target);
    name.#server.listen(join(dir, SOCKET));
    await once(name.#server, 'listening');
    return name;
  }

  cut(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.cut();
    this.#server.close();
    await rm(this.#dir, { recursive: true });
  }
}

let primary: PostgresServer;
let standby: PostgresServer;
let name: Name;
let store: Store;
beforeAll(async () => {
  primary = await startPostgres();
  standby = await primary.startStandby();
});
afterAll(async () => {
  await standby[Symbol.asyncDispose]();
  await primary[Symbol.asyncDispose]();
});
beforeEach(async () => {
  name = await Name.create(primary);
  store = await openStore({ kind: 'postgres', url: name.url, maxConnections: 3 }, storeDeps());
});
afterEach(async () => {
  await store[Symbol.asyncDispose]();
  await name[Symbol.asyncDispose]();
});

async function takesWrites(): Promise<void> {
  await eventually('the database takes writes', async () => {
    try {
      await Promise.all(Array.from({ length: 3 }, async () => await store.ping()));
      return true;
    } catch (error) {
      expect(error).toMatchObject(AWAY);
      return undefined;
    }
  });
}

test('sessions that were opened while the server was read-only are not kept', async () => {
  const repository = await newRepository(store);
  await primary.sql('alter database floe set default_transaction_read_only = on');
  await primary.sql("select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'floe'");
  await eventually('the new sessions are read-only', async () => {
    const answer = await store.ping().then(
      () => 'writes',
      (error: unknown) => error,
    );
    expect(answer).not.toBe('writes');
    expect(answer).toMatchObject(AWAY);
    // Reading needs no server that takes writes.
    return await store.repositories.get(repository.id).then(
      () => true,
      () => undefined,
    );
  });
  await expect(store.repositories.wake(repository.id)).rejects.toMatchObject(AWAY);
  await primary.sql('set default_transaction_read_only = off', 'alter database floe reset default_transaction_read_only');
  await takesWrites();
  await store.repositories.wake(repository.id);
});

/** Ends what is under way, as a failover does. */
function cut(on: Name, target: PostgresServer): void {
  on.target = target;
  on.cut();
}

test('a name that leads to a standby for a while: writes fail, reads go on, and writes go through when it leads to the primary again', async () => {
  const repository = await newRepository(store);
  await standby.caughtUpWith(primary);
  cut(name, standby);
  await eventually('reads go to the standby', async () => await store.repositories.get(repository.id).catch(() => undefined));
  await expect(store.ping()).rejects.toMatchObject(AWAY);
  await expect(store.repositories.wake(repository.id)).rejects.toMatchObject(AWAY);
  // Nobody ends the sessions on the standby: they must not be used forever.
  name.target = primary;
  await takesWrites();
  await store.repositories.wake(repository.id);
  expect((await store.repositories.get(repository.id)).hintCount).toBe(1);
});

test('a primary that dies, and a standby that is promoted in its place', async () => {
  const repository = await newRepository(store);
  await standby.caughtUpWith(primary);
  await primary.stop('immediate');
  name.target = standby;
  await eventually('the standby answers', async () => await store.repositories.get(repository.id).catch(() => undefined));
  await expect(store.ping()).rejects.toMatchObject(AWAY);
  await standby.sql('select pg_promote()');
  await takesWrites();
  await store.repositories.wake(repository.id);
});
