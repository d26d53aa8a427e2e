// Run by world.sh as root: makes the place of a burglary, lets burglar.ts in as the server's user, and looks what is gone.
// Usage: stage.ts root|user|reckless sandboxed|strict|bare: strict allows no builds that change the store. `root` has a single-user Nix, `user` root's daemon, `reckless` one that builds as root without Nix's sandbox. Prints a BurglaryReport.
import { spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { appendFile, chmod, chown, mkdir, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import { dirname, join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { exec, nixString } from '@floe/runtime';
import type { BurglaryReport, BurglarySettings, Hauls } from './report.ts';
import { thefts, type Loot, type Scene } from './thefts.ts';

const [user = '', confinement = ''] = process.argv.slice(2);
const isRoot = user === 'root';
const [UID, GID] = isRoot ? [0, 0] : [990, 990];
const DATA_DIR = '/var/lib/floe';
/** In every secret, and nowhere else. */
const CANARY = `LOOT${randomBytes(16).toString('hex')}`;
/** Of a port, which is not kept from anybody. */
const BANNER = `OPEN${CANARY.slice(4)}\n`;
const FEATURES = 'experimental-features = nix-command flakes\nsubstituters =\n';

async function put(path: string, content: string, owner: readonly [number, number] = [UID, GID], mode = 0o600): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, content);
  await chown(path, ...owner);
  await chmod(path, mode);
}

async function run(file: string, ...args: string[]): Promise<string> {
  const result = await exec(file, args, { env: { ...process.env, NIX_CONFIG: FEATURES, ...GIT }, timeoutMs: 60_000 });
  if (result.exitCode !== 0) throw new Error(`${file} ${args.join(' ')}: ${result.stderr}`);
  return result.stdout.trim();
}
const GIT = { GIT_CONFIG_NOSYSTEM: '1', GIT_AUTHOR_NAME: 'a', GIT_AUTHOR_EMAIL: 'a@b', GIT_COMMITTER_NAME: 'a', GIT_COMMITTER_EMAIL: 'a@b' };

async function repository(dir: string, files: Readonly<Record<string, string>>, links: Readonly<Record<string, string>> = {}): Promise<string> {
  await mkdir(dir, { recursive: true });
  for (const [name, content] of Object.entries(files)) await put(join(dir, name), content, [0, 0], 0o644);
  for (const [name, target] of Object.entries(links)) await run('ln', '-s', target, join(dir, name));
  await run('git', 'init', '-q', '-b', 'main', dir);
  await run('git', '-C', dir, 'add', '-A');
  await run('git', '-C', dir, 'commit', '-q', '-m', 'x');
  return await run('git', '-C', dir, 'rev-parse', 'HEAD');
}

async function untilItAnswers(): Promise<void> {
  const ping = ['store', 'ping', '--store', 'daemon'];
  while ((await exec('nix', ping, { env: { PATH: process.env['PATH'] }, timeoutMs: 60_000 })).exitCode !== 0) await setTimeout(20);
}

const servers: Server[] = [];
async function listen(where: string | { port: number; host: string }): Promise<void> {
  const server = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.end(typeof where === 'string' ? `${CANARY}\n` : BANNER);
  });
  servers.push(server);
  server.listen(where);
  await once(server, 'listening');
  if (typeof where === 'string' && where.startsWith('/')) await chmod(where, 0o777);
}

const secret = (name: string): string => `${CANARY} ${name}\n`;
const places: Record<string, readonly [path: string, owner?: readonly [number, number]]> = {
  'release.pem': [`${DATA_DIR}/keys/release.pem`],
  'server.pem': [`${DATA_DIR}/keys/server.pem`],
  'cache.secret': [`${DATA_DIR}/keys/cache.secret`],
  'admin-token': [`${DATA_DIR}/admin-token`],
  'the database': [`${DATA_DIR}/database/base/1`],
  'a statement': [`${DATA_DIR}/statements/1.json`],
  'a credential': ['/run/credentials/floe-server.service/FLOE_WEBHOOK_SECRET_FILE'],
  'a token for inputs': ['/run/credentials/floe-server.service/input-github.com-tokenFile'],
  'the repository token': ['/etc/floe/repository-token'],
  'the home of Nix': [`${DATA_DIR}/home/.config/nix/nix.conf.bak`],
  'a netrc': ['/etc/nix/netrc'],
  ...(isRoot
    ? {
        'another home': ['/home/alice/diary', [1000, 1000]],
        'a key of root': ['/root/.ssh/id_ed25519'],
        shadow: ['/etc/shadow', [0, 0]],
        'a signing key': ['/etc/nix/signing.conf'],
      }
    : {}),
};
await appendFile(
  '/etc/passwd',
  'floe:x:990:990::/var/lib/floe:/bin/sh\nalice:x:1000:1000::/home/alice:/bin/sh\nnixbld1:x:30001:30000::/:/bin/false\nnixbld2:x:30002:30000::/:/bin/false\n',
);
await appendFile('/etc/group', 'floe:x:990:\nnixbld:x:30000:nixbld1,nixbld2\n');
const loot: Record<string, Loot> = {};
for (const [name, [path, owner]] of Object.entries(places)) {
  await put(path, secret(name), owner);
  loot[name] = { path, sha256: createHash('sha256').update(secret(name)).digest('hex') };
}
await put(`${DATA_DIR}/loot.nix`, nixString(secret('an expression')));
await run('tar', 'cf', `${DATA_DIR}/backup.tar`, '-C', DATA_DIR, 'keys');
const privateCommit = await repository(`${DATA_DIR}/private`, {
  note: secret('a repository'),
  'flake.nix': '{ outputs = { self }: { nixosConfigurations.ada = { }; }; }',
});
const narHash = async (dir: string): Promise<string> => await run('nix', 'hash', 'path', dir);
// The same without git.
await run('git', 'clone', '-q', `${DATA_DIR}/private`, `${DATA_DIR}/plain`);
await run('rm', '-rf', `${DATA_DIR}/plain/.git`);
const databaseUrl = `postgres://floe:${CANARY}@localhost/floe`;
const scene: Scene = {
  dataDir: DATA_DIR,
  loot,
  keysNarHash: await narHash(`${DATA_DIR}/keys`),
  privateNarHash: await narHash(`${DATA_DIR}/plain`),
  privateCommit,
  bannerSha256: createHash('sha256').update(BANNER).digest('hex'),
  databaseUrlSha256: createHash('sha256').update(databaseUrl).digest('hex'),
};

// The fleet: each theft is a host, whose evaluation ends with what was stolen.
const all = thefts(scene).map((theft, index) => ({ ...theft, host: `t${index}` }));
const host = (name: string, expression: string): string => `nixosConfigurations.${name}.config.system.build.toplevel = throw ("" + (${expression}));`;
const outputs = all.map((theft) => host(theft.host, theft.expression)).join('\n');
const keysUrl = `path:${DATA_DIR}/keys`;
const reads = (what: string): string => host('ada', what);
const flake = (inputs: string, body: string, more = ''): string => `{ ${more} inputs = { ${inputs} }; outputs = inputs: { ${body} }; }`;
const locked = (node: object): string => JSON.stringify({ nodes: { loot: node, root: { inputs: { loot: 'loot' } } }, root: 'root', version: 7 });
const hook = `${DATA_DIR}/mirrors/hook`;
const flakes: Record<string, readonly [files: Record<string, string>, links?: Record<string, string>]> = {
  fleet: [{ 'flake.nix': `{ outputs = { self }: { ${outputs} }; }` }],
  'an input that is a folder': [
    { 'flake.nix': flake(`loot = { url = "${keysUrl}"; flake = false; };`, reads('builtins.readFile "${inputs.loot}/release.pem"')) },
  ],
  'an input that is locked to a folder': [
    {
      'flake.nix': flake(
        `loot = { url = "${keysUrl}"; flake = false; };`,
        `${reads('builtins.readFile "${inputs.loot}/release.pem"')} floe.rings = builtins.readFile "\${inputs.loot}/release.pem";`,
      ),
      'flake.lock': locked({
        flake: false,
        locked: { type: 'path', path: `${DATA_DIR}/keys`, narHash: scene.keysNarHash },
        original: { type: 'path', path: `${DATA_DIR}/keys` },
      }),
    },
  ],
  'an input that is locked to a repository': [
    {
      'flake.nix': flake(`loot = { url = "git+file://${DATA_DIR}/private"; flake = false; };`, reads('builtins.readFile "${inputs.loot}/note"')),
      'flake.lock': locked({
        flake: false,
        locked: {
          type: 'git',
          url: `file://${DATA_DIR}/private`,
          ref: 'refs/heads/main',
          rev: privateCommit,
          revCount: 1,
          lastModified: 1,
          narHash: scene.privateNarHash,
        },
        original: { type: 'git', url: `file://${DATA_DIR}/private` },
      }),
    },
  ],
  'an input that is locked to a file': [
    {
      'flake.nix': flake(
        `loot = { url = "tarball+file://${DATA_DIR}/backup.tar"; flake = false; };`,
        reads('builtins.readFile "${inputs.loot}/release.pem"'),
      ),
      'flake.lock': locked({
        flake: false,
        locked: { type: 'tarball', url: `file://${DATA_DIR}/backup.tar`, narHash: scene.keysNarHash },
        original: { type: 'tarball', url: `file://${DATA_DIR}/backup.tar` },
      }),
    },
  ],
  'links out of the tree': [
    { 'flake.nix': flake('', reads('builtins.readFile ./key + builtins.readFile ./keys/release.pem + builtins.readFile "${./key}"')) },
    { key: `${DATA_DIR}/keys/release.pem`, keys: `${DATA_DIR}/keys` },
  ],
  'a flake.nix that is a link': [{}, { 'flake.nix': `${DATA_DIR}/keys/release.pem` }],
  'a lock file that is a link': [{ 'flake.nix': flake('', reads('"nothing"')) }, { 'flake.lock': `${DATA_DIR}/keys/release.pem` }],
  'settings of its own': [
    {
      'flake.nix': flake(
        '',
        reads(
          `builtins.readFile (derivation { name = "hooked"; system = "x86_64-linux"; builder = "/bin/sh"; args = [ "-c" "cat ${DATA_DIR}/keys/* > $out" ]; PATH = "/bin"; }) + builtins.exec [ "cat" "${DATA_DIR}/keys/release.pem" ]`,
        ),
        `nixConfig = { accept-flake-config = true; post-build-hook = "${hook}"; diff-hook = "${hook}"; build-hook = "${hook}"; pre-build-hook = "${hook}"; allow-unsafe-native-code-during-evaluation = true; sandbox = false; extra-sandbox-paths = [ "${DATA_DIR}/keys" ]; plugin-files = "${DATA_DIR}/keys"; netrc-file = "/etc/nix/netrc"; builders = "ssh://thief"; pure-eval = false; restrict-eval = false; };`,
      ),
    },
  ],
  'a submodule': [
    {
      'flake.nix': flake('', reads('builtins.readFile ./sub/note')),
      '.gitmodules': `[submodule "sub"]\n\tpath = sub\n\turl = file://${DATA_DIR}/private\n`,
    },
  ],
};
await put(hook, `#!/bin/sh\ncp ${DATA_DIR}/keys/release.pem /tmp/hook-ran\n`, [UID, GID], 0o755);
const urls: Record<string, string> = {};
for (const [index, [name, [files, links]]] of Object.entries(flakes).entries()) {
  const work = `/tmp/work-${index}`;
  await repository(work, files, links);
  if (name === 'a submodule') {
    await run('git', '-C', work, 'update-index', '--add', '--cacheinfo', `160000,${privateCommit},sub`);
    await run('git', '-C', work, 'commit', '-q', '-m', 'sub');
  }
  const mirror = `${DATA_DIR}/mirrors/${index}.git`;
  await run('git', 'clone', '-q', '--bare', work, mirror);
  urls[name] =
    `git+file://${mirror}?ref=main&rev=${await run('git', '-C', work, 'rev-parse', 'HEAD')}${name === 'a submodule' ? '&submodules=1' : ''}`;
}
await run('chown', '-R', `${UID}:${GID}`, DATA_DIR);
await run('chmod', '0700', DATA_DIR);

await listen('/run/docker.sock');
await mkdir('/run/postgresql', { recursive: true });
await listen('/run/postgresql/.s.PGSQL.5432');
await listen({ port: 5432, host: '127.0.0.1' });

const DAEMON_SETTINGS: Readonly<Record<string, string>> = {
  user: 'sandbox = true\nbuild-users-group = nixbld\nsandbox-paths = /bin /usr /lib /lib64\n',
  reckless: 'sandbox = relaxed\nbuild-users-group =\nsandbox-paths = /bin /usr /lib /lib64\n',
};
const settings = DAEMON_SETTINGS[user] ?? 'sandbox = false\nbuild-users-group =\n';
await put('/etc/nix/nix.conf', FEATURES + settings, [0, 0], 0o644);
const daemon = isRoot ? undefined : spawn('nix-daemon', ['--daemon'], { stdio: 'inherit', env: { PATH: process.env['PATH'] } });
if (daemon !== undefined) await untilItAnswers();
// Several that make an empty store at once get in each other's way.
if (daemon === undefined) await run('nix-store', '--verify');

const told: BurglarySettings = {
  dataDir: DATA_DIR,
  isSandboxed: confinement !== 'bare',
  mayBuildsChangeStore: confinement === 'sandboxed',
  thefts: user === 'reckless' ? all.filter(({ isSingleUser }) => isSingleUser) : all,
  urls,
  secrets: Object.values(loot).map(({ path }) => path),
};
await put('/run/burglary.json', JSON.stringify(told), [UID, GID], 0o644);
const drop: [string, ...string[]] = isRoot ? ['env'] : ['setpriv', `--reuid=${UID}`, `--regid=${GID}`, '--clear-groups', '--'];
const [file, ...args]: [string, ...string[]] = [
  ...drop,
  process.execPath,
  '--disable-warning=ExperimentalWarning',
  join(import.meta.dirname, 'burglar.ts'),
  '/run/burglary.json',
];
const burglar = await exec(file, args, {
  env: {
    PATH: process.env['PATH'],
    HOME: `${DATA_DIR}/home`,
    DATABASE_URL: databaseUrl,
    FLOE_TOKEN: CANARY,
    CREDENTIALS_DIRECTORY: '/run/credentials/floe-server.service',
  },
  timeoutMs: 300_000,
  maxStderrBytes: 1024 * 1024,
});
if (burglar.exitCode !== 0) throw new Error(`the burglar failed: ${burglar.end} ${burglar.stderr}`);
const hauls = JSON.parse(burglar.stdout) as Hauls;

const found = await exec('grep', ['-rlaF', CANARY, '/nix', `${DATA_DIR}/sandbox`, '/tmp/hook-ran'], {
  env: { PATH: process.env['PATH'] },
  timeoutMs: 60_000,
});
const escaped = await exec('find', ['/usr', '-name', 'floe-escape'], { env: { PATH: process.env['PATH'] }, timeoutMs: 60_000 });
const hashes: string[] = [];
for (const { sha256 } of Object.values(loot)) {
  hashes.push(sha256, Buffer.from(sha256, 'hex').toString('base64'), await run('nix-hash', '--type', 'sha256', '--to-base32', sha256));
}
const expressions = new Map(all.map(({ name, expression }) => [name, expression]));
/** A hash that is told is as good as the content, unless the thief brought it along. */
function isHaul([name, text]: readonly [string, string]): boolean {
  const expression = expressions.get(name) ?? '';
  const isHashTold = !hashes.some((hash) => expression.includes(hash)) && hashes.some((hash) => text.includes(hash));
  return text.includes(CANARY) || text.includes(BANNER.trim()) || text.includes('STOLEN') || isHashTold;
}
const only = (haul: Readonly<Record<string, string>>): Record<string, string> => Object.fromEntries(Object.entries(haul).filter(isHaul));
const report: BurglaryReport = {
  thefts: all.map(({ name, worksBare, isSingleUser = false, staysOpenFor = [] }) => ({ name, worksBare, isSingleUser, staysOpenFor })),
  stolen: { ...hauls, impure: only(hauls.impure), pure: only(hauls.pure), flakes: only(hauls.flakes) },
  tried: [hauls.impure, hauls.pure, hauls.flakes].reduce((sum, haul) => sum + Object.keys(haul).length, 0),
  left: [...found.stdout.split('\n'), ...escaped.stdout.split('\n')].filter((line) => line !== ''),
};
process.stdout.write(JSON.stringify(report));
daemon?.kill('SIGKILL');
for (const server of servers) server.close();
