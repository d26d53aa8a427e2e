import { join } from 'node:path';
import { exec } from '@floe/runtime';
import { expect, it } from 'vitest';

const BUILDER = join(import.meta.dirname, 'testing/builder.nix');
const FLAKE = join(import.meta.dirname, '../flake.nix');
/** What a builder on a machine of its own needs besides. */
const DATABASE = 'services.floe.builder.database.urlFile = "/run/secrets/url";';

async function evaluate<T>(settings: string, what: string, isBesideServer = false): Promise<T> {
  const expression = `(import ${BUILDER} { isBesideServer = ${isBesideServer}; settings = { lib, ... }: { ${settings} }; }).${what}`;
  return await read<T>(expression);
}

async function read<T>(expression: string): Promise<T> {
  const result = await exec('nix-instantiate', ['--eval', '--strict', '--json', '--expr', expression], { timeoutMs: 60_000 });
  expect(result.exitCode, result.stderr).toBe(0);
  return JSON.parse(result.stdout) as T;
}

type ServiceConfig = Record<string, unknown>;
const fenceOf = async (unit: string, settings = '', isBesideServer = true): Promise<ServiceConfig> =>
  await evaluate(settings, `units.${unit}.serviceConfig`, isBesideServer);

it('runs the builder as a user of its own behind a fence, and leaves bubblewrap what it needs', async () => {
  const unit = await fenceOf('floe-builder', DATABASE, false);
  expect(unit).toMatchObject({
    User: 'floe-builder',
    Group: 'floe-builder',
    StateDirectory: 'floe-builder',
    StateDirectoryMode: '0700',
    NoNewPrivileges: true,
    CapabilityBoundingSet: '',
    ProtectSystem: 'strict',
    ProtectHome: true,
    PrivateTmp: true,
    SystemCallFilter: ['@system-service', '@mount'],
    // Each of these mounts something on /proc; the kernel then lets no user namespace have one of its own.
    ProtectKernelTunables: false,
    ProtectKernelLogs: false,
    Delegate: 'memory pids',
  });
  expect(unit['ProcSubset']).toBeUndefined();
  for (const namespace of ['cgroup', 'ipc', 'mnt', 'pid', 'user', 'uts']) expect(unit['RestrictNamespaces']).toContain(namespace);
  expect(await evaluate(DATABASE, 'users')).toEqual(['floe-builder']);
  expect(await evaluate(DATABASE, 'units.nix-daemon.serviceConfig')).toEqual({ MemoryMax: '80%', OOMPolicy: 'continue' });
});

it('gives a server beside it a narrower fence, in which nothing of the repository could run', async () => {
  expect(await evaluate('', 'users', true)).toEqual(['floe', 'floe-builder']);
  const server = await fenceOf('floe-server');
  expect(server).toMatchObject({
    User: 'floe',
    ProtectKernelTunables: true,
    ProtectKernelLogs: true,
    ProtectControlGroups: true,
    RestrictNamespaces: true,
    SystemCallFilter: ['@system-service'],
    ReadWritePaths: [],
  });
  expect(server['Delegate']).toBeUndefined();
  expect(await evaluate('', 'units.floe-server.path', true)).toEqual([]);
  expect(await evaluate('', 'units.floe-builder.path', true)).toEqual(['/packages/nix']);
});

it('hands each of the two its own secrets alone', async () => {
  const secrets = `services.floe.builder = {
    repository.tokenFile = "/run/secrets/token";
    releaseKeyFile = "/run/secrets/release.pem";
    cacheKeyFile = "/run/secrets/cache.secret";
    inputs."git.example.org:8443".tokenFile = "/run/secrets/input";
  }; services.floe.server.webhookSecretFile = "/run/secrets/hook";`;
  expect(await evaluate(secrets, 'failed', true)).toEqual([]);
  const credentials = async (unit: string): Promise<string[]> => (await fenceOf(unit, secrets))['LoadCredential'] as string[];
  expect(await credentials('floe-builder')).toEqual([
    'FLOE_CACHE_KEY_FILE:/run/secrets/cache.secret',
    'FLOE_RELEASE_KEY_FILE:/run/secrets/release.pem',
    'FLOE_REPOSITORY_TOKEN_FILE:/run/secrets/token',
    'input-git.example.org-8443-tokenFile:/run/secrets/input',
  ]);
  // What the builder wrote is in a folder that only root and the builder read.
  expect(await credentials('floe-server')).toEqual([
    'FLOE_BUILDER_KEYS_FILE:/var/lib/floe-builder/public-keys.json',
    'FLOE_WEBHOOK_SECRET_FILE:/run/secrets/hook',
  ]);
  const environment = await evaluate<Record<string, string>>(secrets, 'units.floe-builder.environment', true);
  expect(environment).toMatchObject({
    FLOE_RELEASE_KEY_FILE: '%d/FLOE_RELEASE_KEY_FILE',
    FLOE_CACHE_KEY_FILE: '%d/FLOE_CACHE_KEY_FILE',
    FLOE_DATA_DIR: '/var/lib/floe-builder',
    FLOE_CACHE_DIR: '/var/cache/floe',
    FLOE_INPUTS_FILE: '/etc/floe/builder-inputs.json',
    FLOE_REPOSITORY_BRANCH: 'main',
  });
  const input = '/run/credentials/floe-builder.service/input-git.example.org-8443-tokenFile';
  expect(JSON.parse(await evaluate<string>(secrets, 'etc."floe/builder-inputs.json".text', true))).toEqual({
    inputs: { 'git.example.org:8443': { tokenFile: input, knownHosts: [] } },
  });
});

it('has a key for an SSH address, and the keys of its host in a file; a server beside it has neither', async () => {
  const url = 'repository.url = "ssh://git@git.example.org:2222/fleet.git";';
  const settings = `services.floe.builder = { ${url} repository.sshKeyFile = "/run/secrets/key"; repository.knownHosts = [ "[git.example.org]:2222 ssh-ed25519 A" ]; };
    services.floe.server = { ${url} };`;
  expect(await evaluate(settings, 'failed', true)).toEqual([]);
  expect(await evaluate(settings, 'units.floe-builder.environment', true)).toMatchObject({
    FLOE_REPOSITORY_URL: 'ssh://git@git.example.org:2222/fleet.git',
    FLOE_REPOSITORY_SSH_KEY_FILE: '%d/FLOE_REPOSITORY_SSH_KEY_FILE',
    FLOE_REPOSITORY_KNOWN_HOSTS_FILE: '/etc/floe/builder-repository-known-hosts',
  });
  expect((await fenceOf('floe-builder', settings))['LoadCredential']).toEqual(['FLOE_REPOSITORY_SSH_KEY_FILE:/run/secrets/key']);
  expect(await evaluate(settings, 'etc."floe/builder-repository-known-hosts".text', true)).toBe('[git.example.org]:2222 ssh-ed25519 A\n');
  expect(await evaluate(settings, 'units.floe-server.environment.FLOE_REPOSITORY_SSH_KEY_FILE or "unset"', true)).toBe('unset');
});

it('has the signers of commits in a file of its own, on one machine with the server', async () => {
  const signers = 'services.floe.builder.signers.ssh = [ "ada ssh-ed25519 A" ];';
  expect(await evaluate(signers, 'failed', true)).toEqual([]);
  expect(await evaluate(signers, 'units.floe-builder.environment.FLOE_SSH_SIGNERS_FILE', true)).toBe('/etc/floe/builder-ssh-signers');
  expect(await evaluate(signers, 'etc."floe/builder-ssh-signers".text', true)).toBe('# Who may sign commits.\nada ssh-ed25519 A\n');
  expect(await evaluate(signers, 'units.floe-server.environment.FLOE_SSH_SIGNERS_FILE or "unset"', true)).toBe('unset');
});

it('has the keys of operators in a file of its own, and the server has its own', async () => {
  const keys = 'services.floe.builder.operatorKeys = [ "ada ssh-ed25519 A" ]; services.floe.server.operatorKeys = [ ];';
  expect(await evaluate(keys, 'failed', true)).toEqual([]);
  const variable = (unit: string): string => `units.${unit}.environment.FLOE_OPERATOR_KEYS_FILE or "unset"`;
  expect(await evaluate(keys, variable('floe-builder'), true)).toBe('/etc/floe/builder-operator-keys');
  expect(await evaluate(keys, 'etc."floe/builder-operator-keys".text', true)).toBe('# Who may take hosts back.\nada ssh-ed25519 A\n');
  expect(await evaluate(keys, variable('floe-server'), true)).toBe('/etc/floe/operator-keys');
  expect(await evaluate('', variable('floe-builder'), true)).toBe('unset');
});

it('has releases signed by a command, with its arguments', async () => {
  const command = (to: string): string =>
    `services.floe.${to} = { signCommand = [ "/opt/hsm sign" "--key" "7 \\"%d\\"" ]; signPublicKey = "eC9oXnF3o5LtS4Zqv0yWbQ1mJ8uT2pR6kD5fG7hJ9lM="; };`;
  expect(await evaluate(command('builder'), 'failed', true)).toEqual([]);
  const environment = await evaluate<Record<string, string>>(command('builder'), 'units.floe-builder.environment', true);
  expect(JSON.parse((environment['FLOE_SIGN_COMMAND'] ?? '').replaceAll('%%', '%'))).toEqual(['/opt/hsm sign', '--key', '7 "%d"']);
  expect(environment['FLOE_SIGN_PUBLIC_KEY']).toBe('eC9oXnF3o5LtS4Zqv0yWbQ1mJ8uT2pR6kD5fG7hJ9lM=');
  expect(await evaluate(command('server'), 'failed', true)).toEqual([expect.stringContaining('take signers, signCommand')]);
  for (const [wrong, why] of [
    ['signCommand = [ "/sign" ];', 'signPublicKey'],
    ['signCommand = [ "sign" ]; signPublicKey = "x";', 'absolute path'],
    ['signCommand = [ ]; signPublicKey = "x";', 'absolute path'],
    ['signCommand = [ "/sign" ]; signPublicKey = "x"; releaseKeyFile = "/run/secrets/release.pem";', 'one of them'],
  ] as const)
    expect(await evaluate(`services.floe.builder = { ${wrong} };`, 'failed', true)).toEqual([expect.stringContaining(why)]);
});

it('publishes elsewhere, with a login that is its credential alone', async () => {
  const publish = (what: string): string => `services.floe.builder = { cacheUrl = "https://cache.example.org"; ${what} };`;
  const login = 'publish.credentialsFile = "/run/secrets/publish";';
  const environment = async (what: string) => await evaluate<Record<string, string>>(publish(what), 'units.floe-builder.environment', true);
  expect(await evaluate(publish(`publish.to = "s3://fleet?region=eu-central-1"; ${login}`), 'failed', true)).toEqual([]);
  expect(await environment(`publish.to = "s3://fleet?region=eu-central-1"; ${login}`)).toMatchObject({
    FLOE_PUBLISH_TO: 's3://fleet?region=eu-central-1',
    FLOE_PUBLISH_CREDENTIALS_FILE: '%d/FLOE_PUBLISH_CREDENTIALS_FILE',
    FLOE_CACHE_URL: 'https://cache.example.org',
  });
  const ssh = `publish.to = "ssh://floe@cache.example.org"; publish.knownHosts = [ "cache.example.org ssh-ed25519 A" ]; ${login}`;
  expect(await environment(ssh)).toMatchObject({ FLOE_PUBLISH_KNOWN_HOSTS_FILE: '/etc/floe/builder-publish-known-hosts' });
  expect(await evaluate(publish(ssh), 'etc."floe/builder-publish-known-hosts".text', true)).toBe('cache.example.org ssh-ed25519 A\n');
  expect(await evaluate(publish(ssh), 'units.floe-builder.path', true)).toEqual(['/packages/nix', '/packages/openssh']);
  const command =
    'publish.command = [ "/push" "--stdin" ]; publish.timeoutSeconds = 60; cachePublicKeys = [ "a:b" "c:d" ]; cacheUpstreamUrls = [ "https://cache.nixos.org" ];';
  expect(await environment(command)).toMatchObject({
    FLOE_PUBLISH_COMMAND: '["/push","--stdin"]',
    FLOE_PUBLISH_TIMEOUT_SECONDS: '60',
    FLOE_CACHE_PUBLIC_KEYS: 'a:b c:d',
    FLOE_CACHE_UPSTREAM_URLS: 'https://cache.nixos.org',
  });
  for (const [settings, message] of [
    ['cacheUrl = null; publish.to = "s3://fleet";', 'set services.floe.builder.cacheUrl to where'],
    ['cacheUrl = "https://a.example.org"; publish.to = "s3://fleet"; publish.command = [ "/push" ];', 'set one of to and command'],
    ['cacheUrl = "https://a.example.org"; publish.command = [ "push" ];', 'absolute path'],
    ['publish.credentialsFile = "/run/secrets/publish";', 'about a cache elsewhere'],
  ] as const)
    expect(await evaluate(`services.floe.builder = { ${settings} };`, 'failed', true), settings).toEqual([expect.stringContaining(message)]);
});

it('lets others read a cache that is elsewhere, and only that', async () => {
  expect(await fenceOf('floe-builder')).toMatchObject({ ReadWritePaths: ['/var/cache/floe'], UMask: '0022', StateDirectoryMode: '0700' });
  expect(await evaluate('', 'tmpfiles', true)).toEqual(['d /var/cache/floe 0755 floe-builder floe-builder -']);
  expect(await fenceOf('floe-builder', DATABASE, false)).toMatchObject({ ReadWritePaths: [], UMask: '0077' });
  expect(await evaluate(DATABASE, 'tmpfiles')).toEqual([]);
});

it("has a login of its own to the server's database, where that is on the same machine", async () => {
  expect(await evaluate('', 'failed', true)).toEqual([]);
  const unit = await evaluate<{ after: string[] }>('', 'units.floe-builder', true);
  expect(unit.after).toContain('floe-builder-database.service');
  const login = await evaluate<Record<string, unknown>>('', 'units.floe-builder-database', true);
  expect(login).toMatchObject({ wantedBy: ['floe-builder.service'], requiredBy: [], serviceConfig: { Type: 'oneshot', Restart: 'on-failure' } });
  const url = 'units.floe-builder.environment.DATABASE_URL or "unset"';
  expect(await evaluate('', url, true)).toBe('postgres://floe-builder@localhost/floe?host=/run/postgresql');
  expect(await evaluate(DATABASE, url)).toBe('unset');
  expect(await evaluate(DATABASE, 'units ? floe-builder-database')).toBe(false);
});

it('takes no secret from the store, which everyone can read', async () => {
  const files = await evaluate<{ name: string; mayBeInStore: boolean }[]>('', 'files', true);
  const named = files.map(({ name }) => name);
  expect(named).toEqual(expect.arrayContaining(['services.floe.builder.releaseKeyFile', 'services.floe.server.notifications.<name>.passwordFile']));
  // They are public.
  expect(files.filter(({ mayBeInStore }) => mayBeInStore).map(({ name }) => name)).toEqual(['services.floe.server.builderKeysFile']);
});

it('refuses what the builder would not start with', async () => {
  const failed = async (settings: string): Promise<string[]> => await evaluate(`services.floe.builder = { ${settings} };`, 'failed');
  const url = 'database.urlFile = "/run/secrets/url";';
  expect(await failed(url)).toEqual([]);
  // Beside the folder, not in it.
  expect(await failed(`${url} cacheDir = "/var/lib/floe-builder-cache";`)).toEqual([]);
  const ssh = 'repository = { sshKeyFile = "/run/secrets/key"; knownHosts = [ "github.com ssh-ed25519 A" ]; };';
  const at = (address: string): string => `repository.url = "${address}";`;
  expect(await failed(`${url} ${ssh} ${at('git@github.com:acme/fleet.git')}`)).toEqual([]);
  for (const [settings, message] of [
    ['', /set one of local and urlFile/],
    [`${url} evaluate.source = "tree"; repository.directory = "nix";`, /needs the flake\.nix at the root/],
    [`${url} repository.submodules = true; repository.directory = "nix";`, /submodules needs the flake\.nix at the root/],
    [
      `${url} ${at('git@github.com:acme/fleet.git')} repository.sshKeyFile = "/run/secrets/key";`,
      /repository: set sshKeyFile and knownHosts, or neither/,
    ],
    [`${url} ${at('git@github.com:acme/fleet.git')}`, /repository: url is an SSH address: set sshKeyFile and knownHosts/],
    [
      `${url} ${at('ssh://git@github.com/acme/fleet')} ${ssh} repository.tokenFile = "/run/secrets/t";`,
      /repository: tokenFile is not for an SSH address/,
    ],
    [`${url} ${ssh}`, /repository: sshKeyFile and knownHosts are for an SSH address/],
    [`${url} inputs."github.com" = { };`, /set tokenFile, or sshKeyFile and knownHosts/],
    [`${url} inputs."github.com".sshKeyFile = "/run/secrets/key";`, /set sshKeyFile and knownHosts, or neither/],
    [`${url} cacheDir = "/var/lib/./floe-builder/published";`, /in the folder that nobody else reads/],
    [`${url} cacheDir = "/srv";`, /builder\.cacheDir is in \/srv, which .* for example \/var\/cache\/floe/],
    ['database.local = true;', /server\.database\.createLocally is not on this machine/],
  ] as const)
    expect(await failed(settings), settings).toEqual([expect.stringMatching(message)]);
  const unsafe = 'services.floe.builder.unsafe.runRepositoryCodeWithAccessToKeys = true;';
  for (const [settings, message] of [
    ['nix.settings.sandbox = false;', /nix\.settings\.sandbox/],
    ['nix.settings.trusted-users = [ "floe-builder" ];', /take floe-builder and \* out of/],
    ['security.allowUserNamespaces = false;', /allowUserNamespaces/],
  ] as const) {
    expect(await evaluate(DATABASE + settings, 'failed')).toEqual([expect.stringMatching(message)]);
    expect(await evaluate(DATABASE + settings + unsafe, 'failed')).toEqual([]);
  }
});

it('refuses a server on the same machine that is set otherwise, or that builds, too', async () => {
  for (const [settings, message] of [
    ['builderKeysFile = null;', /server builds by itself/],
    ['repository.url = "https://git.example.org/other.git";', /builder\.repository\.url is https.*fleet\.git, and services/],
    ['publicUrl = "https://other.example.org";', /builder\.publicUrl is https:\/\/floe\.example\.org, and services/],
    ['repository.branch = "next";', /repository\.branch is main/],
    ['repository.testingBranches = 3;', /testingBranches is 0/],
    ['forge = "gitlab";', /forge is github/],
    ['cacheDir = "/srv/other";', /server\.cacheDir is not the folder/],
  ] as const)
    expect(await evaluate(`services.floe.server = { ${settings} };`, 'failed', true), settings).toEqual([expect.stringMatching(message)]);
  // The sandbox is the builder's.
  expect(await evaluate('nix.settings.trusted-users = [ "floe" ];', 'failed', true)).toEqual([]);
});

it('is offered by the flake, with the package of the flake', async () => {
  const outputs = `(import ${FLAKE}).outputs {
    self = { packages.x86_64-linux.floe-builder = "/packages/floe-builder"; };
    nixpkgs = { lib.genAttrs = _: _: { }; };
  }`;
  const lib = '{ removePrefix = prefix: text: builtins.substring (builtins.stringLength prefix) 100 text; mkDefault = value: value; }';
  const made = `((${outputs}).nixosModules.builder { lib = ${lib}; pkgs.stdenv.hostPlatform.system = "x86_64-linux"; })`;
  expect(await read(`${made}.services.floe`)).toEqual({ builder: { package: '/packages/floe-builder' } });
  expect(await read(`map baseNameOf ${made}.imports`)).toEqual(['builder.nix']);
});
