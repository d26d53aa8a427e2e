import { join } from 'node:path';
import { HOST_NAME_FORM } from '@floe/model';
import { exec, type ExecResult } from '@floe/runtime';
import { eventually, exampleFleetFiles, TestFleet, testNixSettings, programFile } from '@floe/testkit';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

// Every kind of name that DNS allows, from the flake to the agent: each is evaluated, released, shown, enrolled and served under
// exactly this name.

const CLI = programFile('cli');
const LABEL = 'a'.repeat(63);
const LONGEST = [LABEL, LABEL, LABEL, 'b'.repeat(61)].join('.');
const NAMES = [
  'x',
  '007',
  '1.2.3.4',
  'web.example.org',
  LABEL,
  LONGEST,
  'constructor',
  'toString',
  'hasOwnProperty',
  'default',
  'all',
  'null',
  'localhost',
  'xn--mnchen-3ya',
  'a_b-c',
];
/** Not host names: an option, a path, special names of JavaScript; and two that DNS does not distinguish. */
const REFUSED = ['-x', '..', '__proto__', 'a..b', `${LABEL}a`, `${LONGEST}b`, 'two words', 'Web', 'web'];

let fleet: TestFleet;
let env: NodeJS.ProcessEnv;

async function floe(...args: string[]): Promise<ExecResult> {
  return await exec(process.execPath, [CLI, '--server', fleet.serverUrl, '--token-file', join(fleet.dir, 'server/admin-token'), ...args], {
    env,
    timeoutMs: 60_000,
  });
}

beforeAll(async () => {
  const files = await exampleFleetFiles();
  const attributes = [...NAMES, ...REFUSED].map((name) => `${JSON.stringify(name)} = lib.host ${JSON.stringify(name)} [ ./modules/base.nix ];`);
  // Nix limits names of store paths to 211 characters; NixOS also uses the short name of a system.
  const lib = (files['lib.nix'] ?? '')
    .replace('\nin\n{\n', '\nin\n{\n  inherit host;\n')
    .replace('system-${hostName}-', 'system-${builtins.substring 0 20 hostName}-');
  const flake = `{ outputs = { self }: let lib = import ./lib.nix; in { nixosConfigurations = { ${attributes.join('\n')} }; }; }\n`;
  fleet = await TestFleet.create({ files: { ...files, 'lib.nix': lib, 'flake.nix': flake }, nixConfig: testNixSettings, hasPostgres: true });
  env = { PATH: process.env['PATH'], NODE_COMPILE_CACHE: process.env['NODE_COMPILE_CACHE'], HOME: join(fleet.dir, 'home'), NO_COLOR: '1' };
  await fleet.startServer();
});
afterAll(async () => {
  await fleet[Symbol.asyncDispose]();
});

describe('names of hosts', () => {
  it('that DNS allows are released, and the others are each refused for what they are', async () => {
    expect(NAMES.every((name) => HOST_NAME_FORM.test(name))).toBe(true);
    const { state, hosts } = await fleet.settled(await fleet.git('-C', fleet.workTree, 'rev-parse', 'HEAD'));
    expect(state).toBe('PUBLISHED');
    const released = hosts.filter(({ outcome }) => outcome === 'NEW').map(({ host }) => host);
    expect(released.toSorted()).toEqual(NAMES.toSorted());
    const errors = new Map(hosts.flatMap(({ host, error }) => (error === null ? [] : [[host, error] as const])));
    expect(errors.size).toBe(REFUSED.length);
    expect(errors.get('-x')).toMatch(/no machine can have this name: .*begins and ends with a letter or digit/);
    expect(errors.get('__proto__')).toMatch(/no machine can have this name/);
    expect(errors.get('Web')).toMatch(/in different case/);
  });

  it('are what the API and the command take, whatever a name means elsewhere', async () => {
    for (const name of NAMES) {
      // What a host should run is decided after the commit was published.
      const view = await eventually(`${name} has its system`, async () => {
        const found = await fleet.hostView(name);
        return found.desired?.toplevel === undefined ? undefined : found;
      });
      expect([view.host, view.standing, view.desired?.toplevel]).toEqual([name, 'not-enrolled', expect.stringMatching(/^\/nix\/store\//) as string]);
    }
    for (const name of ['007', 'constructor', LONGEST]) {
      const { exitCode, stdout, stderr } = await floe('hosts', name, '--json');
      expect([exitCode, stderr]).toEqual([0, '']);
      expect(JSON.parse(stdout)).toMatchObject({ host: { host: name } });
    }
    for (const [argv, message] of [
      [['hosts', '--', '-x'], /a host name is labels/],
      [['revoke', 'toString', '--reason', 'x'], /toString is not enrolled/],
      [['forget', 'default', '--reason', 'x'], /default is in the flake/],
    ] as const) {
      const { exitCode, stderr } = await floe(...argv);
      expect([exitCode === 0, stderr]).toEqual([false, expect.stringMatching(message) as string]);
    }
  });

  it('are what machines enrol under, and are served under', async () => {
    const added = await Promise.all(['constructor', LONGEST].map(async (name) => await fleet.addMachine(name)));
    for (const machine of added) {
      const name = machine.host;
      await eventually(`${name} switched`, async () => ((await machine.observe()).profile === undefined ? undefined : true), {
        explain: () => `${machine.agent.log()}\n${fleet.server.log()}`,
      });
      await eventually(`${name} is in sync`, async () => ((await fleet.hostView(name)).standing === 'in-sync' ? true : undefined));
    }
    const { exitCode, stdout } = await floe('hosts');
    expect(exitCode).toBe(0);
    for (const name of NAMES) expect(stdout).toMatch(new RegExp(`^${name.replaceAll('.', String.raw`\.`)} `, 'm'));
  });
});
