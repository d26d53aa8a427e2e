import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { dataPaths } from '@floe/pipeline';
import { FleetView, ReportView } from '@floe/protocol';
import { exec, loadSigner, type ExecResult } from '@floe/runtime';
import { eventually, exampleFleetFiles, ServiceProcess, TestFleet, testNixSettings, programFile } from '@floe/testkit';
import * as v from 'valibot';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const CLI = programFile('cli');

let fleet: TestFleet;
let env: NodeJS.ProcessEnv;

async function floe(...args: string[]): Promise<ExecResult> {
  return await exec(process.execPath, [CLI, ...args], { env, timeoutMs: 30_000 });
}
async function succeeds(...args: string[]): Promise<string> {
  const { exitCode, stdout, stderr } = await floe(...args);
  expect(exitCode, `floe ${args.join(' ')}: ${stdout}${stderr}`).toBe(0);
  return stdout;
}

beforeAll(async () => {
  fleet = await TestFleet.create({ files: await exampleFleetFiles(), nixConfig: testNixSettings });
  await fleet.startServer();
  await fleet.addMachine('ada');
  env = { PATH: process.env['PATH'], NODE_COMPILE_CACHE: process.env['NODE_COMPILE_CACHE'], HOME: join(fleet.dir, 'home'), NO_COLOR: '1' };
  await fleet.settled(await fleet.git('-C', fleet.workTree, 'rev-parse', 'HEAD'));
});
afterAll(async () => {
  await fleet[Symbol.asyncDispose]();
});

describe('floe, against a whole Floe', () => {
  it('says how to log in before anything else, and what is wrong with a token', async () => {
    expect(await floe('status')).toMatchObject({ exitCode: 3, stderr: expect.stringContaining('floe login') as string });
    const wrong = join(fleet.dir, 'secrets/webhook-secret');
    expect(await floe('login', fleet.serverUrl, '--token-file', wrong)).toMatchObject({ exitCode: 3 });
    expect(await floe('login', 'http://127.0.0.1:9', '--token-file', wrong)).toMatchObject({ exitCode: 4 });
  });

  it('logs in with the token of the first start, and shows the fleet', async () => {
    await succeeds('login', fleet.serverUrl, '--token-file', join(fleet.dir, 'server/admin-token'));
    expect(await succeeds('status')).toMatch(/1 of 3 hosts run/);
    const hosts = await succeeds('hosts');
    expect(hosts).toMatch(/ada\s+.*in sync/i);
    expect(hosts).toMatch(/bob\s+.*not enrolled/i);
    expect(await succeeds('hosts', 'ada', '--json')).toContain('"standing": "in-sync"');
    expect(await succeeds('revisions')).toContain('The first three machines');
    expect(await floe('hosts', 'adda')).toMatchObject({ exitCode: 5, stderr: expect.stringContaining('there is no host adda') as string });
    const status: unknown = JSON.parse(await succeeds('status', '--json'));
    expect(status).toBeTypeOf('object');
  });

  it('enrols a host: what it prints lets the machine in', async () => {
    const printed = await succeeds('enrol', 'bob');
    expect(printed).toMatch(/release-1:/);
    const { token } = JSON.parse(await succeeds('enrol', 'bob', '--json')) as { token: string };
    expect(token.length).toBeGreaterThan(20);
    const bob = await fleet.addMachine('bob');
    await eventually('bob switched', async () => ((await bob.observe()).profile === undefined ? undefined : true));
  });

  it('follows what happens, and comes back after the server was away', async () => {
    const lines: string[] = [];
    await using following = new ServiceProcess({
      name: 'floe events',
      main: CLI,
      args: ['events', '--follow', '--json'],
      env,
      onOutput: (line) => lines.push(line),
    });
    following.start();
    const snapshots = (): number => lines.filter((line) => line.includes('"type":"snapshot"')).length;
    await eventually('the snapshot is there', () => (snapshots() > 0 ? true : undefined));
    const first = JSON.parse(lines[0] ?? '') as { fleet: unknown };
    expect(v.is(FleetView, first.fleet)).toBe(true);
    await fleet.server.stop();
    // A connection has more than one, where the server has so much news that it sends all of it again.
    const before = snapshots();
    await fleet.startServer();
    await eventually('it is back with a new snapshot', () => (snapshots() > before ? true : undefined), {
      explain: () => `${following.log()}\n${snapshots()} snapshots`,
    });
    const sha = await fleet.push('While someone watches', { 'README.md': 'x' });
    await eventually('the push is told', () => (lines.some((line) => line.includes(sha) && line.includes('PUBLISHED')) ? true : undefined), {
      explain: () => lines.join('\n'),
    });
  });

  it('renames a machine in the middle of a rollout: it goes on with its key and its history, first under the old name, then under the new one', async () => {
    const ring = (name: string, host: string, more: string): string => `{ name = "${name}"; hosts = [ "${host}" ]; soak = "1s"; ${more} }`;
    const sha = await fleet.push('Move ada to the reception', {
      'hosts/ada.nix': null,
      'hosts/reception.nix': `{ ... }: { services.floe.agent.formerHost = "ada"; environment.etc."role" = "reception\n"; }\n`,
      'hosts/bob.nix': `{ ... }: { environment.etc."role" = "first\n"; }\n`,
      'floe.nix': `{ downloads.spread = "0s"; rings = [ ${ring('first', 'bob', 'approvals.count = 1;')} ${ring('second', 'reception', '')} ]; }\n`,
    });
    const explain = (): string => fleet.server.log();
    const rollout = async () => (await fleet.revision(sha))?.rollout;
    // The rollout begins with the first host that is built.
    const waits = async () => {
      const revision = await fleet.revision(sha);
      return revision?.state === 'PUBLISHED' && revision.rollout?.state === 'WAITING_APPROVAL' ? true : undefined;
    };
    await eventually('the first ring waits, and all are built', waits, { timeoutMs: 20_000, explain });
    const ada = fleet.machine('ada');
    const before = await ada.observe();

    expect(await succeeds('rename', 'ada', 'reception', '--reason', 'moved')).toMatch(/^ada is reception from now on/);
    expect(await rollout()).toMatchObject({ state: 'WAITING_APPROVAL' });
    expect(await ada.observe()).toEqual(before);
    await succeeds('rollout', 'approve', '--ring', 'first', '--commit', sha, '--reason', 'seen');
    const isInSync = async () => ((await fleet.hostView('reception')).standing === 'in-sync' ? true : undefined);
    await eventually('the machine has the system of its new name', isInSync, { timeoutMs: 20_000, explain });
    expect((await ada.observe()).current).toMatch(/nixos-system-reception-/);

    // As the service of the new system does.
    await ada.agent.stop();
    ada.agent.start({ FLOE_HOST: 'reception', FLOE_FORMER_HOST: 'ada' });
    const next = await fleet.push('After the move', { 'hosts/reception.nix': `{ ... }: { environment.etc."role" = "front desk\n"; }\n` });
    await eventually('a ring waits again', async () => ((await fleet.revision(next))?.rollout?.state === 'WAITING_APPROVAL' ? true : undefined), {
      timeoutMs: 20_000,
      explain,
    });
    // The first ring has nothing to get: its gate is asked of the second one.
    await succeeds('rollout', 'approve', '--commit', next, '--reason', 'seen');
    await fleet.settled(next, 30_000);
    const reports = v.parse(v.array(ReportView), await (await fleet.request('/api/hosts/reception/reports?limit=200')).json());
    const succeeded = new Set(reports.flatMap(({ state, toplevel }) => (state === 'SUCCEEDED' ? (toplevel ?? '') : [])));
    expect([...succeeded].map((toplevel) => /nixos-system-([a-z]+)-/.exec(toplevel)?.[1])).toEqual(['reception', 'reception', 'ada']);
    expect(await fleet.hostView('reception')).toMatchObject({ isConnected: true, standing: 'in-sync' });
    expect(await floe('hosts', 'ada')).toMatchObject({ stderr: expect.stringContaining('ada was renamed to reception') as string });
  });

  it('exports all of that, which is whole without the server, and names what was bent', async () => {
    const file = join(fleet.dir, 'fleet.jsonl');
    const keys = join(fleet.dir, 'keys.txt');
    const signers = await Promise.all(
      (['release', 'server'] as const).map(async (role) => ({
        role,
        signer: await loadSigner(dataPaths(join(fleet.dir, 'server'))[`${role}Key`], `${role}-1`),
      })),
    );
    await writeFile(keys, signers.map(({ role, signer }) => `${role} ${signer.keyId}:${signer.publicKey}\n`).join(''));
    await succeeds('export', '--out', file);
    // Both machines signed what they run, one of them under two names.
    const said = await succeeds('verify', file, '--key', keys, '--repository', fleet.workTree);
    expect(said).toMatch(/^whole: the export/m);
    expect(said).toMatch(/[1-9]\d* commits? in the repository/);
    const text = await readFile(file, 'utf8');
    expect(text).toMatch(/"kind":"report","host":"reception","of":"newest"/);
    const lines = text.split('\n');
    const place = lines.findIndex((line) => line.startsWith('{"kind":"release"'));
    await writeFile(file, lines.filter((_, index) => index !== place).join('\n'));
    const bent = await floe('verify', file, '--key', keys);
    expect(bent.exitCode).toBe(1);
    expect(bent.stdout).toContain(`line ${place + 1}: the line does not follow from the one before`);
  });
});
