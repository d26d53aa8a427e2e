import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { LABEL_FORM, RING_NAME_FORM } from '@floe/model';
import { AgentPolicy, DEFAULT_AGENT_POLICY } from '@floe/protocol';
import { exec } from '@floe/runtime';
import * as v from 'valibot';
import { describe, expect, it } from 'vitest';
import { HealthChecks } from '../apps/agent/src/health/check-form.ts';
import { parseConfig } from '../apps/agent/src/config.ts';
import { CLOSED, SWITCH_LOCK } from '../apps/agent/src/machines/nixos/close-lock.ts';
import { FOREIGN_FOLDERS, OWN_FOLDERS, UPWARD_FOLDERS } from './testing/folders.ts';
import { agentOptionsReference } from './testing/options-reference.ts';

const AGENT = join(import.meta.dirname, 'testing/agent.nix');
// The little lib beside it needs nothing from outside; with FLOE_NIXPKGS_LIB=/path/to/nixpkgs/lib it is nixpkgs' own.
const REAL_LIB = process.env['FLOE_NIXPKGS_LIB'];
const LIB = REAL_LIB === undefined || REAL_LIB === '' ? undefined : `import ${REAL_LIB}`;

const KEY = `${'A'.repeat(43)}=`;
const REQUIRED = `
  enable = true;
  serverUrl = "https://floe.example.org";
  trustedReleaseKeys = [ "release-1:${KEY}" ];
  trustedServerKeys = [ "server-1:${KEY}" ];
  substituters = [ "https://floe.example.org/cache" ];
  trustedPublicKeys = [ "cache-1:${KEY}" ];
`;
const LEAST = `services.floe.agent = { ${REQUIRED} };`;

async function tryEvaluate(settings: string, what: string) {
  const expression = `(import ${AGENT} { ${LIB === undefined ? '' : `lib = ${LIB};`} settings = { lib, config, ... }: { ${settings} }; }).${what}`;
  return await exec('nix-instantiate', ['--eval', '--strict', '--json', '--expr', expression], { timeoutMs: 60_000 });
}

async function evaluate(settings: string, what: string): Promise<unknown> {
  const result = await tryEvaluate(settings, what);
  expect(result.exitCode, result.stderr).toBe(0);
  return JSON.parse(result.stdout);
}

/** More of services.floe.agent than must be set; what is said twice is said last. */
function agent(more: string): string {
  return `imports = [ { ${LEAST} } ]; services.floe.agent = { ${more} };`;
}

async function problems(settings: string): Promise<string> {
  return v.parse(v.array(v.string()), await evaluate(settings, 'failed')).join('\n');
}

/** What is said about each of these paths of metrics, on a machine that boots from /efi. */
async function problemsOfMetrics(paths: readonly string[]): Promise<unknown> {
  const each = `(builtins.map (path: (import ${AGENT} { ${LIB === undefined ? '' : `lib = ${LIB};`} settings = { imports = [ { ${LEAST} } ]; services.floe.agent = { metricsFile = path; bootMountPoint = "/efi"; }; }; }).failed) (builtins.fromJSON ''${JSON.stringify(paths)}''))`;
  const result = await exec('nix-instantiate', ['--eval', '--strict', '--json', '--expr', each], { timeoutMs: 60_000 });
  expect(result.exitCode, result.stderr).toBe(0);
  return JSON.parse(result.stdout);
}

/** Of tmpfiles, with more of services.floe.agent. */
async function rules(more: string): Promise<readonly string[]> {
  return v.parse(v.array(v.string()), await evaluate(agent(more), 'config.systemd.tmpfiles.rules'));
}

async function file(settings: string, name: string): Promise<string> {
  return v.parse(v.string(), await evaluate(settings, `config.environment.etc."floe/${name}".text`));
}

const Unit = v.object({
  description: v.string(),
  wantedBy: v.array(v.string()),
  after: v.array(v.string()),
  environment: v.record(v.string(), v.string()),
  unitConfig: v.record(v.string(), v.unknown()),
  serviceConfig: v.record(v.string(), v.unknown()),
});

async function unit(settings: string, name: string): Promise<v.InferOutput<typeof Unit>> {
  return v.parse(Unit, await evaluate(settings, `config.systemd.${name}`));
}

it('trusts what the machine trusts, and starts again when that changes', async () => {
  const { environment } = await unit(LEAST, 'services.floe-agent');
  expect(environment['NODE_EXTRA_CA_CERTS']).toBe('/etc/ssl/certs/ca-certificates.crt');
  const triggers = 'config.systemd.services.floe-agent.restartTriggers';
  expect(await evaluate(LEAST, triggers)).toEqual([]);
  const pki = 'environment.etc."ssl/certs/ca-certificates.crt".source = "/nix/store/abc-bundle";';
  expect(await evaluate(`${LEAST} ${pki}`, triggers)).toEqual(['/nix/store/abc-bundle']);
});

describe('a machine that sets no more than it must', () => {
  it('has no problem, no warning, and nothing where the agent is off', async () => {
    expect(await problems(LEAST)).toBe('');
    expect(await evaluate(LEAST, 'config.warnings')).toEqual([]);
    expect(await evaluate('', 'config.systemd.services')).toEqual({});
    expect(await evaluate('', 'config.environment.etc')).toEqual({});
    expect(await evaluate(LEAST, 'config.systemd.user.services')).toEqual({});
  });

  it('has an agent that can start, with settings that its module defaults do not change', async () => {
    const { environment } = await unit(LEAST, 'services.floe-agent');
    const must = ['SERVER_URL', 'HOST', 'TRUSTED_RELEASE_KEYS', 'TRUSTED_SERVER_KEYS', 'SUBSTITUTERS', 'TRUSTED_PUBLIC_KEYS'];
    const least = Object.fromEntries(must.map((name) => [`FLOE_${name}`, environment[`FLOE_${name}`]]));
    expect(parseConfig(environment)).toEqual({ ...parseConfig(least), enrolmentTokenFile: '/run/floe-enrolment-token' });
    expect(parseConfig(environment).host).toBe('ada');
  });

  it("goes by the agent's own default policy, and has no checks", async () => {
    expect(v.parse(AgentPolicy, JSON.parse(await file(LEAST, 'agent-policy.json')))).toEqual(DEFAULT_AGENT_POLICY);
    expect(v.parse(HealthChecks, await file(LEAST, 'health-checks.json'))).toEqual([]);
  });
});

describe('labels and ring', () => {
  async function read(settings: string): Promise<unknown> {
    return {
      labels: await evaluate(settings, 'config.services.floe.agent.labels'),
      ring: await evaluate(settings, 'config.services.floe.agent.ring'),
    };
  }

  it('are none by default, and as they were written', async () => {
    expect(await read(LEAST)).toEqual({ labels: [], ring: null });
    const written = { labels: ['laptop', 'role=dns', `a${'.'.repeat(62)}z`], ring: 'Canary-1' };
    expect(written.labels.every((label) => LABEL_FORM.test(label)) && RING_NAME_FORM.test(written.ring)).toBe(true);
    const lines = `labels = [ ${written.labels.map((label) => `"${label}"`).join(' ')} ]; ring = "${written.ring}";`;
    expect(await read(agent(lines))).toEqual(written);
  });

  it('are accepted where the server accepts them', async () => {
    const labels = ['a', '9', '', 'a b', '-a', 'a-', 'é', 'a\\n', 'a.b', `a${'.'.repeat(62)}z`, `a${'.'.repeat(63)}z`];
    const rings = ['a', '', 'a/b', 'a=b', 'a.b_c-d', 'a'.repeat(40), 'a'.repeat(41)];
    const tried = [...labels.map((label) => `labels = [ "${label}" ];`), ...rings.map((ring) => `ring = "${ring}";`)];
    const each = `settings: (builtins.tryEval (builtins.deepSeq (let m = (import ${AGENT} { inherit settings; }).config.services.floe.agent; in [ m.labels m.ring ]) true)).success`;
    const result = await exec(
      'nix-instantiate',
      ['--eval', '--strict', '--json', '--expr', `map (${each}) [ ${tried.map((line) => `{ services.floe.agent = { ${line} }; }`).join(' ')} ]`],
      { timeoutMs: 60_000 },
    );
    const isFit = [...labels.map((label) => LABEL_FORM.test(label)), ...rings.map((ring) => RING_NAME_FORM.test(ring))];
    expect(isFit).toContain(true);
    expect(JSON.parse(result.stdout), result.stderr).toEqual(isFit);
  });
});

describe('a proxy of the machine', () => {
  const withProxy = (vars: string): string =>
    `imports = [ { ${LEAST} } { options.networking.proxy.envVars = lib.mkOption { type = lib.types.attrsOf lib.types.str; default = { }; }; } ]; config.networking.proxy.envVars = ${vars};`;

  it('is the agent’s, too', async () => {
    const { environment } = await unit(withProxy('{ https_proxy = "http://proxy:3128"; no_proxy = "localhost"; }'), 'services.floe-agent');
    expect(environment).toMatchObject({ https_proxy: 'http://proxy:3128', no_proxy: 'localhost', NODE_USE_ENV_PROXY: '1' });
    expect((await unit(withProxy('{ }'), 'services.floe-agent')).environment).not.toHaveProperty('NODE_USE_ENV_PROXY');
  });
});

describe('a second master of the machine', () => {
  /** Options as the modules of others declare them. */
  const others = (name: string, value: boolean): string =>
    `imports = [ { ${LEAST} } { options.${name} = lib.mkOption { type = lib.types.bool; default = false; }; } ]; config.${name} = ${value};`;

  it.each([
    'system.autoUpgrade.enable',
    'system.autoDeploy.enable',
    'services.comin.enable',
    'services.cachix-agent.enable',
    'services.npcnix.enable',
    'services.nixos-pull-deploy.autoUpgrade.enable',
  ])('is refused, with what to do (%s)', async (name) => {
    expect(await problems(others(name, true))).toMatch(new RegExp(`^${name.replaceAll('.', '\\.')} is on beside .* Set ${name} = false, or .*$`));
    expect(await problems(others(name, false))).toBe('');
  });

  it('may be there where the agent is off', async () => {
    expect(await problems('options.services.comin.enable = lib.mkOption { type = lib.types.bool; default = true; };')).toBe('');
  });
});

describe('settings', () => {
  it('reach the agent, and % is none of systemd’s', async () => {
    const settings = agent(
      'host = lib.mkForce "bob"; repository = "https://git.example/a%20b.git"; ref = "refs/heads/main"; userGroup = "wheel"; switchTimeoutSeconds = 120; enrolmentTokenFile = null; minFreeMb = 512; download.maxRate = "2M";',
    );
    const { environment } = await unit(`${settings} users.groups.wheel = { };`, 'services.floe-agent');
    expect(environment['FLOE_REPOSITORY']).toBe('https://git.example/a%%20b.git');
    expect(parseConfig(environment)).toMatchObject({
      host: 'bob',
      ref: 'refs/heads/main',
      socketGroup: 'wheel',
      switchLimitMs: 120_000,
      enrolmentTokenFile: undefined,
      minFreeBytes: 512 * 1024 * 1024,
      maxBytesPerSecond: 2 * 1024 * 1024,
    });
  });

  it('let metrics be written where the collector looks, and nowhere else', async () => {
    const { environment, serviceConfig } = await unit(agent('metricsFile = "/var/lib/node-exporter/floe.prom";'), 'services.floe-agent');
    expect(parseConfig(environment).metricsFile).toBe('/var/lib/node-exporter/floe.prom');
    expect(serviceConfig['ReadWritePaths']).toContain('-/var/lib/node-exporter');
    const without = await unit(agent(''), 'services.floe-agent');
    expect(parseConfig(without.environment).metricsFile).toBeUndefined();
    expect(without.serviceConfig['ReadWritePaths']).not.toContain('-/var/lib/node-exporter');
  });

  it('leave a folder of metrics that is there as it is: other programs write into it', async () => {
    // No mode and no owner: 0755 and root's where it is made.
    const rule = 'd /var/lib/node-exporter - - - -';
    expect(await rules('metricsFile = "/var/lib/node-exporter/floe.prom";')).toContain(rule);
    expect((await rules('')).join()).not.toContain('node-exporter');
  });

  it('open no folder of the whole machine to the unit for its metrics', async () => {
    const bad = [...FOREIGN_FOLDERS, '/efi', '/efi/EFI', '/var/lib/floe-agent'];
    // In one evaluation, for there are many.
    const said = v.parse(
      v.array(v.array(v.string())),
      await problemsOfMetrics([...bad, ...UPWARD_FOLDERS, ...OWN_FOLDERS].map((folder) => `${folder}/floe.prom`)),
    );
    const of = (list: readonly string[], start: number): [string, string][] =>
      list.map((folder, index) => [folder, (said[start + index] ?? []).join('\n')]);
    for (const [folder, words] of of(bad, 0))
      expect(words, folder).toMatch(/^services\.floe\.agent\.metricsFile is in \/.*, for example \/var\/lib\/node-exporter\/floe\.prom$/);
    for (const [folder, words] of of(UPWARD_FOLDERS, bad.length)) expect(words, folder).toMatch(/metricsFile is .*: write the path without \.\.$/);
    for (const [folder, words] of of(OWN_FOLDERS, bad.length + UPWARD_FOLDERS.length)) expect(words, folder).toBe('');
  });

  it('name the key of a machine that forgets', async () => {
    const { environment } = await unit(agent('identity.keyFile = "/etc/ssh/ssh_host_ed25519_key";'), 'services.floe-agent');
    expect(parseConfig(environment).keyFile).toBe('/etc/ssh/ssh_host_ed25519_key');
  });

  it('of the policy make the file that the agent reads', async () => {
    const settings = agent(`policy = {
      windows = [ { cron = "0,30 3-5 * * mon-fri"; durationMinutes = 90; } { cron = "*/15 0 1 1 7"; durationMinutes = 5; timeZone = "America/Argentina/Buenos_Aires"; } ];
      minBatteryPercent = 55.5; metered = "wait"; session = "wait-if-units"; idleMinutes = 2;
      later = { maxCount = 1; maxMinutes = 30; }; deadlineHours = null;
      reboot = { when = "window"; deadlineHours = 48; respectInhibitors = true; }; drift = { action = "correct-later"; afterMinutes = 5; };
    }; trials.enable = true;`);
    expect(await problems(settings)).toBe('');
    expect(v.parse(AgentPolicy, JSON.parse(await file(`${settings} time.timeZone = "Europe/Berlin";`, 'agent-policy.json')))).toEqual({
      version: 1,
      windows: [
        { cron: '0,30 3-5 * * mon-fri', durationMinutes: 90, timeZone: 'Europe/Berlin' },
        { cron: '*/15 0 1 1 7', durationMinutes: 5, timeZone: 'America/Argentina/Buenos_Aires' },
      ],
      minBatteryPercent: 55.5,
      metered: 'wait',
      session: 'wait-if-units',
      idleMinutes: 2,
      later: { maxCount: 1, maxMinutes: 30 },
      deadlineHours: null,
      reboot: { when: 'window', deadlineHours: 48, respectInhibitors: true },
      drift: { action: 'correct-later', afterMinutes: 5 },
      trials: { enable: true },
    });
  });

  it('that came later are in the file only where they are on: agents from before read it, too', async () => {
    const text = await file(LEAST, 'agent-policy.json');
    expect(JSON.parse(text)).not.toHaveProperty('trials');
    expect(text).not.toContain('respectInhibitors');
  });

  it('of health checks make the file that the agent reads, by either name', async () => {
    const settings = agent(`healthChecks = {
      a.command = [ "/bin/lpstat" "-r" ];
      b = { command = "test -e /dev/printer"; timeoutSeconds = 0.5; intervalSeconds = 2; passes = 5; graceSeconds = 120; };
      c.http = { url = "http://localhost:8080/health"; statuses = [ 200 401 ]; body = "ok"; };
      d.tcp.port = 5432;
      e.unit = "foo@a\\\\x2db.service";
    };`);
    const short = 'floe.healthChecks = { f = lib.mkIf true { unit = "sshd.service"; }; a.passes = 2; g = lib.mkIf false { }; };';
    expect(await problems(`${settings} ${short}`)).toBe('');
    const usual = { timeoutSeconds: 10, intervalSeconds: 1, passes: 3 };
    expect(v.parse(HealthChecks, await file(`${settings} ${short}`, 'health-checks.json'))).toEqual([
      { ...usual, name: 'a', kind: 'command', command: ['/bin/lpstat', '-r'], passes: 2 },
      {
        name: 'b',
        kind: 'command',
        command: ['/bin/sh', '-c', 'test -e /dev/printer'],
        timeoutSeconds: 0.5,
        intervalSeconds: 2,
        passes: 5,
        graceSeconds: 120,
      },
      { ...usual, name: 'c', kind: 'http', url: 'http://localhost:8080/health', statuses: [200, 401], body: 'ok' },
      { ...usual, name: 'd', kind: 'tcp', host: 'localhost', port: 5432 },
      { ...usual, name: 'e', kind: 'unit', unit: 'foo@a\\x2db.service' },
      { ...usual, name: 'f', kind: 'unit', unit: 'sshd.service' },
    ]);
  });
});

describe('the units', () => {
  it('of the agent: it says that it lives, starts after the secrets, and may write where it must', async () => {
    const { after, serviceConfig, unitConfig } = await unit(`${LEAST} boot.loader.efi.efiSysMountPoint = "/efi";`, 'services.floe-agent');
    expect(after).toEqual(expect.arrayContaining(['sops-install-secrets.service', 'agenix-install-secrets.service']));
    expect(unitConfig).toEqual({ StartLimitIntervalSec: 0 });
    expect(serviceConfig).toMatchObject({
      ExecStart: '/packages/floe-agent/bin/floe-agent run',
      Type: 'notify',
      NotifyAccess: 'all',
      WatchdogSec: 60,
      RuntimeDirectory: 'floe-agent',
      RuntimeDirectoryMode: '0755',
      ReadWritePaths: ['/nix', '-/boot', '-/efi', '-/sys/firmware/efi/efivars'],
    });
  });

  it('have the lock of switches closed to users from the start of the machine on, and leave one that is open to the agent', async () => {
    const [folder = '', lock = ''] = (await rules('')).filter((rule) => rule.includes('/run/nixos'));
    expect(folder).toBe('d /run/nixos 0755 root root -');
    expect(lock).toBe(`f ${SWITCH_LOCK} :0${CLOSED.toString(8)} root root -`);
  });

  it.each([
    ['', '/boot'],
    ['boot.loader.efi.efiSysMountPoint = "/efi";', '/boot'],
    ['boot.loader.systemd-boot.enable = true; boot.loader.efi.efiSysMountPoint = "/efi";', '/efi'],
    ['boot.loader.systemd-boot = { enable = true; xbootldrMountPoint = "/xboot"; };', '/xboot'],
    ['services.floe.agent.bootMountPoint = "/kernels";', '/kernels'],
  ])('of the agent, with "%s": room for kernels is looked for at %s', async (settings, path) => {
    const { environment, serviceConfig } = await unit(`${LEAST} ${settings}`, 'services.floe-agent');
    expect(environment).toMatchObject({ FLOE_BOOT_MOUNT_POINT: path });
    expect(serviceConfig).toMatchObject({ ReadWritePaths: expect.arrayContaining([`-${path}`]) as unknown });
  });

  it('of the boot guard: it needs nothing of the agent', async () => {
    const guard = await unit(LEAST, 'services.floe-boot-guard');
    expect(guard).toMatchObject({
      wantedBy: ['multi-user.target', 'emergency.target', 'rescue.target'],
      after: ['local-fs.target'],
      unitConfig: { ConditionPathExists: '/var/lib/floe-agent/boot-guard', DefaultDependencies: false },
      serviceConfig: { Type: 'oneshot', ExecStart: '/bin/sh /var/lib/floe-agent/boot-guard' },
    });
  });

  it('of the notifications: for the people of the group, and only where there is one', async () => {
    const settings = `${agent('userGroup = "people";')} users.groups.people = { };`;
    expect(await unit(settings, 'user.services.floe-agent-notify')).toMatchObject({
      wantedBy: ['graphical-session.target'],
      unitConfig: { ConditionGroup: 'people' },
      serviceConfig: { ExecStart: '/packages/floe-agent/bin/floe-agent notify' },
    });
    const without = settings.replace('userGroup', 'notifications.enable = false; userGroup');
    expect(await evaluate(without, 'config.systemd.user.services')).toEqual({});
  });
});

describe('a machine that forgets is told what to keep', () => {
  const TMPFS = 'fileSystems."/" = { fsType = "tmpfs"; }; fileSystems."/nix" = { fsType = "ext4"; }; fileSystems."/persist" = { fsType = "ext4"; };';
  const DISK = 'fileSystems."/" = { fsType = "ext4"; };';
  const persist = (directories: string, files = ''): string =>
    `environment.persistence."/persist" = { directories = [ ${directories} ]; files = [ ${files} ]; };`;
  const SSH = 'identity.keyFile = "/etc/ssh/ssh_host_ed25519_key";';
  const STATE = 'an administrator would have to enrol it each time';
  const CHOICES = 'forgets what its users chose';
  const MACHINE_ID = 'would be taken for a copy of itself (HOST_CLONED)';
  const KEY_FILE = 'forgets services.floe.agent.identity.keyFile (/etc/ssh/ssh_host_ed25519_key)';

  it.each([
    ['a root on a disk', '', DISK, []],
    ['a root on a disk, with the key of SSH', SSH, DISK, []],
    ['no file systems at all, as in a container', '', '', []],
    ['a root in memory', '', TMPFS, [STATE]],
    ['a root in memory, with the key of SSH', SSH, TMPFS, [CHOICES, KEY_FILE]],
    ['a root in memory, with a key on a disk', 'identity.keyFile = "/persist/etc/ssh/ssh_host_ed25519_key";', TMPFS, [CHOICES]],
    ['a root in memory, with a secret as its key', 'identity.keyFile = "/run/secrets/floe-key";', TMPFS, [CHOICES]],
    ['the folder kept', '', TMPFS + persist('"/var/lib/floe-agent"'), [MACHINE_ID]],
    ['the folder above it kept', '', TMPFS + persist('{ directory = "/var/lib"; mode = "0755"; }'), [MACHINE_ID]],
    ['a folder of a similar name kept', '', TMPFS + persist('"/var/lib/floe"'), [STATE]],
    ['both kept', '', TMPFS + persist('"/var/lib/floe-agent"', '{ file = "/etc/machine-id"; }'), []],
    ['all kept, with the key of SSH', SSH, TMPFS + persist('"/var/lib" "/etc/ssh"'), []],
    ['another machine id, with the key of SSH', SSH, TMPFS + persist('"/var/lib"', '"/etc/ssh/ssh_host_ed25519_key"'), []],
    ['a machine id of the configuration', '', `${TMPFS}${persist('"/var/lib"')} environment.etc."machine-id".text = "x";`, []],
    ['a root that is set back to empty', '', DISK + persist('"/home"'), [STATE]],
    ['/var on a disk of its own', '', `${TMPFS} fileSystems."/var" = { fsType = "ext4"; };`, [MACHINE_ID]],
    ['/var in memory', '', `${TMPFS} fileSystems."/var" = { fsType = "tmpfs"; };`, [STATE]],
    ['preservation', '', `${TMPFS} preservation = { enable = true; preserveAt."/persist".directories = [ "/var/lib/floe-agent" ]; };`, [MACHINE_ID]],
    ['preservation, off', '', `${DISK} preservation.preserveAt."/persist".directories = [ "/home" ];`, []],
  ])('%s', async (_what, more, system, words) => {
    const warnings = v.parse(v.array(v.string()), await evaluate(`${agent(more)} ${system}`, 'config.warnings'));
    expect(warnings).toEqual(words.map((each) => expect.stringContaining(each)));
    for (const warning of warnings.filter((each) => !each.includes('keyFile ('))) expect(warning).toContain('environment.persistence."/persist"');
  });
});

describe('a mistake is named where it is made', () => {
  it.each([
    ['no keys for releases', agent('trustedReleaseKeys = lib.mkForce [ ];'), 'trustedReleaseKeys is empty: "floe enrol ada" prints what to put here'],
    ['no keys of the server', agent('trustedServerKeys = lib.mkForce [ ];'), 'trustedServerKeys is empty'],
    ['no cache', agent('substituters = lib.mkForce [ ];'), 'substituters is empty'],
    ['no keys of the cache', agent('trustedPublicKeys = lib.mkForce [ ];'), 'trustedPublicKeys is empty'],
    ['a group that is not there', agent('userGroup = "wheels";'), 'userGroup is "wheels", but there is no such group'],
    ['notifications for nobody', agent('notifications.enable = true;'), "no user may use the agent's socket: set userGroup"],
    ['a token that all can read', agent('enrolmentTokenFile = "/nix/store/00000000000000000000000000000000-token";'), 'is in the Nix store'],
    ['a token that the service cannot see', agent('enrolmentTokenFile = "/tmp/token";'), 'is in a folder that the service cannot read'],
    ['a key that all can read', agent('identity.keyFile = "/nix/store/00000000000000000000000000000000-key";'), 'is in the Nix store'],
    ['a key that the service cannot see', agent('identity.keyFile = "/root/key";'), 'is in a folder that the service cannot read'],
    ['a check of no kind', agent('healthChecks.web = { };'), 'healthChecks.web has no kind: give it exactly one of command, http, tcp, unit'],
    ['a check of two kinds', agent('healthChecks.web = { unit = "a.service"; tcp.port = 80; };'), 'healthChecks.web has tcp and unit'],
    ['a restart in no window', agent('policy.reboot.when = "window";'), 'policy.reboot.when is "window", but there is none'],
    ['a window in no zone', window('0 3 * * *', 'Europe Berlin'), '"Europe Berlin" is no time zone'],
    ['a window of four fields', window('0 3 * *'), '"0 3 * *" is no time: give minute, hour, day of the month, month and day of the week'],
    ['a window of six', window('0 0 3 * * *'), '"0 0 3 * * *" is no time'],
    ['the 25th hour', window('0 25 * * *'), '"0 25 * * *" is no time'],
    ['the 0th of a month', window('0 0 0 * *'), '"0 0 0 * *" is no time'],
    ['hours to the 24th', window('0 1-24 * * *'), '"0 1-24 * * *" is no time'],
    ['a field of nothing', window('0 , * * *'), '"0 , * * *" is no time'],
  ])('%s', async (_what, settings, words) => {
    const found = await problems(settings);
    expect(found).toContain(words);
    expect(found).toContain('services.floe.agent.');
    expect(found.split('\n')).toHaveLength(1);
  });

  function window(cron: string, timeZone = 'UTC'): string {
    return agent(`policy.windows = [ { cron = "${cron}"; durationMinutes = 60; timeZone = "${timeZone}"; } ];`);
  }

  it.each(['* * * * *', '5 4 * * sun', '0 22 * * 1-5', '23 0-20/2 * * *', '59 08 31 12 0', '1,2,3 09 1-15 jan,feb *'])(
    '%s is a good time',
    async (cron) => {
      expect(await problems(window(cron))).toBe('');
    },
  );

  it('a server without encryption is warned of, unless it is on this machine', async () => {
    const at = async (url: string): Promise<unknown> => await evaluate(agent(`serverUrl = lib.mkForce "${url}";`), 'config.warnings');
    expect(await at('http://floe.example.org')).toEqual([expect.stringContaining('is not encrypted')]);
    expect(await at('http://localhost.example.org')).toHaveLength(1);
    for (const url of ['http://localhost:8420', 'http://127.0.0.1', 'http://[::1]:8420/floe', 'https://floe.example.org']) {
      expect(await at(url), url).toEqual([]);
    }
  });

  it.each([
    ['serverUrl', '"floe.example.org"'],
    ['host', '"ada lovelace"'],
    ['trustedReleaseKeys', '[ "no-colon" ]'],
    ['trustedReleaseKeys', `"release-1:${KEY}"`],
    ['enrolmentTokenFile', '"relative"'],
    ['identity.keyFile', '"relative"'],
    ['userGroup', '"a group"'],
    ['logLevel', '"loud"'],
    ['switchTimeoutSeconds', '5'],
    ['healthGraceSeconds', '1.5'],
    ['minFreeMb', '"64"'],
    ['metricsFile', '"/var/lib/metrics/floe.txt"'],
    ['metricsFile', '"floe.prom"'],
    ['metricsFile', String.raw`"/var/lib/a\nb/floe.prom"`],
    ['metricsFile', String.raw`"/var/lib/a\\b/floe.prom"`],
    ['metricsFile', `"/var/lib/a'b/floe.prom"`],
    ['download.maxRate', '"fast"'],
    ['download.maxRate', '"0"'],
    ['download.maxRate', '"2 M"'],
    ['policy.metered', '"sometimes"'],
    ['policy.deadlineHours', '-1'],
    ['policy.later.maxCount', '1000'],
    ['healthChecks', '{ a.tcp.port = 0; }'],
    ['healthChecks', '{ a.http.url = "ftp://localhost"; }'],
    ['healthChecks', '{ a.unit = "-a.service"; }'],
    ['healthChecks', '{ a.unit = "a.service b.service"; }'],
    ['healthChecks', '{ a.command = [ ]; }'],
    ['healthChecks', '{ a.command = ""; }'],
    ['healthChecks', '{ a = { command = "true"; passes = 0; }; }'],
  ])('%s = %s is not of its type', async (name, value) => {
    const settings = agent(`${name} = lib.mkForce (${value});`);
    const environment = await tryEvaluate(settings, 'config.systemd.services.floe-agent.environment');
    const files = await tryEvaluate(settings, 'config.environment.etc');
    expect(`${environment.stderr}${files.stderr}`).toMatch(new RegExp(`services\\.floe\\.agent\\.${name.replaceAll('.', '\\.')}.*is not of type`));
  });

  it('an option that there is not, and one that must be set', async () => {
    expect((await tryEvaluate(agent('trustedKeys = [ ];'), 'failed')).stderr).toMatch(/services\.floe\.agent\.trustedKeys' does not exist/);
    expect((await tryEvaluate('services.floe.agent.enable = true;', 'config.systemd.services')).stderr).toMatch(
      /serverUrl'.*(?:not defined|no value defined)/,
    );
  });
});

it('the example fleet, which has no nixpkgs, writes checks as the module does', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'floe-example-'));
  try {
    const checks = 'a.http.url = "http://localhost/"; b = { tcp.port = 5432; passes = 2; }; c.unit = "a.service"; d.command = "true";';
    await writeFile(join(dir, 'ada.nix'), `{ ... }: { system.nixos.label = "test"; floe.healthChecks = { ${checks} }; }`);
    const expression = `((import ${join(import.meta.dirname, '../examples/fleet/lib.nix')}).fleetOf ${dir} [ ]).ada.config.system.build.toplevel.etcFiles`;
    const result = await exec('nix-instantiate', ['--eval', '--json', '--read-write-mode', '--expr', expression], { timeoutMs: 60_000 });
    expect(result.exitCode, result.stderr).toBe(0);
    const [, path = ''] = v.parse(v.string(), JSON.parse(result.stdout)).split(' ');
    expect(v.parse(HealthChecks, await readFile(path, 'utf8'))).toEqual([
      { name: 'a', kind: 'http', url: 'http://localhost/', statuses: [], timeoutSeconds: 10 },
      { name: 'b', kind: 'tcp', host: 'localhost', port: 5432, passes: 2, timeoutSeconds: 10 },
      { name: 'c', kind: 'unit', unit: 'a.service', timeoutSeconds: 10 },
      { name: 'd', kind: 'command', command: ['/bin/sh', '-c', 'true'], timeoutSeconds: 10 },
    ]);
  } finally {
    await rm(dir, { recursive: true });
  }
});

describe('docs/agent-options.md', () => {
  it('is what the options say (sh scripts/run.sh options rewrites it)', async () => {
    const written = await readFile(join(import.meta.dirname, '../docs/agent-options.md'), 'utf8');
    expect(written).toBe(await agentOptionsReference(exec, process.env));
  });

  it('has every option, described', async () => {
    const reference = await agentOptionsReference(exec, process.env, LIB);
    for (const name of ['userGroup', 'healthChecks.<name>.http.statuses', 'policy.windows.*.cron', 'policy.reboot.when']) {
      expect(reference).toContain(`\n## \`services.floe.agent.${name}\`\n\n`);
    }
    expect(reference).not.toMatch(/\n\n\n/);
  });

  it('has types, defaults and examples as code: Markdown would take the patterns in them for its own', async () => {
    const facts = (await agentOptionsReference(exec, process.env, LIB)).match(/^- .*$/gm) ?? [];
    expect(facts.length).toBeGreaterThan(100);
    expect(facts.filter((fact) => !/^- (?:must be set|(?:type|default|example): `[^`]+`)$/.test(fact))).toEqual([]);
  });
});

describe('the examples of docs/agent.md', async () => {
  const doc = await readFile(join(import.meta.dirname, '../docs/agent.md'), 'utf8');
  const examples = new Map([...doc.matchAll(/^```nix\n# (\w+)\n((?:.|\n)*?)^```$/gm)].map(([, name = '', nix = '']) => [name, nix]));

  it('are one of a laptop and one of a server', () => {
    expect([...examples.keys()]).toEqual(['laptop', 'server']);
  });

  it.each([...examples])('%s: is a configuration without a problem or a warning', async (_name, example) => {
    const settings = `imports = [ { ${LEAST} } (${example}) ]; users.groups.users = { };`;
    expect(await problems(settings)).toBe('');
    expect(await evaluate(settings, 'config.warnings')).toEqual([]);
    expect(v.parse(AgentPolicy, JSON.parse(await file(settings, 'agent-policy.json')))).not.toEqual(DEFAULT_AGENT_POLICY);
  });
});
