import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { userInfo } from 'node:os';
import { delimiter, join } from 'node:path';
import { execInTest } from '@floe/runtime';

/** A real sshd, which admits this process's user by one key. */
export interface SshServer extends AsyncDisposable {
  readonly port: number;
  readonly user: string;
  /** Its line of known_hosts, under the name localhost. */
  readonly knownHost: string;
  /** The private key that it admits, and one that it does not. */
  readonly key: string;
  readonly otherKey: string;
  /** The file of authorized_keys, which is read for each connection. */
  readonly admittedFile: string;
  /** What it logged. */
  readonly log: () => string;
}

/** Starts it, with its files in `dir`. Each connection is a process of its own, so it needs no port that is known before. */
export async function startSshServer(dir: string): Promise<SshServer> {
  await mkdir(dir, { recursive: true });
  await chmod(dir, 0o700);
  for (const name of ['host', 'key', 'other']) {
    const made = await execInTest('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', name, '-f', join(dir, name)]);
    if (made.exitCode !== 0) throw new Error(made.stderr);
  }
  // Where sshd drops its rights, when it has any.
  if (process.getuid?.() === 0) await mkdir('/run/sshd', { recursive: true, mode: 0o755 });
  const settings = [
    `HostKey ${dir}/host`,
    `AuthorizedKeysFile ${dir}/key.pub`,
    'StrictModes no',
    'UsePAM no',
    'PasswordAuthentication no',
    'KbdInteractiveAuthentication no',
    'PermitRootLogin prohibit-password',
    'PidFile none',
    'LogLevel VERBOSE',
  ];
  await writeFile(join(dir, 'config'), `${settings.join('\n')}\n`);
  let log = '';
  const running = new Set<ChildProcess>();
  const sockets = new Set<Socket>();
  const program = await sshd();
  const server = createServer((socket) => {
    const child = spawn(program, ['-i', '-e', '-f', join(dir, 'config')], { stdio: 'pipe' });
    running.add(child);
    sockets.add(socket);
    child.on('close', () => {
      running.delete(child);
      socket.destroy();
    });
    child.stderr.on('data', (text: Buffer) => void (log += text.toString('utf8')));
    for (const stream of [socket, child.stdin, child.stdout]) stream.on('error', () => undefined);
    socket.pipe(child.stdin);
    child.stdout.pipe(socket);
    socket.on('close', () => {
      sockets.delete(socket);
      child.kill();
      // Nobody reads the rest of it, and 'close' waits for its end.
      child.stdout.destroy();
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const [type, data] = (await readFile(join(dir, 'host.pub'), 'utf8')).split(' ');
  return {
    port,
    user: userInfo().username,
    knownHost: `[localhost]:${port} ${type} ${data}`,
    key: (await readFile(join(dir, 'key'), 'utf8')).trim(),
    otherKey: (await readFile(join(dir, 'other'), 'utf8')).trim(),
    admittedFile: join(dir, 'key.pub'),
    log: () => log,
    async [Symbol.asyncDispose]() {
      const ended = [...running].map(async (child) => await once(child, 'close'));
      for (const socket of sockets) socket.destroy();
      server.close();
      await Promise.all(ended);
    },
  };
}

/** Debian keeps it out of the PATH of users, and it wants to be called by its path. */
async function sshd(): Promise<string> {
  const folders = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin'];
  for (const folder of folders) {
    const found = await execInTest('test', ['-x', join(folder, 'sshd')]);
    if (found.exitCode === 0) return join(folder, 'sshd');
  }
  throw new Error('sshd is not installed (Debian: openssh-server)');
}
