import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { eventually } from '@floe/testkit';

/** Debian keeps it out of the PATH of users. */
const NGINX = ['/usr/sbin/nginx', '/usr/bin/nginx'].find(existsSync) ?? 'nginx';

/** nginx in front of a server, with the settings of docs/operate.md. */
export async function startNginx(port: number, serverPort: number): Promise<AsyncDisposable> {
  const dir = await mkdtemp(join(tmpdir(), 'floe-nginx-'));
  await mkdir(join(dir, 'tmp'));
  const paths = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((name) => `${name}_temp_path ${dir}/tmp;`).join(' ');
  const user = process.getuid?.() === 0 ? 'user root;' : '';
  const config = `daemon off; master_process off; pid ${dir}/pid; error_log ${dir}/error.log; ${user}
events { worker_connections 1024; }
http {
  access_log off; ${paths}
  map $http_upgrade $connection_upgrade { default upgrade; '' close; }
  server {
    listen 127.0.0.1:${port};
    # What comes from the server for it came past the proxy.
    location = /denied { return 403; }
    location / {
      proxy_pass http://127.0.0.1:${serverPort};
      proxy_http_version 1.1;
      proxy_set_header Host $host;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection $connection_upgrade;
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
      proxy_buffering off; proxy_read_timeout 120s; client_max_body_size 25m;
    }
  }
}
`;
  await writeFile(join(dir, 'nginx.conf'), config);
  const child = spawn(NGINX, ['-p', dir, '-e', join(dir, 'error.log'), '-c', join(dir, 'nginx.conf')], { stdio: 'ignore' });
  const ended = new Promise((resolve) => {
    child.once('exit', resolve);
    child.once('error', resolve);
  });
  await eventually(
    'nginx listens',
    async () =>
      await new Promise<true | undefined>((resolve) => {
        const socket = connect(port, '127.0.0.1');
        socket.once('connect', () => resolve(true));
        socket.once('error', () => resolve(undefined));
        socket.once('connect', () => socket.destroy());
      }),
    { timeoutMs: 20_000 },
  );
  return {
    async [Symbol.asyncDispose]() {
      child.kill('SIGTERM');
      await ended;
      await rm(dir, { recursive: true, force: true });
    },
  };
}
