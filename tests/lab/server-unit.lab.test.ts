import { createServer, type Server } from 'node:http';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execInTest } from '@floe/runtime';
import { createGitHttpHandler, eventually, exampleFleetFiles, isLabReady, LabGuest, LabNetwork, labRootfs } from '@floe/testkit';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { noteOutcome } from './outcomes.ts';
import { createRepository } from './repository.ts';

// The server as a machine runs it: the bundle, in the unit of its NixOS module, under systemd, with Nix's daemon.

const ROOT = join(import.meta.dirname, '../..');
const NUMBER = 9;
const { isReady, why } = await isLabReady('trixie');

/** systemd's form of what the module says. */
async function unitFile(network: LabNetwork, port: number): Promise<string> {
  const settings = `services.floe.server = { publicUrl = "http://127.0.0.1:8420"; repository.url = "http://${network.address}:${port}/fleet.git"; pollSeconds = 1; webhookSecretFile = "/etc/floe/webhook-secret"; };`;
  const expression = `(import ${join(ROOT, 'nix/testing/server.nix')} { settings = { lib, ... }: { ${settings} }; }).unit`;
  const args = ['--eval', '--strict', '--json', '--expr', `let unit = ${expression}; in { inherit (unit) environment serviceConfig; }`];
  const result = await execInTest('nix-instantiate', args);
  if (result.exitCode !== 0) throw new Error(result.stderr);
  const unit = JSON.parse(result.stdout) as { environment: Record<string, string>; serviceConfig: Record<string, unknown> };
  const lines = Object.entries({ ...unit.serviceConfig, ExecStart: '/usr/local/bin/node /opt/floe/floe-server.mjs' }).flatMap(([name, value]) =>
    (Array.isArray(value) ? value : [value]).map((each) => `${name}=${String(each)}`),
  );
  const environment = { ...unit.environment, PATH: '/usr/bin:/bin' };
  return ['[Service]', ...lines, ...Object.entries(environment).map(([name, value]) => `Environment="${name}=${value}"`), ''].join('\n');
}

const NIX_CONF =
  'experimental-features = nix-command flakes\nsubstituters =\nsandbox = true\nsandbox-fallback = false\nbuild-users-group = nixbld\nsandbox-paths = /bin /usr /lib /lib64\n';
const NIX_DAEMON = '[Service]\nExecStart=/usr/bin/nix-daemon --daemon\nMemoryMax=80%\nOOMPolicy=continue\nDelegate=yes\n';

describe.skipIf(!isReady)(`the server's unit under systemd${isReady ? '' : ` (skipped: ${why})`}`, { timeout: 280_000 }, () => {
  let dir: string;
  let network: LabNetwork;
  let origin: Server;
  let guest: LabGuest;
  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'floe-server-unit-'));
    network = await LabNetwork.create(NUMBER);
    const made = await execInTest(process.execPath, [join(ROOT, 'scripts/bundle.ts'), join(dir, 'bundle')]);
    expect(made.exitCode, made.stderr).toBe(0);
    await mkdir(join(dir, 'repositories'));
    await createRepository(join(dir, 'repositories/fleet.git'), join(dir, 'work'), {
      ...(await exampleFleetFiles()),
      'hosts/thief.nix':
        '{ ... }: { environment.etc.loot = builtins.readFile (builtins.fetchurl { url = "file:///var/lib/floe/keys/release.pem"; sha256 = "0000000000000000000000000000000000000000000000000000"; }); }',
    });
    origin = createServer(createGitHttpHandler({ projectRoot: join(dir, 'repositories') }));
    await new Promise<void>((resolve) => origin.listen(0, network.address, resolve));
    const address = origin.address();
    const port = typeof address === 'object' && address !== null ? address.port : 0;
    guest = new LabGuest({
      name: `server${NUMBER}`,
      rootfs: labRootfs('trixie'),
      dir: join(dir, 'guests'),
      bridge: network.bridge,
      address: network.guestAddress(0),
      readable: {
        [join(dir, 'bundle')]: '/opt/floe',
        '/usr/bin/git': '/usr/bin/git',
        '/usr/bin/bwrap': '/usr/bin/bwrap',
        '/usr/lib/git-core': '/usr/lib/git-core',
      },
      files: {
        '/etc/nix/nix.conf': NIX_CONF,
        '/etc/floe/webhook-secret': 'secret\n',
        '/etc/systemd/system/floe-server.service': await unitFile(network, port),
        '/etc/systemd/system/nix-daemon.service': NIX_DAEMON,
      },
    });
    await guest.start();
    await guest.sh(`
      echo 'floe:x:990:990::/var/lib/floe:/bin/sh' >> /etc/passwd; echo 'floe:x:990:' >> /etc/group
      for n in 1 2 3; do echo "nixbld$n:x:3000$n:30000::/:/bin/false" >> /etc/passwd; done; echo 'nixbld:x:30000:nixbld1,nixbld2,nixbld3' >> /etc/group
      awk '$2 ~ "^/proc/" { print $2 }' /proc/mounts | sort -r | while read m; do umount -l "$m" || true; done
      nix-store --verify; systemctl daemon-reload; systemctl start nix-daemon; systemctl start --no-block floe-server`);
  });
  afterAll(async () => {
    await guest[Symbol.asyncDispose]();
    origin.closeAllConnections();
    origin.close();
    await network[Symbol.asyncDispose]();
    await rm(dir, { recursive: true, force: true });
  });

  test('evaluates, builds and publishes behind its fence, and a thief gets nothing', async () => {
    const log = async (): Promise<string> => await guest.sh('journalctl --no-pager -u floe-server -n 400 -o cat');
    await eventually(
      'all good hosts are in the cache, and their releases signed',
      async () =>
        (await guest.run('sh', '-c', 'ls /var/lib/floe/cache/*.narinfo && find /var/lib/floe/statements -type f -size +0 | grep .')).exitCode === 0
          ? true
          : undefined,
      { timeoutMs: 30_000, explain: log },
    );
    const status = await guest.sh('cat /proc/$(systemctl show floe-server --property=MainPID --value)/status');
    expect(status).toMatch(/^NoNewPrivs:\t1$/m);
    expect(status).toMatch(/^Seccomp:\t2$/m);
    expect(status).toMatch(/^CapBnd:\t0+$/m);
    expect(status).toMatch(/^Uid:\t990\t/m);
    expect(await guest.sh('cat /proc/$(systemctl show floe-server --property=MainPID --value)/cgroup')).toMatch(/floe-server\.service\/floe-main$/m);
    // Others are released while it is still evaluated.
    await eventually('the thief fails', async () => ((await log()).includes('"host":"thief","code":"EVALUATION_FAILED"') ? true : undefined), {
      timeoutMs: 30_000,
      explain: log,
    });
    const key = await guest.sh('sed -n 2p /var/lib/floe/keys/release.pem');
    expect(key.length).toBeGreaterThan(40);
    const found = await guest.run('grep', '-rlaF', '--', key, '/nix', '/var/lib/floe/cache', '/var/lib/floe/sandbox', '/var/lib/floe/statements');
    expect(found.stdout).toBe('');
    noteOutcome({
      fault: "a fleet in the server's own unit",
      where: 'systemd 257, Nix 2.26 with its daemon',
      outcome: 'released; a thief got nothing',
    });
  });

  test('serves nothing while its sandbox does not work, and continues automatically afterwards', async () => {
    await guest.sh('systemctl stop floe-server; mount --bind /bin/false /usr/bin/bwrap; systemctl start --no-block floe-server');
    const answers = `node -e 'fetch("http://127.0.0.1:8420/readyz").then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))'`;
    await eventually(
      'the unit says why',
      async () => ((await guest.sh('journalctl --no-pager -u floe-server -n 20 -o cat')).includes('SANDBOX_UNAVAILABLE') ? true : undefined),
      { timeoutMs: 30_000 },
    );
    expect((await guest.run('sh', '-c', answers)).exitCode).toBe(1);
    await guest.sh('umount -l /usr/bin/bwrap; systemctl restart --no-block floe-server');
    await eventually('it is ready', async () => ((await guest.run('sh', '-c', answers)).exitCode === 0 ? true : undefined), {
      timeoutMs: 30_000,
      explain: async () => await guest.log(),
    });
  });
});
