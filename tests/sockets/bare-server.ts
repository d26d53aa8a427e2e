import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { silentLogger, systemClock } from '@floe/runtime';
import { openStore, type Repository, type Store } from '@floe/store';
import { eventually, ServiceProcess, startPostgres, programFile } from '@floe/testkit';

const ROOT = join(import.meta.dirname, '../..');
const REPOSITORY_URL = 'http://127.0.0.1:1/fleet.git';

/** The server as a process of its own on a Postgres, whose store a test may fill; its repository cannot be reached. */
export interface BareServer extends AsyncDisposable {
  readonly port: number;
  readonly url: string;
  readonly process: ServiceProcess;
  readonly store: Store;
  /** The administrator's. */
  readonly token: string;
  readonly repository: Repository;
  /** Lines of its log that tell of a bug. */
  readonly bugs: readonly string[];
  /** Memory that it holds, in bytes. */
  residentBytes(): Promise<number>;
  /** Files, sockets and other things that it has open. */
  openHandles(): Promise<number>;
}

export async function startBareServer(): Promise<BareServer> {
  await using stack = new AsyncDisposableStack();
  const dir = await mkdtemp(join(tmpdir(), 'floe-bare-'));
  stack.defer(async () => await rm(dir, { recursive: true, force: true }));
  const secretFile = join(dir, 'webhook-secret');
  await writeFile(secretFile, 'a secret');
  const postgres = stack.use(await startPostgres());
  const port = await freePort();
  const bugs: string[] = [];
  const server = stack.use(
    new ServiceProcess({
      name: 'server',
      main: programFile('server'),
      env: {
        PATH: process.env['PATH'],
        HOME: dir,
        DATABASE_URL: postgres.url,
        FLOE_LISTEN: `127.0.0.1:${port}`,
        FLOE_DATA_DIR: join(dir, 'data'),
        FLOE_REPOSITORY_URL: REPOSITORY_URL,
        // Nobody answers there, not even which branch it is.
        FLOE_REPOSITORY_BRANCH: 'main',
        FLOE_POLL_SECONDS: '3600',
        FLOE_WEBHOOK_SECRET_FILE: secretFile,
        FLOE_LOG_LEVEL: 'info',
        FLOE_UNSAFE_LET_BUILDS_CHANGE_THE_STORE: 'yes',
      },
      onLine: (line) => {
        if (line.includes('this is a bug') || line.includes('"level":"error","message":"a request failed"') || !line.startsWith('{')) bugs.push(line);
      },
    }),
  );
  server.start();
  const url = `http://127.0.0.1:${port}`;
  await eventually('the server is ready', async () => ((await fetch(`${url}/healthz`)).ok ? true : undefined), {
    timeoutMs: 90_000,
    explain: () => server.log(),
  });
  const store = stack.use(
    await openStore({ kind: 'postgres', url: postgres.url }, { clock: systemClock, logger: silentLogger, migrationsDir: join(ROOT, 'migrations') }),
  );
  const repository = await store.repositories.ensure({ url: REPOSITORY_URL, branch: 'main', now: Date.now() });
  const owned = stack.move();
  return {
    port,
    url,
    process: server,
    store,
    token: (await readFile(join(dir, 'data/admin-token'), 'utf8')).trim(),
    repository,
    bugs,
    residentBytes: async () => Number(/^VmRSS:\s+(\d+)/m.exec(await readFile(`/proc/${server.pid}/status`, 'utf8'))?.[1]) * 1024,
    openHandles: async () => (await readdir(`/proc/${server.pid}/fd`)).length,
    [Symbol.asyncDispose]: async () => await owned.disposeAsync(),
  };
}

export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise<void>((resolve) => server.close(() => resolve()));
  if (typeof address !== 'object' || address === null) throw new Error('no port is free');
  return address.port;
}
