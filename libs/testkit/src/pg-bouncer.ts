import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { chown, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { unprivilegedIds, type PostgresServer } from './pg-server.ts';

/** Any number: the socket's name ends with it. */
const PORT = 6432;

/** A real PgBouncer in front of a Postgres, reached through a unix socket. */
export class PgBouncer implements AsyncDisposable {
  /** Of the database `floe`. */
  readonly url: string;
  readonly #dir: string;
  readonly #child: ChildProcess;

  private constructor(dir: string, child: ChildProcess) {
    this.#dir = dir;
    this.#child = child;
    this.url = `postgres://floe@localhost:${PORT}/floe?host=${encodeURIComponent(dir)}`;
  }

  /** `settings`: lines of its configuration. */
  static async create(server: PostgresServer, mode: 'session' | 'transaction', settings: readonly string[] = []): Promise<PgBouncer> {
    const ids = await unprivilegedIds();
    const dir = await mkdtemp(join(tmpdir(), 'floe-bouncer-'));
    const config = join(dir, 'pgbouncer.ini');
    const lines = [
      '[databases]',
      `* = host=${server.socketFolder} user=floe`,
      '[pgbouncer]',
      'listen_addr =',
      `listen_port = ${PORT}`,
      `unix_socket_dir = ${dir}`,
      'auth_type = any',
      `pool_mode = ${mode}`,
      ...settings,
    ];
    await writeFile(config, `${lines.join('\n')}\n`, { mode: 0o644 });
    if (ids.uid !== undefined && ids.gid !== undefined) await chown(dir, ids.uid, ids.gid);
    const child = spawn('pgbouncer', [config], {
      ...ids,
      // Where Debian has it.
      env: { PATH: `${process.env['PATH']}:/usr/sbin` },
      cwd: dir,
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    const said: string[] = [];
    await new Promise<void>((resolve, reject) => {
      createInterface({ input: child.stderr }).on('line', (line) => {
        said.push(line);
        if (line.includes('process up')) resolve();
      });
      child.once('error', reject);
      child.once('exit', (code, signal) => reject(new Error(`PgBouncer ended with ${signal ?? code}:\n${said.join('\n')}`)));
    });
    return new PgBouncer(dir, child);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) {
      const exited = once(this.#child, 'exit');
      this.#child.kill('SIGQUIT');
      await exited;
    }
    await rm(this.#dir, { recursive: true, force: true, maxRetries: 20 });
  }
}
