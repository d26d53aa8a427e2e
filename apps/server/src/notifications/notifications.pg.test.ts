import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DEFAULT_POLICY, type CommitSha, type HostName, type NotificationEvent, type StorePath } from '@floe/model';
import { Secret, silentLogger, systemClock, type Clock, type SecretSource } from '@floe/runtime';
import { createHostIdentity, eventually, startHttpReceiver, type HttpReceiver } from '@floe/testkit';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { unique, WORLDS, type World } from '../../../../libs/store/src/test/test-store.ts';
import { publishCommit, receiveCommit, system } from '../test/commits.ts';
import { MovedClock } from '../test/moved-clock.ts';
import { startTestServer, TestAgent, type TestServer } from '../test/test-server.ts';
import { Notifier } from './notifier.ts';
import type { NotifyTarget } from './notify-config.ts';
import { runSendLoop } from './send-loop.ts';

interface Told {
  readonly id: string;
  readonly kind: string;
  readonly title: string;
  readonly text: string;
  readonly events: readonly string[];
}
const toldTo = (receiver: HttpReceiver): Told[] => receiver.received.map(({ body }) => JSON.parse(body) as Told);

let ops: HttpReceiver;
let broken: HttpReceiver;
beforeEach(async () => {
  ops = await startHttpReceiver();
  broken = await startHttpReceiver();
  broken.answer = (response) => void response.writeHead(500).end('the disk is full');
});
afterEach(async () => {
  await ops[Symbol.asyncDispose]();
  await broken[Symbol.asyncDispose]();
});

describe('a server with notification targets', () => {
  let dataDir: string;
  let server: TestServer;
  beforeAll(async () => {
    dataDir = await mkdtemp(join(tmpdir(), 'floe-notify-'));
    await writeFile(join(dataDir, 'secret'), 'a-secret');
  });
  afterAll(async () => await rm(dataDir, { recursive: true, force: true }));

  async function start(targets: Readonly<Record<string, HttpReceiver>>): Promise<TestServer> {
    return await startTestServer({ dataDir, env: { FLOE_NOTIFY_FILE: '/notify.json' }, files: { '/notify.json': fileOf(targets) } });
  }
  const fileOf = (targets: Readonly<Record<string, HttpReceiver>>): string =>
    JSON.stringify({
      targets: Object.entries(targets).map(([name, { url }]) => ({ name, kind: 'webhook', url, secretFile: join(dataDir, 'secret') })),
    });
  async function told(what: string, isIt: (each: Told) => boolean): Promise<Told> {
    return await eventually(what, () => toldTo(ops).find(isIt), { explain: () => JSON.stringify(toldTo(ops)) });
  }

  test('tells each thing once, over restarts, though one of them is broken', async () => {
    server = await start({});
    // From before anybody was to be told.
    const first = await receiveCommit(server);
    await server.context.store.revisions.advance(first.id, 'refused', Date.now(), 'no flake');
    await server[Symbol.asyncDispose]();

    server = await start({ ops, broken });
    const { store } = server.context;
    await eventually('the targets are known', async () => ((await store.notifications.states()).length === 2 ? true : undefined));
    const revision = await receiveCommit(server);
    await store.revisions.advance(revision.id, 'refused', Date.now(), 'no flake.nix <!channel>');
    expect(await told('of the commit', ({ kind }) => kind === 'commit-failed')).toMatchObject({
      title: `Commit ${revision.sha.slice(0, 10)} was refused`,
      text: expect.stringContaining('no flake.nix <!channel>') as string,
    });
    const held = 'f'.repeat(40) as CommitSha;
    await store.repositories.recordFetch(server.repository.id, { now: Date.now(), held: { commit: held, reason: 'a force-push' } });
    await told('of the held commit', ({ kind, text }) => kind === 'commit-held' && text.includes('a force-push'));

    const release: StorePath = system('bad');
    await server.enrol('ada');
    await publishCommit(server, { ada: release });
    await store.hosts.quarantine('ada' as HostName, release, 'the check web did not pass', Date.now());
    await told('of the host', ({ kind, title, text }) => kind === 'host-rolled-back' && title === 'ada rolled back' && text.includes('check web'));

    // Its machine was reinstalled, or another one has its name.
    const another = createHostIdentity('ada');
    await eventually(
      'they are told of the knock',
      async () => {
        await using stranger = new TestAgent(server.url);
        await stranger.hello(another);
        await stranger.closed;
        return toldTo(ops).find(({ kind, title, text }) => kind === 'host-refused' && title.endsWith('to be ada') && text.includes('floe enrol ada'));
      },
      { everyMs: 500 },
    );

    // Nobody who is enrolled gets anything of it, so it is complete at once.
    await publishCommit(server, { bob: system('good') });
    await told('of its end', ({ kind, title }) => kind === 'rollout-complete' && /^The rollout of commit \w+ is complete$/.test(title));
    const [ring] = DEFAULT_POLICY.rings;
    const approvals = { count: 2, role: 'approver', notAuthor: false } as const;
    await publishCommit(server, { ada: system('asked') }, { ...DEFAULT_POLICY, rings: [{ ...ring!, approvals }] });
    await told('of the approval', ({ kind, text }) => kind === 'rollout-waits' && text.includes('ring all needs 2 more approvals'));
    const { rollout } = await store.hosts.fleet(server.repository.id);
    const by = { by: 'eve', role: 'administrator', reason: 'a hole in sshd', at: Date.now() } as const;
    await store.rollouts.order({ rolloutId: rollout?.id ?? '', kind: 'hotfix', ...by });
    await told(
      'of the hotfix',
      ({ kind, title, text }) => kind === 'rollout-hotfix' && title.endsWith('is a hotfix') && text.includes('eve, hotfix: a hole'),
    );
    // Nobody alone: the second person's word is told, too, or nobody would look at what they confirm.
    for (const [person, words] of [
      ['eve', 'eve, hotfix --now (waits for a second person): used'],
      ['bob', 'bob, hotfix --now: used'],
    ] as const) {
      await store.rollouts.order({ rolloutId: rollout?.id ?? '', kind: 'hotfix', subject: 1, ...by, by: person, reason: 'used', at: Date.now() });
      await told(`of the word of ${person}`, ({ kind, text }) => kind === 'rollout-hotfix' && text.includes(words));
    }
    await store.rollouts.freeze(server.repository.id, { by: 'ada', reason: 'the holidays', at: Date.now(), until: undefined });
    await publishCommit(server, { ada: system('other') });
    await told('of the pause', ({ kind, text }) => kind === 'rollout-paused' && text.includes('ada paused all rollouts: the holidays'));

    // The other one fails, and that is shown.
    await eventually(
      'it is shown',
      async () => {
        const fleet = (await (await server.request('/api/fleet')).json()) as { repository: { notices: { code: string; message: string }[] } };
        return fleet.repository.notices.find(({ code, message }) => code === 'NOTIFY_BROKEN' && message.includes('the disk is full'));
      },
      { everyMs: 250 },
    );
    await server[Symbol.asyncDispose]();

    server = await start({ ops, broken });
    broken.answer = (response) => void response.end();
    const last = await receiveCommit(server);
    await server.context.store.revisions.advance(last.id, 'refused', Date.now(), 'the last one');
    await told('of the last commit', ({ text }) => text.includes('the last one'));
    const keys = toldTo(ops).flatMap(({ events }) => events);
    expect(new Set(keys).size).toBe(keys.length);
    expect(JSON.stringify(toldTo(ops))).not.toContain(first.sha);
    await server[Symbol.asyncDispose]();
  });

  test('tells what is wrong with the server itself, once', async () => {
    const clock = new MovedClock();
    const options = { env: { FLOE_NOTIFY_FILE: '/notify.json' }, files: { '/notify.json': fileOf({ ops }) }, clock };
    server = await startTestServer({ dataDir, ...options });
    const { store } = server.context;
    await eventually('the target is known', async () => (await store.notifications.states()).some((each) => each.name === 'ops') || undefined);
    clock.offsetMs = -48 * 3_600_000;
    const problem = await told('of the clock', ({ kind }) => kind === 'server-problem');
    expect(problem).toMatchObject({ title: 'The server itself has a problem', text: expect.stringContaining('the clock of this server') as string });
    expect(problem.text).toMatch(/^CLOCK_\w+/);
    await server[Symbol.asyncDispose]();
    const keys = toldTo(ops).flatMap(({ events }) => events);
    expect(new Set(keys).size).toBe(keys.length);
  });
});

describe('the loops', () => {
  const secret: SecretSource = { setting: 'FLOE_NOTIFY_FILE', read: async () => await Promise.resolve(new Secret('a-secret')) };
  const targetOf = (name: string, { url }: HttpReceiver): NotifyTarget => ({
    name,
    address: { kind: 'webhook', url, secret },
    events: ['host-rolled-back', 'commit-held'],
  });
  const rolledBack = (n: number): NotificationEvent => ({
    kind: 'host-rolled-back',
    key: `host-rolled-back:ada:${n}`,
    since: Date.now() + 1_000,
    host: 'ada' as HostName,
  });
  let world: World;
  let name: string;
  beforeAll(async () => {
    world = await WORLDS[0].open();
  });
  beforeEach(() => {
    name = unique('ops');
  });
  afterAll(async () => await world[Symbol.asyncDispose]());

  async function waiting(): Promise<number | undefined> {
    return (await world.store.notifications.states()).find((each) => each.name === name)?.waiting;
  }
  function deps(clock: Clock = systemClock) {
    const store = world.store.notifications;
    return { store, clock, random: () => 0, logger: silentLogger, publicUrl: 'https://floe.example.org', onProblem: () => undefined };
  }

  test('of two servers on one database tell each event once', async () => {
    const targets = [targetOf(name, ops)];
    const stopping = new AbortController();
    await world.store.notifications.ensure([name], 1);
    const events = Array.from({ length: 10 }, (_, n) => ({ target: name, event: rolledBack(n) }));
    await Promise.all([1, 2].map(async () => await world.store.notifications.put(events, Date.now())));
    const wake = { wake: () => undefined, wait: async (_ms: number, signal: AbortSignal) => (await systemClock.sleep(10, signal), true) };
    const loops = [1, 2].map(async () => await runSendLoop(deps(), targets[0]!, wake, stopping.signal));
    await eventually('all are told', () => (ops.received.length >= 10 ? true : undefined));
    await eventually('all are noted', async () => ((await waiting()) === 0 ? true : undefined));
    stopping.abort();
    await Promise.all(loops);
    expect(toldTo(ops).map(({ id }) => id)).toEqual(events.map(({ event }) => event.key));
  });

  test('killed between the sending and its note send the same message again, with the same id', async () => {
    await world.store.notifications.ensure([name], 1);
    await world.store.notifications.put([{ target: name, event: rolledBack(1) }], Date.now());
    const stopping = new AbortController();
    const real = deps();
    // The process ends in the middle: its note is never written.
    const dying = { ...real, store: { ...real.store, markSent: async () => await Promise.resolve(stopping.abort()) } };
    const wake = { wake: () => undefined, wait: async () => await Promise.resolve(false) };
    await runSendLoop(dying, targetOf(name, ops), wake, stopping.signal);
    expect(ops.received).toHaveLength(1);
    const later: Clock = { ...systemClock, now: () => Date.now() + 60_000 };
    const stoppingLater = new AbortController();
    const running = runSendLoop(
      deps(later),
      targetOf(name, ops),
      { ...wake, wait: async (_ms, signal) => (await systemClock.sleep(10, signal), true) },
      stoppingLater.signal,
    );
    await eventually('it is sent again', () => (ops.received.length === 2 ? true : undefined));
    await eventually('it is noted', async () => ((await waiting()) === 0 ? true : undefined));
    stoppingLater.abort();
    await running;
    expect(toldTo(ops)[0]).toEqual(toldTo(ops)[1]);
  });

  test('tell of all others when the database refuses one', async () => {
    const stopping = new AbortController();
    const real = world.store.notifications;
    const put: typeof real.put = async (events, now) => {
      if (events.some(({ event }) => event.kind === 'commit-held')) throw new Error('it does not take this one');
      await real.put(events, now);
    };
    const ensure = async (names: readonly string[]): Promise<void> => await real.ensure(names, 1);
    const notifier = new Notifier({ ...deps(), store: { ensure, put }, targets: [targetOf(name, ops)], onPut: () => undefined });
    const held = { commit: 'b'.repeat(40) as CommitSha, reason: 'a force-push', since: Date.now() };
    const rollbacks = [{ toplevel: system('bad'), reason: 'why', at: Date.now() }];
    notifier.look(
      { facts: { held, revisions: [], rollouts: [], hosts: [{ host: 'ada' as HostName, rollbacks }] }, open: new Set(), notify: {} },
      true,
    );
    const running = notifier.run(stopping.signal);
    await eventually('the other is put', async () => ((await waiting()) === 1 ? true : undefined));
    stopping.abort();
    await running;
  });

  test('tell a target that settings leave out what the policy names it for', async () => {
    const stopping = new AbortController();
    const real = world.store.notifications;
    const ensure = async (names: readonly string[]): Promise<void> => await real.ensure(names, 1);
    const target = { ...targetOf(name, ops), events: [] };
    const notifier = new Notifier({ ...deps(), store: { ensure, put: real.put.bind(real) }, targets: [target], onPut: () => undefined });
    const running = notifier.run(stopping.signal);
    const held = { commit: 'c'.repeat(40) as CommitSha, reason: 'a force-push', since: Date.now() };
    const rollbacks = [{ toplevel: system('bad'), reason: 'why', at: Date.now() }];
    const facts = { held, revisions: [], rollouts: [], hosts: [{ host: 'ada' as HostName, rollbacks }] };
    notifier.look({ facts, open: new Set(), notify: { 'commit-held': [name], 'host-rolled-back': ['another'] } }, true);
    await eventually('it is told of the held commit alone', async () => ((await waiting()) === 1 ? true : undefined));
    // The hosts were not read, and so the policy is the one from before.
    const again = { ...held, since: held.since + 1 };
    notifier.look({ facts: { ...facts, held: again }, open: new Set(), notify: undefined }, false);
    await eventually('it is told of the next one, too', async () => ((await waiting()) === 2 ? true : undefined));
    stopping.abort();
    await running;
  });

  test('put what was found while the database was away', async () => {
    const stopping = new AbortController();
    const real = world.store.notifications;
    let outages = 3;
    const away = async () => {
      outages -= 1;
      if (outages >= 0) throw Object.assign(new Error('away'), { name: 'AbortError' });
      return await Promise.resolve();
    };
    const store = {
      ensure: async (names: readonly string[]) => {
        await away();
        await real.ensure(names, 1);
      },
      put: async (...args: Parameters<typeof real.put>) => {
        await away();
        await real.put(...args);
      },
    };
    const notifier = new Notifier({ ...deps(), store, targets: [targetOf(name, ops)], onPut: () => undefined });
    const running = notifier.run(stopping.signal);
    const held = { commit: 'a'.repeat(40) as CommitSha, reason: 'a force-push', since: Date.now() };
    notifier.look({ facts: { held, revisions: [], rollouts: [], hosts: [] }, open: new Set(), notify: {} }, true);
    await eventually('it is put', async () => ((await waiting()) === 1 ? true : undefined));
    stopping.abort();
    await running;
  });
});
