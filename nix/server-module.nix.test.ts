import { join } from 'node:path';
import { exec } from '@floe/runtime';
import { expect, it } from 'vitest';
import { FOREIGN_FOLDERS, OWN_FOLDERS, UPWARD_FOLDERS } from './testing/folders.ts';

const SERVER = join(import.meta.dirname, 'testing/server.nix');

async function evaluate<T>(settings: string, what: string): Promise<T> {
  const expression = `(import ${SERVER} { settings = { lib, ... }: { ${settings} }; }).${what}`;
  return await read<T>(expression);
}

async function read<T>(expression: string): Promise<T> {
  const result = await exec('nix-instantiate', ['--eval', '--strict', '--json', '--expr', expression], { timeoutMs: 60_000 });
  expect(result.exitCode, result.stderr).toBe(0);
  return JSON.parse(result.stdout) as T;
}

it("leaves bubblewrap what it needs to make the repository code's sandbox", async () => {
  const unit = await evaluate<Record<string, unknown>>('', 'unit.serviceConfig');
  // Each of these mounts something on /proc; the kernel then lets no user namespace have one of its own.
  expect(unit).toMatchObject({ ProtectKernelTunables: false, ProtectKernelLogs: false });
  expect(unit['ProcSubset']).toBeUndefined();
  for (const namespace of ['cgroup', 'ipc', 'mnt', 'pid', 'user', 'uts']) expect(unit['RestrictNamespaces']).toContain(namespace);
  expect(unit['SystemCallFilter']).toEqual(['@system-service', '@mount']);
  // And the rest of the fence stays.
  expect(unit).toMatchObject({
    User: 'floe',
    NoNewPrivileges: true,
    CapabilityBoundingSet: '',
    ProtectSystem: 'strict',
    ProtectHome: true,
    PrivateTmp: true,
  });
});

it('trusts what the machine trusts, and starts again when that changes', async () => {
  expect(await evaluate('', 'unit.environment.NODE_EXTRA_CA_CERTS')).toBe('/etc/ssl/certs/ca-certificates.crt');
  expect(await evaluate('', 'unit.restartTriggers')).toEqual([]);
  const pki = 'environment.etc."ssl/certs/ca-certificates.crt".source = "/nix/store/abc-bundle";';
  expect(await evaluate(pki, 'unit.restartTriggers')).toEqual(['/nix/store/abc-bundle']);
});

it('refuses what would open the sandbox, unless that is asked for by name', async () => {
  const unsafe = 'services.floe.server.unsafe.runRepositoryCodeWithAccessToKeys = true;';
  expect(await evaluate('', 'failed')).toEqual([]);
  for (const [settings, message] of [
    ['nix.settings.sandbox = false;', /nix\.settings\.sandbox/],
    ['nix.settings.sandbox = "relaxed";', /nix\.settings\.sandbox/],
    ['nix.settings.trusted-users = [ "floe" ];', /trusted-users/],
    ['nix.settings.trusted-users = [ "*" ];', /trusted-users/],
    ['security.allowUserNamespaces = false;', /allowUserNamespaces/],
  ] as const) {
    expect(await evaluate(settings, 'failed')).toEqual([expect.stringMatching(message)]);
    expect(await evaluate(settings + unsafe, 'failed')).toEqual([]);
  }
  const setting = 'unit.environment.FLOE_UNSAFE_RUN_REPOSITORY_CODE_WITH_ACCESS_TO_KEYS or "unset"';
  expect(await evaluate('', setting)).toBe('unset');
  expect(await evaluate(unsafe, setting)).toBe('yes');
});

it('lets the server write to a cache elsewhere, unless a builder of its own writes there', async () => {
  const elsewhere = 'services.floe.server.cacheDir = "/srv/cache";';
  expect(await evaluate(elsewhere, 'unit.serviceConfig.ReadWritePaths')).toEqual(['/srv/cache']);
  expect(await evaluate(elsewhere, 'tmpfiles')).toEqual(['d /srv/cache 0755 floe floe -']);
  const apart = `${elsewhere} services.floe.server.builderKeysFile = "/etc/floe/public-keys.json";`;
  for (const settings of ['', apart]) {
    expect(await evaluate(settings, 'unit.serviceConfig.ReadWritePaths')).toEqual([]);
    expect(await evaluate(settings, 'tmpfiles')).toEqual([]);
  }
});

it('takes no folder for its cache that is not its own', async () => {
  const said = async (folders: readonly string[], more = ''): Promise<string[]> => {
    const each = `(import ${SERVER} { settings = { imports = [ { services.floe.server = { cacheDir = folder; }; } { ${more} } ]; }; }).failed`;
    const lists = await read<string[][]>(`map (folder: ${each}) (builtins.fromJSON ''${JSON.stringify(folders)}'')`);
    return lists.map((list) => list.join('\n'));
  };
  // The option's type has no "/".
  const bad = [...FOREIGN_FOLDERS.filter((folder) => folder !== '/'), '/var/lib/floe', '/var/lib/floe/'];
  const apart =
    'services.floe.server = { builderKeysFile = "/etc/floe/public-keys.json"; database.createLocally = true; repository.branch = "main"; };';
  for (const more of ['', apart]) {
    for (const [index, words] of (await said(bad, more)).entries())
      expect(words, bad[index]).toMatch(/^services\.floe\.server\.cacheDir is in \/.*, for example \/var\/cache\/floe$/);
  }
  for (const words of await said(UPWARD_FOLDERS)) expect(words).toMatch(/cacheDir is .*: write the path without \.\.$/);
  expect(await said([...OWN_FOLDERS, '/var/lib/floe/published'])).toEqual([...OWN_FOLDERS, ''].map(() => ''));
});

it('refuses what a server does not start with beside a builder of its own', async () => {
  const needed = [
    'builderKeysFile = "/etc/floe/public-keys.json";',
    'database.urlFile = "/run/secrets/url";',
    'cacheUrl = "https://cache.example.org";',
  ];
  const failed = async (settings: readonly string[]) => await evaluate(`services.floe.server = { ${settings.join(' ')} };`, 'failed');
  expect(await failed(needed)).toEqual([]);
  expect(await failed(needed.filter((each) => !each.startsWith('database')))).toEqual([expect.stringMatching(/set database\.createLocally or/)]);
  expect(await failed(needed.filter((each) => !each.startsWith('cache')))).toEqual([
    expect.stringMatching(/set cacheDir to its folder, or cacheUrl/),
  ]);
  for (const secret of ['repository.tokenFile = "/run/secrets/token";', 'inputs."github.com".tokenFile = "/run/secrets/token";'])
    expect(await failed([...needed, secret])).toEqual([expect.stringMatching(/take repository\.tokenFile, .* and inputs out/)]);
  for (const setting of [
    'signers.ssh = [ ];',
    'signers.openPgp = [ "-----BEGIN" ];',
    'policyFloor.checks = [ "unit" ];',
    'publish.to = "s3://fleet";',
    'publish.command = [ "/push" ];',
    'repository.directory = "nix";',
    'repository.submodules = true;',
    'evaluate.source = "tree";',
    'evaluate.skip = "footprint";',
    'evaluate.hostsFile = "hosts.nix";',
    'evaluate.attribute = "colmenaHive.nodes";',
  ])
    expect(await failed([...needed, setting]), setting).toEqual([
      expect.stringMatching(/take signers, signCommand, publish, policyFloor, .* out, and set them there/),
    ]);
});

it('tells the server its forge, and refuses the settings of another one', async () => {
  expect(await evaluate('', 'unit.environment.FLOE_FORGE')).toBe('github');
  const settings = 'services.floe.server = { forge = "forgejo"; webhookSecretFile = "/run/secrets/hook"; };';
  expect(await evaluate(settings, 'unit.environment.FLOE_FORGE')).toBe('forgejo');
  expect(await evaluate(settings, 'failed')).toEqual([]);
  const both = `${settings} services.floe.server.github = { repository = "a/b"; tokenFile = "/run/secrets/t"; };`;
  expect(await evaluate(both, 'failed')).toEqual([expect.stringMatching(/server\.github is set, and forge is forgejo/)]);
});

it("tells the server the policy's floor, if there is one", async () => {
  const variable = 'unit.environment.FLOE_POLICY_FLOOR or "unset"';
  expect(await evaluate('', variable)).toBe('unset');
  const settings = 'services.floe.server.policyFloor = { firstRing = { soak = "1h"; approvals.count = 1; }; checks = [ "unit" ]; };';
  expect(JSON.parse(await evaluate<string>(settings, variable))).toEqual({ firstRing: { soak: '1h', approvals: { count: 1 } }, checks: ['unit'] });
});

it('hands the signers of commits to the server, as files', async () => {
  const variable = (name: string): string => `unit.environment.${name} or "unset"`;
  expect(await evaluate('', variable('FLOE_SSH_SIGNERS_FILE'))).toBe('unset');
  const settings = 'services.floe.server.signers = { ssh = [ "ada ssh-ed25519 A" "bob ssh-ed25519 B" ]; openPgp = [ "-----BEGIN" ]; };';
  expect(await evaluate(settings, variable('FLOE_SSH_SIGNERS_FILE'))).toBe('/etc/floe/ssh-signers');
  expect(await evaluate(settings, 'etc."floe/ssh-signers".text')).toBe('# Who may sign commits.\nada ssh-ed25519 A\nbob ssh-ed25519 B\n');
  // Whoever takes the last key away means that nobody may sign.
  expect(await evaluate('services.floe.server.signers.ssh = [ ];', 'etc."floe/ssh-signers".text')).toBe('# Who may sign commits.\n');
  expect(await evaluate(settings, variable('FLOE_OPENPGP_SIGNERS_FILE'))).toBe('/etc/floe/openpgp-signers');
  expect(await evaluate(settings, 'etc."floe/openpgp-signers".text')).toBe('-----BEGIN\n');
});

it('bounds what builds may use, and lets the daemon go on when one of them is ended for it', async () => {
  expect(await evaluate('', 'daemon.serviceConfig')).toEqual({ MemoryMax: '80%', OOMPolicy: 'continue' });
  const settings = 'services.floe.server.buildMemoryMib = 4096;';
  expect(await evaluate(settings, 'daemon.serviceConfig.MemoryMax')).toBe('4096M');
  expect(await evaluate(settings, 'unit.environment.FLOE_BUILD_MEMORY_MIB')).toBe('4096');
});

it('tells the server its probes, and hands it their secrets alone', async () => {
  const settings = `services.floe.server.probes = {
    errors = { kind = "prometheus"; url = "https://prometheus.example.org"; query = "up"; max = 0.5; user = "floe"; passwordFile = "/run/secrets/p"; };
    shop = { kind = "webhook"; url = "https://probes.example.org/"; secretFile = "/run/secrets/shop"; };
  };`;
  const file = JSON.parse(await evaluate<string>(settings, 'etc."floe/probes.json".text')) as { probes: unknown[] };
  const credentials = '/run/credentials/floe-server.service';
  const errors = { kind: 'prometheus', url: 'https://prometheus.example.org', query: 'up', max: 0.5, user: 'floe' };
  expect(file.probes).toEqual([
    { name: 'errors', ...errors, passwordFile: `${credentials}/probe-errors` },
    { name: 'shop', kind: 'webhook', url: 'https://probes.example.org/', secretFile: `${credentials}/probe-shop` },
  ]);
  expect(await evaluate(settings, 'unit.serviceConfig.LoadCredential')).toEqual(['probe-errors:/run/secrets/p', 'probe-shop:/run/secrets/shop']);
  expect(await evaluate(settings, 'unit.environment.FLOE_PROBES_FILE')).toBe('/etc/floe/probes.json');
  expect(await evaluate('', 'unit.environment.FLOE_PROBES_FILE or "unset"')).toBe('unset');
});

it('tells the server how private inputs are fetched, and hands it their secrets alone', async () => {
  const settings = `services.floe.server.inputs = {
    "github.com".tokenFile = "/run/secrets/github";
    "git.example.org:8443" = { tokenFile = "/run/secrets/git"; user = "floe"; };
    "ssh.example.org" = { sshKeyFile = "/run/secrets/key"; knownHosts = [ "ssh.example.org ssh-ed25519 AAAA" ]; };
  };`;
  const credentials = '/run/credentials/floe-server.service';
  expect(JSON.parse(await evaluate<string>(settings, 'etc."floe/inputs.json".text'))).toEqual({
    inputs: {
      'git.example.org:8443': { tokenFile: `${credentials}/input-git.example.org-8443-tokenFile`, user: 'floe', knownHosts: [] },
      'github.com': { tokenFile: `${credentials}/input-github.com-tokenFile`, knownHosts: [] },
      'ssh.example.org': { sshKeyFile: `${credentials}/input-ssh.example.org-sshKeyFile`, knownHosts: ['ssh.example.org ssh-ed25519 AAAA'] },
    },
  });
  expect(await evaluate(settings, 'unit.serviceConfig.LoadCredential')).toEqual([
    'input-git.example.org-8443-tokenFile:/run/secrets/git',
    'input-github.com-tokenFile:/run/secrets/github',
    'input-ssh.example.org-sshKeyFile:/run/secrets/key',
  ]);
  expect(await evaluate(settings, 'unit.environment.FLOE_INPUTS_FILE')).toBe('/etc/floe/inputs.json');
  expect(await evaluate('', 'unit.environment.FLOE_INPUTS_FILE or "unset"')).toBe('unset');
});

it('tells the server its notification targets, and hands it their secrets alone', async () => {
  const settings = `services.floe.server.notifications = {
    ops = { kind = "webhook"; url = "https://hooks.example.org/"; secretFile = "/run/secrets/ops"; events = [ "commit-held" ]; };
    mail = { kind = "email"; host = "smtp.example.org"; from = "floe@example.org"; to = [ "ops@example.org" ]; };
  };`;
  const file = JSON.parse(await evaluate<string>(settings, 'etc."floe/notify.json".text')) as { targets: unknown[] };
  expect(file.targets).toEqual([
    { name: 'mail', kind: 'email', host: 'smtp.example.org', from: 'floe@example.org', to: ['ops@example.org'] },
    {
      name: 'ops',
      kind: 'webhook',
      url: 'https://hooks.example.org/',
      secretFile: '/run/credentials/floe-server.service/notify-ops',
      events: ['commit-held'],
    },
  ]);
  expect(await evaluate(settings, 'unit.serviceConfig.LoadCredential')).toEqual(['notify-ops:/run/secrets/ops']);
  expect(await evaluate(settings, 'unit.environment.FLOE_NOTIFY_FILE')).toBe('/etc/floe/notify.json');
  expect(await evaluate('', 'unit.environment.FLOE_NOTIFY_FILE or "unset"')).toBe('unset');
});
