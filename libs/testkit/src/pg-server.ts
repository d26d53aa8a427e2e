import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { chown, glob, mkdtemp, readFile, realpath, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { execInTest } from '@floe/runtime';
import { placeCluster } from './prepared-databases.ts';
import { eventually } from './service-process.ts';

/** The only role of the server. Connections are trusted, because they are possible only through the socket in its folder. */
const ROLE = 'floe';

/**
 * The data is not needed after the test, so it need not wait for a disk. Committed data survives an `immediate` stop, because the
 * machine keeps running (`synchronous_commit=off` would lose it).
 */
const SETTINGS = [
  'listen_addresses=',
  'fsync=off',
  'full_page_writes=off',
  'shared_buffers=16MB',
  'max_connections=60',
  'lc_messages=C',
  'logging_collector=off',
  'log_destination=stderr',
];

interface Ids {
  readonly uid?: number;
  readonly gid?: number;
}

/** A real Postgres of its own in a temporary folder, reached through a unix socket. */
export class PostgresServer implements AsyncDisposable {
  /** Of the database `floe`. Stays the same when the server stops and starts again. */
  readonly url: string;
  readonly #binDir: string;
  readonly #dir: string;
  readonly #ids: Ids;
  #child: ChildProcess | undefined;
  #databases = 0;

  private constructor(binDir: string, dir: string, ids: Ids) {
    this.#binDir = binDir;
    this.#dir = dir;
    this.#ids = ids;
    this.url = this.#urlOf('floe');
  }

  /** Makes a new, empty cluster and starts it. */
  static async create(): Promise<PostgresServer> {
    const binDir = await findBinDir();
    const ids = await unprivilegedIds();
    const dir = await mkdtemp(join(tmpdir(), 'floe-pg-'));
    const server = new PostgresServer(binDir, dir, ids);
    try {
      if (ids.uid !== undefined && ids.gid !== undefined) await chown(dir, ids.uid, ids.gid);
      await placeCluster(join(binDir, 'initdb'), server.#dataDir, async () => await server.#initdb());
      await server.start();
      await server.#createDatabase('floe');
      return server;
    } catch (error) {
      await server[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** The folder of its unix socket. */
  get socketFolder(): string {
    return this.#dir;
  }

  get isRunning(): boolean {
    return this.#child !== undefined && this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** Starts the server; resolves when it accepts connections. */
  async start(): Promise<void> {
    if (this.isRunning) throw new Error('this Postgres already runs');
    const settings = [...SETTINGS, `unix_socket_directories=${this.#dir}`].flatMap((setting) => ['-c', setting]);
    const child = spawn(join(this.#binDir, 'postgres'), ['-D', this.#dataDir, ...settings], {
      ...this.#ids,
      cwd: this.#dir,
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    this.#child = child;
    const lines: string[] = [];
    await new Promise<void>((resolve, reject) => {
      createInterface({ input: child.stderr }).on('line', (line) => {
        lines.push(line);
        if (/database system is ready to accept (read-only )?connections/.test(line)) resolve();
      });
      child.once('error', reject);
      child.once('exit', (code, signal) => reject(new Error(`Postgres ended with ${signal ?? code} before it was ready:\n${lines.join('\n')}`)));
    });
  }

  /**
   * Stops the server and waits until it is gone. `fast` ends every connection first; `immediate` is a crash: the next
   * start recovers.
   */
  async stop(mode: 'fast' | 'immediate' = 'fast'): Promise<void> {
    const child = this.#child;
    if (child === undefined || !this.isRunning) return;
    const exited = once(child, 'exit');
    child.kill(mode === 'fast' ? 'SIGINT' : 'SIGQUIT');
    await exited;
  }

  /** Creates another database, empty or as a copy of one without connections, and resolves to its URL. */
  async createDatabase(template?: string): Promise<string> {
    this.#databases += 1;
    const name = `floe_${this.#databases}`;
    await this.#createDatabase(name, template);
    return this.#urlOf(name);
  }

  /** Runs a query on the database `floe` through a connection of its own. Resolves to its rows. */
  async query(sql: string): Promise<readonly Readonly<Record<string, unknown>>[]> {
    const args = ['--host', this.#dir, '--username', ROLE, '--dbname', 'floe', '--no-psqlrc', '--no-align', '--tuples-only'];
    const text = await this.#run('psql', [...args, '--command', `select coalesce(json_agg(found), '[]') from (${sql}) found`]);
    return JSON.parse(text) as readonly Readonly<Record<string, unknown>>[];
  }

  /** Makes and starts a standby of this server, which takes no writes until it is promoted. */
  async startStandby(): Promise<PostgresServer> {
    const dir = await mkdtemp(join(tmpdir(), 'floe-pg-'));
    const standby = new PostgresServer(this.#binDir, dir, this.#ids);
    try {
      await this.#run('pg_basebackup', [
        '--host',
        this.#dir,
        '--username',
        ROLE,
        '--pgdata',
        standby.#dataDir,
        '--write-recovery-conf',
        '--no-sync',
        '--checkpoint=fast',
      ]);
      const { uid, gid } = this.#ids;
      if (uid !== undefined && gid !== undefined) await execInTest('chown', ['-R', `${uid}:${gid}`, dir]);
      await standby.start();
      return standby;
    } catch (error) {
      await standby[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Runs statements on the database `floe`, one after another in one session. */
  async sql(...statements: readonly string[]): Promise<string> {
    const commands = statements.flatMap((statement) => ['--command', statement]);
    return await this.#run('psql', [
      '--host',
      this.#dir,
      '--username',
      ROLE,
      '--no-psqlrc',
      '--quiet',
      '--tuples-only',
      '--no-align',
      '--set=ON_ERROR_STOP=1',
      ...commands,
      'floe',
    ]);
  }

  /** Waits until this standby has all that `primary` has. */
  async caughtUpWith(primary: PostgresServer): Promise<void> {
    const wanted = (await primary.sql('select pg_current_wal_lsn()')).trim();
    await eventually('the standby has caught up', async () =>
      (await this.sql(`select pg_last_wal_replay_lsn() >= '${wanted}'`)).trim() === 't' ? true : undefined,
    );
  }

  async #createDatabase(name: string, template?: string): Promise<void> {
    const from = template === undefined ? [] : ['--template', new URL(template).pathname.slice(1)];
    await this.#run('createdb', ['--host', this.#dir, '--username', ROLE, ...from, name]);
  }

  get #dataDir(): string {
    return join(this.#dir, 'data');
  }

  #urlOf(database: string): string {
    return `postgres://${ROLE}@localhost/${database}?host=${encodeURIComponent(this.#dir)}`;
  }

  async #run(tool: string, args: readonly string[]): Promise<string> {
    const result = await execInTest(join(this.#binDir, tool), args, { cwd: '/' });
    if (result.exitCode !== 0) throw new Error(`${tool} failed: ${result.stderr.trim()}`);
    return result.stdout;
  }

  /** Not by `exec`, which starts programs as its own user. */
  async #initdb(): Promise<void> {
    const args = ['-D', this.#dataDir, '--username', ROLE, '--auth', 'trust', '--encoding', 'UTF8', '--locale', 'C', '--no-sync'];
    const child = spawn(join(this.#binDir, 'initdb'), args, { ...this.#ids, cwd: this.#dir, stdio: ['ignore', 'ignore', 'pipe'] });
    const complaints: string[] = [];
    child.stderr.setEncoding('utf8').on('data', (text: string) => complaints.push(text));
    const [code] = (await once(child, 'close')) as [number | null];
    if (code !== 0) throw new Error(`initdb failed: ${complaints.join('').trim()}`);
  }

  /** Stops the server and removes its folder. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop('immediate');
    await rm(this.#dir, { recursive: true, force: true, maxRetries: 20 });
  }
}

/** A Postgres for one test or test file. Throws with what to install when there is none. */
export async function startPostgres(): Promise<PostgresServer> {
  return await PostgresServer.create();
}

/** The folder with Postgres's programs: that of the `initdb` in PATH, else where Debian has its newest version. */
async function findBinDir(): Promise<string> {
  const installed: string[] = [];
  for await (const path of glob('/usr/lib/postgresql/*/bin/initdb')) installed.push(path);
  const newestFirst = installed.toSorted((left, right) => debianVersion(right) - debianVersion(left));
  const inPath = (process.env['PATH'] ?? '').split(delimiter).map((dir) => join(dir, 'initdb'));
  for (const path of [...inPath, ...newestFirst]) {
    // PATH often has links to some of the programs only; all of them are where the link points.
    const initdb = await realpath(path).catch(() => undefined);
    if (initdb !== undefined) return dirname(initdb);
  }
  throw new Error(
    'These tests need Postgres: install the server (Debian: apt install postgresql; Nix: the package postgresql), or put its bin folder into PATH.',
  );
}

function debianVersion(path: string): number {
  return Number(path.split('/')[4]);
}

/** Postgres refuses to run as root: then as the user of the Debian package, or as nobody. */
export async function unprivilegedIds(): Promise<Ids> {
  if (process.getuid?.() !== 0) return {};
  const accounts = (await readFile('/etc/passwd', 'utf8')).split('\n').map((line) => line.split(':'));
  const account = ['postgres', 'nobody'].map((name) => accounts.find((fields) => fields[0] === name)).find((fields) => fields !== undefined);
  if (account === undefined)
    throw new Error('Postgres refuses to run as root, and there is neither a user "postgres" nor "nobody": run the tests as another user.');
  return { uid: Number(account[2]), gid: Number(account[3]) };
}
