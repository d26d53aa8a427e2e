import { join } from 'node:path';
import { DEFAULT_POLICY, NO_COMMIT, OPEN_RING, type CommitSha, type HostName, type StorePath } from '@floe/model';
import { FloeError, silentLogger, systemClock, NOT_NAMED, TOO_OFTEN } from '@floe/runtime';
import { eventually } from '@floe/testkit';
import { describe, expect, test } from 'vitest';
import { openStatementLog } from './statements/statement-log.ts';
import { signer, type World } from './test/world.ts';
import type { WorldHost } from './test/world-host.ts';
import { worldForEachTest } from './test/world-for-each-test.ts';

let dir = '';
let world: World;
worldForEachTest((...given) => {
  [world, dir] = given;
});

test('what a rollout proves is in the statement log soon, also while a commit is evaluated for hours', async () => {
  world.commits.push({ ada: { evaluates: 1 }, bob: { evaluates: 1 } });
  world.longestSleepMs = 50;
  await world.start(dir);
  await world.ended('1'.padStart(40, '0') as CommitSha, 'PUBLISHED');
  world.evaluationMs = 3600_000;
  await world.push({ ada: { evaluates: 2 }, bob: { evaluates: 2 } });
  await eventually('it is evaluated', async () =>
    (await world.store.revisions.nextUnfinished(world.repository.id))?.state === 'EVALUATING' ? true : undefined,
  );
  const { rollout } = await world.store.hosts.fleet(world.repository.id);
  if (rollout === undefined) throw new Error('there is no rollout');
  expect(await world.store.rollouts.save({ ...rollout, course: { ...rollout.course, state: 'COMPLETE' } }, 1, [])).toBe(true);
  const log = openStatementLog(join(dir, 'statements'), silentLogger);
  const told = await eventually('it is in the log', async () => (await log.readStable(0, [signer])).statements[0]);
  expect(told).toMatchObject({
    number: 1,
    hosts: [
      { host: 'ada', sequence: 1 },
      { host: 'bob', sequence: 1 },
    ],
  });
  await eventually('that is noted', async () => ((await world.store.stable.unlogged(world.repository.id)).hosts.length === 0 ? true : undefined));
});

describe('a host with a temporary error', () => {
  test('is retried after the rest of its revision was released, and is released late', async () => {
    world.commits.push({ ada: { evaluates: 1 }, bob: { evaluates: 'waits' }, cyd: { evaluates: 2, builds: 'no-source' } });
    await world.start(dir);
    const revision = await world.ended('1'.padStart(40, '0') as CommitSha, 'PUBLISHED');
    expect(await world.released()).toEqual({ ada: 1 });
    expect(await world.row(revision, 'bob')).toMatchObject({ outcome: 'EVAL_ERROR', error: 'waits', warnings: ['bob warns'], tries: 1 });
    expect(await world.row(revision, 'cyd')).toMatchObject({ outcome: 'BUILD_ERROR', error: 'no-source', tries: 1 });
    await world.later(31_000);
    await eventually('they were tried', async () => ((await world.row(revision, 'cyd'))?.tries === 2 ? true : undefined));
    world.commits[0] = { ada: { evaluates: 1 }, bob: { evaluates: 3 }, cyd: { evaluates: 2 } };
    await world.later(61_000);
    await eventually('both are released', async () => ((await world.released())['bob'] === 3 ? true : undefined));
    await eventually('their rows say so', async () => ((await world.store.revisions.nextRetryAt(revision.id)) === undefined ? true : undefined));
    expect(await world.released()).toEqual({ ada: 1, bob: 3, cyd: 2 });
    expect(await world.row(revision, 'cyd')).toMatchObject({ outcome: 'CHANGED', error: undefined });
    expect((await world.store.revisions.list(world.repository.id, 9)).map((listed) => listed.revision.state)).toEqual(['PUBLISHED']);
  });

  test('that is the only one ends its revision with its error, and the revision is published once it is built', async () => {
    world.commits.push({ cyd: { evaluates: 2, builds: 'no-source' } });
    await world.start(dir);
    const revision = await world.ended('1'.padStart(40, '0') as CommitSha, 'BUILD_FAILED');
    world.commits[0] = { cyd: { evaluates: 2 } };
    await world.later(31_000);
    await world.ended(revision.sha, 'PUBLISHED');
    expect(await world.released()).toEqual({ cyd: 2 });
  });

  test('delays no other commit: one that no machine can build ends only its own revision', async () => {
    const hosts = { ada: { evaluates: 1 }, arm: { evaluates: 1, builds: 'no-machine' } } as const;
    world.commits.push(hosts);
    await world.start(dir);
    await world.ended('1'.padStart(40, '0') as CommitSha, 'PUBLISHED');
    const revision = await world.ended(await world.push(hosts), 'BUILD_FAILED');
    expect(await world.row(revision, 'arm')).toMatchObject({ outcome: 'BUILD_ERROR', error: 'no-machine', retryAt: undefined });
    await world.ended(await world.push({ ...hosts, ada: { evaluates: 2 } }), 'PUBLISHED');
    expect(await world.released()).toEqual({ ada: 2 });
  });

  test('whose evaluation was collected is evaluated again, and built', async () => {
    world.commits.push({ ada: { evaluates: 1, builds: 'collected' } });
    await world.start(dir);
    await world.ended('1'.padStart(40, '0') as CommitSha, 'PUBLISHED');
    expect(world.evaluations).toEqual(['1 ada', '1 ada']);
    expect(await world.released()).toEqual({ ada: 1 });
  });
});

describe('a policy', () => {
  const RINGS = { rings: [{ name: 'canary', hosts: ['ada'] }, { name: 'all' }] };

  test('that is not valid refuses its commit, and says why; the commit before it stays', async () => {
    world.commits.push({ ada: { evaluates: 1 } });
    await world.start(dir);
    await world.ended('1'.padStart(40, '0') as CommitSha, 'PUBLISHED');
    for (const [policy, why] of [
      [{ rings: [{ name: 'canary', sucess: '80%' }] }, 'the rollout policy is not valid: rings[0].sucess: unknown key; did you mean success?'],
      [
        { rings: [{ name: 'all', windows: [{ allow: '0 0 31 2 *', duration: '1h', timeZone: 'UTC' }] }] },
        [
          'the rollout policy is not valid: rings[0].windows: together they never open within a year, so the ring and those after it get no changes',
          'rings[0].windows[0]: the window "0 0 31 2 *" in UTC allows nothing within a year: there is no such day in it',
        ].join('\n'),
      ],
      [new FloeError('POLICY_INVALID', 'floe.rings: is a function'), 'the rollout policy cannot be read: floe.rings: is a function'],
    ] as const) {
      world.policy = policy;
      const refused = await world.ended(await world.push({ ada: { evaluates: 2 } }), 'REJECTED');
      expect(refused).toMatchObject({ error: why, policy: DEFAULT_POLICY });
    }
    expect(world.evaluations).toEqual(['1 ada']);
    expect(await world.released()).toEqual({ ada: 1 });
  });

  test('whose windows begin too often to be looked at is refused; that none opens is said of rings that can be', async () => {
    const often = Array.from({ length: 20 }, (_, index) => ({
      deny: `${index % 2 === 0 ? '*' : '1-59'}/2 * * * *`,
      duration: '1m',
      timeZone: `Etc/GMT+${index % 12}`,
    }));
    const closed = [{ allow: '0 0 31 2 *', duration: '1h', timeZone: 'UTC' }];
    const dense = { name: 'dense', windows: often };
    world.commits.push({ ada: { evaluates: 1 } });
    await world.start(dir);
    await world.ended('1'.padStart(40, '0') as CommitSha, 'PUBLISHED');
    world.policy = { rings: [dense, { name: 'all' }] };
    const taken = await world.ended(await world.push({ ada: { evaluates: 2 } }), 'REJECTED');
    expect(taken.error).toBe(`the rollout policy is not valid: rings[0].windows: ${TOO_OFTEN}`);
    world.policy = { rings: [{ name: 'closed', windows: closed }, dense] };
    const first = await world.ended(await world.push({ ada: { evaluates: 3 } }), 'REJECTED');
    expect(first.error).toContain('rings[0].windows: together they never open');
    expect(first.error).toContain(`rings[1].windows: ${TOO_OFTEN}`);
    expect(first.error).toContain(`rings[0].windows: ${NOT_NAMED}`);
  });

  test('holds a commit with far fewer hosts by the limit in force, and by its own where that is stricter', async () => {
    const hosts = (count: number): Record<string, WorldHost> =>
      Object.fromEntries(Array.from({ length: count }, (_, index) => [`host${index}`, { evaluates: 1 }]));
    const isHeld = async (sha: CommitSha, reason: string): Promise<unknown> =>
      await eventually('it is held', async () => {
        const { held } = await world.store.repositories.get(world.repository.id);
        return held?.commit === sha && held.reason === reason ? true : undefined;
      });
    world.policy = { shrink: { percent: 10, hosts: 2 } };
    world.commits.push(hosts(10));
    await world.start(dir);
    await world.ended('1'.padStart(40, '0') as CommitSha, 'PUBLISHED');
    const { rollout } = await world.store.hosts.fleet(world.repository.id);
    if (rollout === undefined) throw new Error('there is no rollout');
    await world.store.rollouts.save({ id: rollout.id, version: rollout.version, course: { ...rollout.course, state: 'COMPLETE' } }, 5, []);
    // It would loosen the limit for itself.
    world.policy = { shrink: { percent: 100 } };
    const loosened = await world.push(hosts(8));
    await isHeld(loosened, 'only 8 of 10 hosts are left in the flake; these would go: host8, host9');
    const one = await world.ended(await world.push(hosts(9)), 'PUBLISHED');
    expect(one.policy.shrink).toEqual({ percent: 100, hosts: 3 });
    world.policy = { shrink: { percent: 0, hosts: 1 } };
    await isHeld(await world.push(hosts(8)), 'only 8 of 9 hosts are left in the flake; these would go: host8');
  });

  test('that is held stays so whatever is fetched, is listed again when somebody asks, and is no longer held once it is accepted', async () => {
    const { repositories } = world.store;
    const held = async (): Promise<CommitSha | undefined> => (await repositories.get(world.repository.id)).held?.commit;
    const hosts = ['ada', 'bob', 'cyd', 'dan', 'eve', 'fay'];
    world.commits.push(Object.fromEntries(hosts.map((host) => [host, { evaluates: 1 }])));
    await world.start(dir);
    await world.ended('1'.padStart(40, '0') as CommitSha, 'PUBLISHED');
    const shrunk = await world.push({ ada: { evaluates: 1 } });
    await eventually('it is held', async () => ((await held()) === shrunk ? true : undefined));
    const { since } = (await repositories.get(world.repository.id)).held ?? {};
    const fetchesLater = async (count: number): Promise<unknown> => {
      const before = world.fetchedAt.length;
      return await eventually('the branch is fetched often', () => (world.fetchedAt.length > before + count ? true : undefined));
    };
    // The push itself may ask once more.
    await fetchesLater(50);
    const [questions, fetches] = [world.questions, world.fetchedAt.length];
    // Longer than any pause between two looks at what waits.
    const seen = new Set<CommitSha | undefined>();
    await eventually('the branch is fetched often', async () => {
      seen.add(await held());
      return world.fetchedAt.length > fetches + 250 ? true : undefined;
    });
    expect([...seen]).toEqual([shrunk]);
    expect(world.questions).toBe(questions);
    await repositories.wake(world.repository.id);
    await eventually('its hosts are listed again', () => (world.questions > questions ? true : undefined));
    expect((await repositories.get(world.repository.id)).held).toMatchObject({ commit: shrunk, since });
    await repositories.allow(world.repository.id, shrunk);
    await world.ended(shrunk, 'PUBLISHED');
    expect(await held()).toBeUndefined();
  });

  test('with windows by each host’s time: a time zone that does not exist is the error of the hosts that go by it, and of no other', async () => {
    const windows = [
      { allow: '0 2 * * *', duration: '1h', timeZone: 'host' },
      { deny: '0 2 * * *', duration: '1h', timeZone: 'UTC' },
    ];
    world.policy = {
      rings: [
        { name: 'canary', hosts: ['ada'] },
        { name: 'all', windows },
      ],
    };
    const timeZone = 'Europe/Berlyn';
    world.commits.push({ ada: { evaluates: 1, timeZone }, bob: { evaluates: 1, timeZone }, cyd: { evaluates: 1, timeZone: 'Asia/Tokyo' } });
    await world.start(dir);
    const revision = await world.ended('1'.padStart(40, '0') as CommitSha, 'PUBLISHED');
    expect(await world.row(revision, 'cyd')).toMatchObject({ outcome: 'NEW', timeZone: 'Asia/Tokyo' });
    expect(await world.row(revision, 'ada')).toMatchObject({ outcome: 'NEW', timeZone });
    expect(await world.row(revision, 'bob')).toMatchObject({
      outcome: 'EVAL_ERROR',
      error: expect.stringContaining(
        'time.timeZone: "Europe/Berlyn" is not a time zone that this server knows, and windows of ring all go by it',
      ) as string,
    });
    const { hosts } = await world.store.hosts.fleet(world.repository.id);
    expect(hosts.map((each) => each.timeZone)).toEqual([timeZone, undefined, 'Asia/Tokyo']);
  });

  test('below the floor of the settings refuses its commit, unless two people let this one pass; the next is held to it again', async () => {
    world.policyFloor = { rings: 1, firstRing: { ...OPEN_RING, soakMs: 3_600_000 }, maxInFlight: undefined, checks: ['unit'] };
    world.commits.push({ ada: { evaluates: 1 } });
    await world.start(dir);
    const sha = '1'.padStart(40, '0') as CommitSha;
    // It has no policy at all.
    const refused = await world.ended(sha, 'REJECTED');
    expect(refused.error?.split('\n')).toEqual([
      "the rollout policy is below the floor of this server's settings (FLOE_POLICY_FLOOR):",
      'rings[0].soak: no soak; the floor is soak 1 h',
      'checks: "unit" is not among them; the floor names it',
      'Push a commit whose policy keeps the floor.',
      expect.stringContaining('floe rollout break-glass 0000000000 --reason "…"'),
    ]);
    const word = (by: string) => ({ by, role: 'administrator', person: by, reason: 'a hole', at: 5 }) as const;
    const { revisions } = world.store;
    for (const [by, outcome] of [
      ['ada', 'waits'],
      ['ada', 'repeated'],
      ['bob', 'broken'],
      ['bob', 'stale'],
    ] as const)
      expect(await revisions.breakGlass(refused.id, word(by), 2)).toBe(outcome);
    await world.later(0);
    const passed = await world.ended(sha, 'PUBLISHED');
    expect(passed.warnings).toEqual([expect.stringContaining('passes by the word of ada (a hole) and bob (a hole): rings[0].soak: no soak')]);
    expect(await world.released()).toEqual({ ada: 1 });
    const next = await world.ended(await world.push({ ada: { evaluates: 2 } }), 'REJECTED');
    world.policy = { rings: [{ name: 'all', sok: 1 }] };
    const invalid = await world.ended(await world.push({ ada: { evaluates: 2 } }), 'REJECTED');
    expect(await revisions.breakGlass(invalid.id, word('ada'), 1)).toBe('stale');
    expect(next.glass).toEqual([]);
  });

  test('below a floor that was changed since people let the commit pass is refused again, until they let it pass below that one', async () => {
    const floor = { rings: 1, firstRing: OPEN_RING, maxInFlight: undefined, checks: ['unit'] };
    world.policyFloor = floor;
    world.commits.push({ ada: { evaluates: 1 } });
    await world.start(dir);
    const refused = await world.ended('1'.padStart(40, '0') as CommitSha, 'REJECTED');
    await world.shutDown();
    const { revisions } = world.store;
    const word = { by: 'ada', role: 'administrator', person: 'ada', reason: 'a hole', at: 5 } as const;
    expect(await revisions.breakGlass(refused.id, word, 1)).toBe('broken');
    world.policyFloor = { ...floor, firstRing: { ...OPEN_RING, soakMs: 3_600_000 } };
    await world.start(dir);
    const again = await world.ended(refused.sha, 'REJECTED');
    expect(again).toMatchObject({ glass: [], error: expect.stringContaining('rings[0].soak: no soak') as string });
    expect(again.glassAt).toBeUndefined();
    expect(await revisions.breakGlass(refused.id, word, 1)).toBe('broken');
    await world.later(0);
    expect((await world.ended(refused.sha, 'PUBLISHED')).warnings).toEqual([expect.stringContaining('passes by the word of ada (a hole)')]);
  });

  test('is kept with its commit, once it can be read; and with each host its labels and its ring', async () => {
    world.policy = new FloeError('INPUT_AWAY', 'waiting for input base', { retryable: true });
    world.commits.push({ ada: { evaluates: 1 }, bob: { evaluates: 1, ring: 'canary' }, cyd: { evaluates: 1, ring: 'canari' } });
    await world.start(dir);
    const sha = '1'.padStart(40, '0') as CommitSha;
    await eventually('it waits', async () => (await world.store.revisions.byShaPrefix(world.repository.id, sha))[0]?.error);
    world.policy = RINGS;
    const revision = await world.ended(sha, 'PUBLISHED');
    expect(revision.policy).toMatchObject({ maxInFlight: 10, rings: [{ name: 'canary', soakMs: 1_800_000 }, { name: 'all' }] });
    expect(await world.row(revision, 'ada')).toMatchObject({ outcome: 'NEW', labels: ['site=ada'], ring: undefined });
    expect(await world.row(revision, 'bob')).toMatchObject({ outcome: 'NEW', labels: ['site=bob'], ring: 'canary' });
    expect(await world.row(revision, 'cyd')).toMatchObject({
      outcome: 'EVAL_ERROR',
      retryAt: undefined,
      error: expect.stringContaining('services.floe.agent.ring: ') as string,
    });
    expect(await world.released()).toEqual({ ada: 1, bob: 1 });
  });
});

test('a policy that has targets told which the server does not have is a warning on its commit', async () => {
  world.policy = { notify: { 'rollout-paused': ['chat', 'pager'], 'commit-held': ['pager'] } };
  world.commits.push({ ada: { evaluates: 1 } });
  await world.start(dir);
  const revision = await world.ended('1'.padStart(40, '0') as CommitSha, 'PUBLISHED');
  expect(revision.warnings).toEqual(['the policy names notification targets that this server does not have: pager. It has chat']);
});

describe('a check that the policy names', () => {
  test.each([
    ['broken', 'the check "broken" does not build: exit code 1'],
    ['missing', 'the check "missing" does not build: there is none'],
  ])('and that is %s fails its revision: nothing of it is released, nor later', async (name, error) => {
    world.policy = { checks: ['good', name] };
    world.commits.push({ ada: { evaluates: 1 }, bob: { evaluates: 'waits' } });
    await world.start(dir);
    const revision = await world.ended('1'.padStart(40, '0') as CommitSha, 'BUILD_FAILED');
    expect(revision.error).toBe(error);
    expect(await world.store.revisions.nextRetryAt(revision.id)).toBeUndefined();
    expect(await world.released()).toEqual({});
    world.policy = { checks: ['good'] };
    await world.ended(await world.push({ ada: { evaluates: 2 } }), 'PUBLISHED');
    expect(await world.released()).toEqual({ ada: 2 });
  });

  test('and whose source cannot be downloaded is waited for', async () => {
    world.policy = { checks: ['waits'] };
    world.commits.push({ ada: { evaluates: 1 } });
    await world.start(dir);
    const waits = await eventually('it waits', async () => (await world.store.revisions.newest(world.repository.id))?.error);
    expect(waits).toMatch(/^the check "waits": /);
    await world.later(1);
    await world.ended('1'.padStart(40, '0') as CommitSha, 'PUBLISHED');
    expect(await world.released()).toEqual({ ada: 1 });
  });
});

test('a host that was never enrolled is forgotten with the commit that removes it; an enrolled one stays', async () => {
  const all = { ada: { evaluates: 1 }, joe: { evaluates: 1 }, eve: { evaluates: 1 } };
  world.commits.push(all);
  await world.start(dir);
  await world.ended('1'.padStart(40, '0') as CommitSha, 'PUBLISHED');
  const ada = 'ada' as HostName;
  await world.store.hosts.enrol({ host: ada, repositoryId: world.repository.id, machineId: 'a'.repeat(32), publicKey: 'key', at: 1 });
  const removed = await world.ended(await world.push({ eve: { evaluates: 1 } }), 'PUBLISHED');
  expect([(await world.row(removed, 'joe'))?.outcome, (await world.row(removed, 'ada'))?.outcome]).toEqual(['REMOVED', 'REMOVED']);
  await eventually('joe is gone', async () => ((await world.store.hosts.get('joe' as HostName)) === undefined ? true : undefined));
  const next = await world.ended(await world.push({ eve: { evaluates: 2 } }), 'PUBLISHED');
  expect([await world.row(next, 'joe'), (await world.row(next, 'ada'))?.outcome]).toEqual([undefined, 'REMOVED']);
  // A host that returns counts as new, and a revoked one is not reported any more.
  await world.store.hosts.revoke(ada, 2);
  const back = await world.ended(await world.push({ eve: { evaluates: 2 }, joe: { evaluates: 3 } }), 'PUBLISHED');
  expect([(await world.row(back, 'joe'))?.toplevel, await world.row(back, 'ada')]).toEqual([expect.stringMatching(/3$/) as string, undefined]);
  expect((await world.store.hosts.list(world.repository.id)).map(({ host }) => host)).toEqual(['ada', 'eve', 'joe']);
});

test('caches, keys and features that the flake asks for are named on the revision, once, and end no step', async () => {
  world.lacking = { substituters: ['https://a.example'], keys: ['a-1:x', 'b-1:"${y}'], features: [] };
  world.commits.push({ ada: { evaluates: 1 } });
  await world.start(dir);
  const first = await world.ended('1'.padStart(40, '0') as CommitSha, 'PUBLISHED');
  const named = [
    expect.stringMatching(/^flake\.nix asks for caches .*nix\.settings\.extra-substituters = \[ "https:\/\/a\.example" \];$/) as string,
    expect.stringContaining('nix.settings.extra-trusted-public-keys = [ "a-1:x" "b-1:\\"\\${y}" ];') as string,
  ];
  expect(first.warnings).toEqual(named);
  expect(await world.store.revisions.reopen(first.id, systemClock.now())).toEqual({ kind: 'advanced', state: 'EVALUATING' });
  await world.store.repositories.wake(world.repository.id);
  expect((await world.ended(first.sha, 'PUBLISHED')).warnings).toEqual(named);
  world.lacking = new Error('away');
  expect((await world.ended(await world.push({ ada: { evaluates: 2 } }), 'PUBLISHED')).warnings ?? []).toEqual([]);
});

describe('a host that says that it is not Floe’s', () => {
  const iso = { evaluates: 7, saysNo: true } as const;

  test('is not built, makes no commit red when it breaks, and is released at once with the newest commit when it is enrolled', async () => {
    world.commits.push({ ada: { evaluates: 1 }, iso });
    await world.start(dir);
    const first = await world.ended('1'.padStart(40, '0') as CommitSha, 'PUBLISHED');
    expect(await world.row(first, 'iso')).toMatchObject({ outcome: 'NOT_OURS', toplevel: undefined, error: undefined });
    expect(await world.released()).toEqual({ ada: 1 });

    const broken = await world.ended(await world.push({ ada: { evaluates: 2 }, iso: { evaluates: 'silent' } }), 'PUBLISHED');
    expect(await world.row(broken, 'iso')).toMatchObject({ outcome: 'NOT_OURS', error: undefined });

    const newest = await world.ended(await world.push({ ada: { evaluates: 2 }, iso }), 'PUBLISHED');
    const { hosts } = world.store;
    await hosts.enrol({ host: 'iso' as HostName, repositoryId: world.repository.id, machineId: 'a'.repeat(32), publicKey: 'key', at: 1 });
    await world.later(0);
    await eventually('it is released', async () => ((await world.released())['iso'] === 7 ? true : undefined));
    await eventually('nothing is left to do', async () => ((await world.store.revisions.nextRetryAt(newest.id)) === undefined ? true : undefined));
    expect(await world.row(newest, 'iso')).toMatchObject({ outcome: 'NEW' });

    // From now on it is built, whatever it says, and its errors are the commit's.
    const fourth = await world.ended(await world.push({ ada: { evaluates: 2 }, iso: { evaluates: 'silent' } }), 'PUBLISHED');
    expect(await world.row(fourth, 'iso')).toMatchObject({ outcome: 'EVAL_ERROR', error: 'silent' });
  });

  test('is an error when nobody knows yet whose it is, and it does not say', async () => {
    world.commits.push({ ada: { evaluates: 1 }, iso: { evaluates: 'silent' } });
    await world.start(dir);
    const revision = await world.ended('1'.padStart(40, '0') as CommitSha, 'PUBLISHED');
    expect(await world.row(revision, 'iso')).toMatchObject({ outcome: 'EVAL_ERROR' });
  });

  test('hides no error of the others: a commit whose own hosts all fail has failed, and one without any is published', async () => {
    world.commits.push({ iso });
    await world.start(dir);
    await world.ended('1'.padStart(40, '0') as CommitSha, 'PUBLISHED');
    const failed = await world.ended(await world.push({ iso, ada: { evaluates: 'broken' } }), 'EVAL_FAILED');
    expect(failed.error).toBe('none of the 1 hosts evaluates; the first error, of ada: broken');
  });
});

test('a host of an architecture that nobody builds here is no failure of the commit, keeps its release, and is built once somebody does', async () => {
  world.commits.push({ ada: { evaluates: 1 }, arm: { evaluates: 1 } });
  await world.start(dir);
  await world.ended('1'.padStart(40, '0') as CommitSha, 'PUBLISHED');
  const hosts = { ada: { evaluates: 2 }, arm: { evaluates: 2, system: 'aarch64-linux' } } as const;
  const second = await world.ended(await world.push(hosts), 'PUBLISHED');
  expect(await world.row(second, 'arm')).toMatchObject({
    outcome: 'NOT_BUILT_HERE',
    error: 'needs a machine of aarch64-linux',
    retryAt: undefined,
    builtAt: undefined,
  });
  expect(await world.released()).toEqual({ ada: 2, arm: 1 });
  const alone = await world.ended(await world.push({ ada: { evaluates: 2 }, arm: { evaluates: 3, system: 'aarch64-linux' } }), 'PUBLISHED');
  expect(await world.row(alone, 'arm')).toMatchObject({ outcome: 'NOT_BUILT_HERE' });

  // A remote builder is added, and an administrator has the commit evaluated again.
  world.builders.push('aarch64-linux');
  expect(await world.store.revisions.reopen(alone.id, systemClock.now())).toEqual({ kind: 'advanced', state: 'EVALUATING' });
  await world.store.repositories.wake(world.repository.id);
  await eventually('it is released', async () => ((await world.released())['arm'] === 3 ? true : undefined));
  expect(await world.row(alone, 'arm')).toMatchObject({ outcome: 'CHANGED', error: undefined });
});

test('an administrator has the newest commit evaluated again: final errors are retried, releases stay', async () => {
  world.commits.push({ ada: { evaluates: 1 }, bob: { evaluates: 'broken' } });
  await world.start(dir);
  const revision = await world.ended('1'.padStart(40, '0') as CommitSha, 'PUBLISHED');
  expect(await world.released()).toEqual({ ada: 1 });
  world.commits[0] = { ada: { evaluates: 1 }, bob: { evaluates: 2 } };
  expect(await world.store.revisions.reopen(revision.id, systemClock.now())).toEqual({ kind: 'advanced', state: 'EVALUATING' });
  // As the API does.
  await world.store.repositories.wake(world.repository.id);
  await world.ended(revision.sha, 'PUBLISHED');
  expect(await world.released()).toEqual({ ada: 1, bob: 2 });
  expect((await world.store.revisions.get(revision.id))?.publishedAt).toBe(revision.publishedAt);
});

test('a git server that asks for a pause is not contacted, also when pushes arrive', async () => {
  world.commits.push({ ada: { evaluates: 1 } });
  world.refuse = () => {
    if (world.fetchedAt.length > 1) return;
    throw new FloeError('REPOSITORY_BUSY', 'too many requests', { retryable: true, data: { retryAfterMs: 1_000 } });
  };
  await world.start(dir);
  await eventually('it is shown', async () =>
    (await world.store.repositories.get(world.repository.id)).problem?.code === 'REPOSITORY_BUSY' ? true : undefined,
  );
  const sha = await world.push({ ada: { evaluates: 2 } });
  await world.ended(sha, 'PUBLISHED');
  const [refused = 0, next = 0] = world.fetchedAt;
  expect(next - refused).toBeGreaterThanOrEqual(1_000);
});

describe('a step', () => {
  test('that fails by a bug in Floe ends its revision, and not the loop', async () => {
    let isBroken = true;
    world.onEvaluate = () => {
      if (isBroken) throw new TypeError('cannot read properties of undefined');
    };
    world.commits.push({ ada: { evaluates: 1 } });
    await world.start(dir);
    const revision = await world.ended('1'.padStart(40, '0') as CommitSha, 'EVAL_FAILED');
    expect(revision.error).toMatch(/because of a bug/);
    isBroken = false;
    await world.ended(await world.push({ ada: { evaluates: 2 } }), 'PUBLISHED');
  });

  test('loses no host, and evaluates none twice, when the database is unreachable for a batch of its hosts', async () => {
    const { revisions } = world.store;
    const save = revisions.saveEvaluations.bind(revisions);
    let failures = 2;
    Reflect.set(revisions, 'saveEvaluations', async (...args: Parameters<typeof save>) => {
      failures -= 1;
      if (failures >= 0) throw new FloeError('STORE_UNREACHABLE', 'the database does not answer', { retryable: true });
      await save(...args);
    });
    await world.start(dir);
    const letters = 'abcdefghijklmnopqrst'.split('');
    const names = letters.flatMap((one) => ['a', 'b', 'c'].map((other) => `${one}${other}`));
    const sha = await world.push(Object.fromEntries(names.map((name) => [name, { evaluates: 1 }])));
    await world.ended(sha, 'PUBLISHED');
    expect(Object.keys(await world.released())).toHaveLength(names.length);
    expect(world.evaluations.toSorted()).toEqual(names.map((name) => `1 ${name}`).toSorted());
  });

  test('continues when an optional part fails', async () => {
    world.changedPaths = async () => {
      throw new FloeError('COMMIT_NOT_FOUND', 'no such commit');
    };
    const hosts = Object.fromEntries(['ada', 'bob', 'cyd'].map((host) => [host, { evaluates: 1 }]));
    world.commits.push(hosts);
    await world.start(dir);
    await world.ended('1'.padStart(40, '0') as CommitSha, 'PUBLISHED');
    await world.ended(await world.push({ ...hosts, ada: { evaluates: 2 } }), 'PUBLISHED');
    expect(await world.released()).toMatchObject({ ada: 2 });
  });

  test('is finished first when commits arrive faster than they are processed', async () => {
    world.evaluationMs = 60;
    const hosts = (system: number): Record<string, WorldHost> =>
      Object.fromEntries(['ada', 'bob', 'cyd', 'dan'].map((host) => [host, { evaluates: system }]));
    world.commits.push(hosts(1));
    await world.start(dir);
    for (let system = 2; system <= 20; system += 1) {
      await world.push(hosts(system));
      await systemClock.sleep(120);
    }
    expect((await world.released())['ada']).toBeGreaterThan(0);
    await world.ended(String(world.commits.length).padStart(40, '0') as CommitSha, 'PUBLISHED');
    expect((await world.released())['ada']).toBe(20);
    const unfinished = (await world.store.revisions.list(world.repository.id, 99)).filter(
      ({ revision: { state } }) => state === 'BUILDING' || state === 'EVALUATING',
    );
    expect(unfinished).toEqual([]);
  });
});

test('a host that was told a store path of no commit, and never took it, gets a release with the next commit though that leaves it as it was', async () => {
  world.commits.push({ ada: { evaluates: 1 }, bob: { evaluates: 1 } });
  await world.start(dir);
  await world.ended('1'.padStart(40, '0') as CommitSha, 'PUBLISHED');
  await world.shutDown();
  const { store, repository } = world;
  const [host, toplevel] = ['ada' as HostName, `/nix/store/${'5'.repeat(32)}-by-hand` as StorePath];
  const id = await store.submissions.request({ repositoryId: repository.id, host, toplevel, by: 'ada', reason: 'x', at: 1, expiresAt: undefined });
  const sequence = (await store.submissions.number(id)) ?? 0;
  const release = { host, sequence, toplevel, commit: NO_COMMIT, issuedAt: 1, envelope: '{}' };
  await store.submissions.finish(id, release, 1, { at: 1, actor: 'floe', action: 'submit', subject: host, detail: 'published' });
  const { situation } = (await store.hosts.fleet(repository.id, [host])).hosts[0]!;
  await store.hosts.desire([situation.pin!], 1);
  await store.hosts.unpin(host, 'pin');

  await world.start(dir);
  const next = await world.ended(await world.push({ ada: { evaluates: 1 }, bob: { evaluates: 1 } }), 'PUBLISHED');
  expect([(await world.row(next, 'ada'))?.outcome, (await world.row(next, 'bob'))?.outcome]).toEqual(['NEW', 'UNCHANGED']);
  const last = await world.ended(await world.push({ ada: { evaluates: 1 }, bob: { evaluates: 2 } }), 'PUBLISHED');
  expect([(await world.row(last, 'ada'))?.outcome, (await world.row(last, 'bob'))?.outcome]).toEqual(['UNCHANGED', 'CHANGED']);
});

describe('signers whose key was taken away', () => {
  // Nobody may sign any more, and the commits of this world have no signature.
  const nobody = { sshFile: '/nonexistent', path: undefined };

  test('bring nothing that waits for its evaluation, or is evaluated again', async () => {
    world.commits.push({ ada: { evaluates: 1 } });
    await world.start(dir);
    const published = await world.ended('1'.padStart(40, '0') as CommitSha, 'PUBLISHED');
    const waiting = await world.push({ ada: { evaluates: 'waits' } });
    await eventually('it waits', async () => (await world.store.revisions.newest(world.repository.id))?.error);
    await world.shutDown();
    world.signers = nobody;
    await world.start(dir);
    await world.later(3_600_000);
    expect((await world.ended(waiting, 'REJECTED')).error).toContain('it has no signature');
    expect((await world.store.revisions.reopen(published.id, 1)).kind).not.toBe('stale');
    expect((await world.ended(published.sha, 'REJECTED')).error).toContain('it has no signature');
    expect(await world.released()).toEqual({ ada: 1 });
  });

  test('bring nothing that is not built yet, and what a CI submits for their commit is refused', async () => {
    const { promise, resolve } = Promise.withResolvers<void>();
    world.buildsAfter.set('ada', promise);
    // Two in one push: the first is never evaluated.
    world.commits.push({ ada: { evaluates: 1 } }, { ada: { evaluates: 1 } });
    await world.start(dir);
    await eventually('it is built', async () => ((await world.store.revisions.newest(world.repository.id))?.state === 'BUILDING' ? true : undefined));
    await world.shutDown();
    world.signers = nobody;
    await world.start(dir);
    const failed = await world.ended('2'.padStart(40, '0') as CommitSha, 'BUILD_FAILED');
    expect(failed.error).toContain('it has no signature');
    resolve();
    const id = await world.submit('ada', 7, '1'.padStart(40, '0') as CommitSha);
    const refused = await eventually('it is refused', async () => {
      const handover = await world.store.handovers.get(id);
      return handover?.state === 'REFUSED' ? handover.result : undefined;
    });
    expect(refused).toContain('it has no signature');
    expect(await world.released()).toEqual({});
  });
});

describe('what a CI submits', () => {
  const sequences = async (): Promise<readonly (readonly [number, string])[]> =>
    (await world.store.revisions.list(world.repository.id, 50)).toReversed().map(({ revision }) => [revision.sequence, revision.state]);

  test('is a revision of its own: the branch is not taken in again for it, and its hosts are not tried again', async () => {
    world.commits.push({ ada: { evaluates: 1 }, bob: { evaluates: 'waits' } });
    await world.start(dir);
    await world.ended('1'.padStart(40, '0') as CommitSha, 'PUBLISHED');
    await world.submitted(await world.submit('ada', 7), 'PUBLISHED');
    expect(await world.released()).toEqual({ ada: 7 });
    world.evaluations = [];
    await world.later(3_600_000);
    const looks = world.fetchedAt.length;
    await eventually('it looked again', () => (world.fetchedAt.length > looks + 3 ? true : undefined));
    expect(await sequences()).toEqual([
      [1, 'PUBLISHED'],
      [2, 'PUBLISHED'],
    ]);
    expect(world.evaluations).toEqual([]);
    // A push is newer, and has all hosts.
    await world.ended(await world.push({ ada: { evaluates: 2 }, bob: { evaluates: 3 } }), 'PUBLISHED');
    expect(await world.released()).toEqual({ ada: 2, bob: 3 });
  });

  const refusal = async (id: string): Promise<string> =>
    await eventually('it is refused', async () => {
      const handover = await world.store.handovers.get(id);
      return handover?.state === 'REFUSED' ? handover.result : undefined;
    });

  test('takes no decision about a rollout that is paused for what it brought, with hosts that would get that now', async () => {
    world.commits.push({ ada: { evaluates: 1 }, bob: { evaluates: 1 } });
    await world.start(dir);
    await world.ended('1'.padStart(40, '0') as CommitSha, 'PUBLISHED');
    const move = async (course: object): Promise<void> => {
      const { rollout } = await world.store.hosts.fleet(world.repository.id);
      if (rollout === undefined) throw new Error('there is no rollout');
      expect(await world.store.rollouts.save({ ...rollout, course: { ...rollout.course, ...course } }, 1, [])).toBe(true);
    };
    await move({ state: 'COMPLETE' });
    await world.ended(await world.push({ ada: { evaluates: 2 }, bob: { evaluates: 2 } }), 'PUBLISHED');
    const failures = [{ host: 'ada', toplevel: `/nix/store/${'0'.repeat(32)}-ada-2`, reason: 'a unit failed' }];
    await move({ state: 'PAUSED', pause: { cause: 'failures', failures, count: 1 } });
    expect(await refusal(await world.submit('ada', 1))).toContain(
      'is paused because of what it brought, and these hosts would get its systems now: bob',
    );
  });

  test('of one person passes nothing of the same, and what others submitted', async () => {
    world.commits.push({ ada: { evaluates: 1 }, bob: { evaluates: 1 } });
    await world.start(dir);
    await world.ended('1'.padStart(40, '0') as CommitSha, 'PUBLISHED');
    const missing = 'f'.repeat(40) as CommitSha;
    world.unknownCommits.add(missing);
    const waits = await world.submit('ada', 7, missing);
    const next = await world.submit('ada', 8);
    await world.submitted(await world.submit('bob', 9, undefined, 'eve'), 'PUBLISHED');
    expect(await world.released()).toEqual({ ada: 1, bob: 9 });
    expect((await world.store.handovers.get(next))?.state).toBe('WAITING');
    world.laterMs = 10 * 60_000;
    expect(await refusal(waits)).toContain('does not have the commit');
    await world.submitted(next, 'PUBLISHED');
    expect(await world.released()).toEqual({ ada: 8, bob: 9 });
  });

  test('is not said of a commit that was refused or failed itself', async () => {
    world.commits.push({ ada: { evaluates: 1 } });
    await world.start(dir);
    await world.ended('1'.padStart(40, '0') as CommitSha, 'PUBLISHED');
    const broken = await world.push({ ada: { evaluates: 'broken' } });
    await world.ended(broken, 'EVAL_FAILED');
    expect(await refusal(await world.submit('ada', 7, broken))).toContain('itself was refused or failed');
    await world.submitted(await world.submit('ada', 8), 'PUBLISHED');
  });

  test('waits for a commit under way, and for none that waits for something or for a person: that is taken in again afterwards', async () => {
    world.commits.push({ ada: { evaluates: 1 } });
    await world.start(dir);
    await world.ended('1'.padStart(40, '0') as CommitSha, 'PUBLISHED');
    // It evaluates nothing until an input is back.
    const waiting = await world.push({ ada: { evaluates: 'waits' } });
    await eventually('it waits', async () => (await world.store.revisions.newest(world.repository.id))?.error);
    await world.submitted(await world.submit('ada', 8), 'PUBLISHED');
    const again = async () =>
      (await world.store.revisions.byShaPrefix(world.repository.id, waiting)).map(({ sequence, state }) => `${sequence} ${state}`);
    await eventually('the commit is there again', async () => ((await again()).length === 2 ? true : undefined));
    expect((await again()).at(-1)).toBe('2 SUPERSEDED');
    expect(await world.released()).toEqual({ ada: 8 });
    await world.ended(await world.push({ ada: { evaluates: 3 } }), 'PUBLISHED');

    const held = await world.push({});
    const isHeld = async () => ((await world.store.repositories.get(world.repository.id)).held?.commit === held ? true : undefined);
    await eventually('all hosts are gone, and it is held', isHeld);
    await world.submitted(await world.submit('ada', 9), 'PUBLISHED');
    await eventually('it is held again', async () => {
      const [newest] = await world.store.revisions.byShaPrefix(world.repository.id, held);
      return newest?.state === 'EVALUATING' && newest.error?.startsWith('held: ') === true && (await isHeld()) === true ? newest : undefined;
    });
    expect(await world.released()).toEqual({ ada: 9 });
  });
});
