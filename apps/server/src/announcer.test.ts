import { DEFAULT_POLICY, NO_ORDERS, NOTHING_OBSERVED, type CommitSha, type HostName, type RolloutState, type StorePath } from '@floe/model';
import { FloeError, silentLogger, systemClock, Troubles, type Clock } from '@floe/runtime';
import type { Evaluation, FleetHost, ListedRevision, CurrentRollout, Revision, WantedStatus, WaitsForOlder } from '@floe/store';
import { eventually } from '@floe/testkit';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Announcer } from './announcer.ts';
import { FleetFeed } from './feed.ts';
import { FleetReader } from './fleet-reader.ts';
import { Notices } from './notices.ts';
import { FAKE_REPOSITORY } from './test/fake-app.ts';
import { rolloutAt } from './test/rollouts.ts';

const ada = 'ada' as HostName;
const system = (sequence: number): StorePath => `/nix/store/${String(sequence).padStart(32, '0')}-system` as StorePath;
const shaOf = (sequence: number): CommitSha => String(sequence).padStart(40, '0') as CommitSha;
/** Nothing is waited for, but a turn. */
const clock: Clock = Object.assign(Object.create(systemClock) as Clock, {
  now: () => 1_000_000,
  sleep: async (_ms: number) => await new Promise<void>((resolve) => setImmediate(resolve)),
});

interface Given {
  /** Newest first. */
  readonly revisions: readonly { readonly sequence: number; readonly state: Revision['state']; readonly rollout?: RolloutState }[];
  /** The sequence of the system that ada runs. */
  readonly runs: number;
  readonly held?: CommitSha;
  /** What the newest commit waits for before it is evaluated. */
  readonly waits?: WaitsForOlder;
}

function rolloutIn(sequence: number, state: RolloutState): CurrentRollout {
  const course = { state, ring: 0, since: 1, ringSince: 1, pause: undefined, provedRing: undefined };
  const id = `rollout${sequence}`;
  const waitingSince = state === 'NEXT' ? 1 : undefined;
  return rolloutAt(course, DEFAULT_POLICY, { id, revisionId: `r${sequence}`, version: 0, waitingSince });
}

/** An announcer over one host, ada, and what comes of its passes. */
function announcerOf(first: Given, onAsked: () => Given | undefined = () => undefined) {
  let given = first;
  let isOver = false;
  /** Of bob, who is in the fleet only then: what of his record cannot be read. */
  let unreadable: keyof FleetHost | 'nothing' | undefined;
  const puts: WantedStatus[][] = [];
  const evaluated: (readonly string[])[] = [];
  let views = 0;
  const troubles = new Troubles({ clock, logger: silentLogger });
  const failures: (() => unknown)[] = [];
  const refused = new Set<string>();
  const feed = new FleetFeed(() => 1);
  const listed = (): ListedRevision[] =>
    given.revisions.map(({ sequence, state, rollout }) => ({
      revision: {
        id: `r${sequence}`,
        repositoryId: FAKE_REPOSITORY.id,
        sha: shaOf(sequence),
        sequence,
        state,
        subject: '',
        authorName: '',
        receivedAt: 1,
      } as Revision,
      rollout: rollout === undefined ? undefined : rolloutIn(sequence, rollout),
    }));
  const current = (): CurrentRollout | undefined => {
    const rollout = listed().find((each) => each.rollout !== undefined && each.rollout.state !== 'NEXT')?.rollout;
    return rollout === undefined ? undefined : { ...rollout, rings: undefined, weaker: [], policy: DEFAULT_POLICY, orders: NO_ORDERS };
  };
  const evaluationOf = (id: string): Evaluation =>
    ({ host: ada, outcome: 'CHANGED', toplevel: system(Number(id.slice(1))), tries: 0 }) as unknown as Evaluation;
  const evaluationsOf = (id: string) => {
    const state = listed().find(({ revision }) => revision.id === id)?.revision.state ?? 'REJECTED';
    return { state, evaluations: state === 'EVALUATING' ? [] : [evaluationOf(id)] };
  };
  const host = (): FleetHost => {
    const wanted = given.revisions.find(({ rollout }) => rollout !== undefined && rollout !== 'NEXT')?.sequence ?? 0;
    const release = { id: `release${wanted}`, host: ada, sequence: wanted, toplevel: system(wanted) };
    const observed = { current: system(given.runs), booted: system(given.runs), profile: { generation: 1, toplevel: system(given.runs) } };
    const row = {
      host: ada,
      publicKey: 'key',
      epoch: 1,
      observed: given.runs === 0 ? NOTHING_OBSERVED : observed,
      state: 'SUCCEEDED',
      stateToplevel: system(given.runs),
      isConnected: true,
    };
    return {
      row,
      desired: { kind: 'release', release, because: 'rollout' },
      quarantines: [],
      desiredCommit: undefined,
      situation: {},
    } as unknown as FleetHost;
  };
  const hosts = (): readonly FleetHost[] => {
    const [one, field] = [host(), unreadable];
    if (field === undefined) return [one];
    const failing = { ...one, row: { ...one.row, host: 'bob' as HostName } };
    const get = (): never => {
      throw new TypeError(`${field} of bob is odd`);
    };
    if (field !== 'nothing') Object.defineProperty(failing, field, { get });
    // First, so that whoever comes after him is shown in spite of it.
    return [failing, one];
  };
  /** Before each answer the world may move on. */
  const asked = async <Answer>(answer: () => Answer): Promise<Answer> => {
    given = onAsked() ?? given;
    return await Promise.resolve(answer());
  };
  const store = {
    repositories: {
      get: async () =>
        await asked(() => ({ ...FAKE_REPOSITORY, held: given.held && { commit: given.held, reason: 'many hosts would go', since: 1 } })),
    },
    revisions: {
      list: async () => await asked(listed),
      listToTell: async () => await asked(listed),
      get: async () => await Promise.resolve(undefined),
      buildsOf: async () => await Promise.resolve([]),
      waiting: async () => await Promise.resolve(given.waits),
      newestFinished: async () => await asked(() => undefined),
      evaluations: async (id: string) => await asked(() => evaluationsOf(id).evaluations),
      evaluationsAbout: async (id: string) => await asked(() => evaluationsOf(id).evaluations),
      async evaluationsOf(ids: readonly string[]) {
        evaluated.push(ids);
        return await asked(() => new Map(ids.map((id) => [id, evaluationsOf(id)])));
      },
    },
    rollouts: {
      stories: async () => await asked(() => []),
    },
    hosts: {
      fleet: async () => await asked(() => ({ rollout: current(), hosts: hosts() })),
    },
    releases: {
      async commitsOf() {
        views += 1;
        return await asked(() => []);
      },
    },
    reports: { failureLogs: async () => await asked(() => new Map()) },
    outbox: {
      async putAll(statuses: readonly WantedStatus[]) {
        failures.shift()?.();
        if (statuses.some(({ sha, context }) => refused.has(`${Number(sha)} ${context}`)))
          throw new FloeError('STORE_DATA_REFUSED', 'a value is not taken');
        puts.push([...statuses]);
        await Promise.resolve();
      },
    },
    leftOut: () => [],
  };
  const reader = new FleetReader({
    store,
    clock,
    feed,
    notices: new Notices(),
    fetches: { shown: null },
    repositoryId: FAKE_REPOSITORY.id,
    troubles,
  });
  const announcer = new Announcer({
    store,
    reader,
    feed,
    clock,
    logger: silentLogger,
    troubles,
    repositoryId: FAKE_REPOSITORY.id,
    publicUrl: 'https://floe.example',
    hasForge: true,
  });
  const stopping = new AbortController();
  let passes = 0;
  const running = announcer.run(stopping.signal, () => (passes += 1));
  return {
    puts,
    evaluated,
    troubles,
    failures,
    refused,
    feed,
    spoil: (field: keyof FleetHost | 'nothing') => (unreadable = field),
    /** How often views of hosts were put together. */
    views: () => views,
    /** Tells what changed, and resolves when that is done. */
    async tell(changed: Given = given) {
      given = changed;
      const before = passes;
      announcer.mark('all');
      await eventually('it is told', () => (passes > before ? true : undefined));
    },
    newest: (): Record<string, string> =>
      Object.fromEntries((puts.at(-1) ?? []).map(({ sha, context, state }) => [`${Number(sha)} ${context}`, state])),
    async [Symbol.asyncDispose]() {
      if (isOver) return;
      isOver = true;
      stopping.abort();
      await running;
    },
  };
}

const PUBLISHED = { state: 'PUBLISHED', rollout: 'ROLLING' } as const;

describe('the announcer', () => {
  test('says where a rollout stands, and that it is complete', async () => {
    await using told = announcerOf({ revisions: [{ sequence: 2, ...PUBLISHED }], runs: 1 });
    await told.tell();
    expect(told.newest()).toEqual({ '2 floe/evaluate': 'success', '2 floe/build': 'success', '2 floe/rollout': 'pending' });
    await told.tell({ revisions: [{ sequence: 2, state: 'PUBLISHED', rollout: 'COMPLETE' }], runs: 2 });
    expect(told.newest()['2 floe/rollout']).toBe('success');
  });

  test('reads the hosts of an overtaken revision once, when it is overtaken', async () => {
    const overtaken = { sequence: 1, state: 'PUBLISHED', rollout: 'SUPERSEDED' } as const;
    const given: Given = { revisions: [{ sequence: 2, ...PUBLISHED }, overtaken], runs: 1 };
    await using told = announcerOf(given);
    await told.tell();
    await told.tell();
    await told.tell({ ...given, revisions: [{ sequence: 3, state: 'EVALUATING' }, ...given.revisions] });
    expect(told.evaluated).toEqual([['r1', 'r2'], ['r2'], ['r2', 'r3']]);
  });

  test('says which older commit the newest one waits for before it is evaluated', async () => {
    const waits = { id: 'r2', sha: shaOf(2), after: shaOf(1), until: 0 };
    await using told = announcerOf({
      revisions: [
        { sequence: 2, state: 'RECEIVED' },
        { sequence: 1, state: 'BUILDING' },
      ],
      runs: 0,
      waits,
    });
    await told.tell();
    const said = told.puts.flat().find(({ sha, context }) => sha === shaOf(2) && context === 'floe/evaluate')?.description;
    expect(said).toMatch(/^received; waits for 0+ to be finished, until 1970-01-01 00:00 UTC at the latest$/);
  });

  test('says where the rollout stands that hosts follow, while a newer one waits for it', async () => {
    const revisions = [{ sequence: 2, state: 'PUBLISHED', rollout: 'NEXT' } as const, { sequence: 1, ...PUBLISHED }];
    await using told = announcerOf({ revisions, runs: 0 });
    await told.tell();
    expect(told.newest()['1 floe/rollout']).toBe('pending');
    await told.tell({ revisions, runs: 1 });
    expect(told.newest()['1 floe/rollout']).toBe('success');
  });

  test('says what a held commit waits for, and of its rollout, which hosts follow, where it stands', async () => {
    await using told = announcerOf({ revisions: [{ sequence: 2, ...PUBLISHED }], runs: 2, held: shaOf(2) });
    await told.tell();
    expect(told.newest()).toEqual({ '2 floe/evaluate': 'error', '2 floe/build': 'success', '2 floe/rollout': 'success' });
  });

  test('puts together no views of hosts while nobody watches, and who begins to watch gets a snapshot before the first change', async () => {
    await using told = announcerOf({ revisions: [{ sequence: 2, ...PUBLISHED }], runs: 1 });
    await told.tell();
    await told.tell({ revisions: [{ sequence: 2, ...PUBLISHED }], runs: 2 });
    expect(told.views()).toBe(0);
    const heard: string[] = [];
    const watch = (): Disposable => told.feed.subscribe((event) => void heard.push(event === 'reset' ? event : event.type));
    for (const round of [1, 2]) {
      using _watching = watch();
      await told.tell();
      expect(heard.splice(0), `${round}`).toEqual(['reset']);
      await told.tell({ revisions: [{ sequence: 2, ...PUBLISHED }], runs: round === 1 ? 1 : 2 });
      expect(heard.splice(0), `${round}`).toEqual(['host', 'revision']);
      await told.tell();
      expect(heard, `${round}`).toEqual([]);
      _watching[Symbol.dispose]();
      // Nobody hears of this one.
      await told.tell({ revisions: [{ sequence: 2, ...PUBLISHED }], runs: 3 });
    }
    expect(heard).toEqual([]);
  });

  test.each(['desiredCommit', 'submission', 'endedTrial', 'desired'] as const)(
    'a host that cannot be shown, by its %s, keeps back no event of commits or other hosts, nor a status',
    async (field) => {
      await using told = announcerOf({ revisions: [{ sequence: 2, ...PUBLISHED }], runs: 1 });
      const heard: string[] = [];
      using _watching = told.feed.subscribe((event) => {
        heard.push(event === 'reset' ? event : event.type === 'host' ? `host ${event.host.host}` : event.type);
      });
      await told.tell();
      told.spoil(field);
      await told.tell({ revisions: [{ sequence: 2, ...PUBLISHED }], runs: 2 });
      expect(heard.splice(0).filter((each) => each !== 'reset')).toEqual(['host ada', 'revision']);
      expect(told.newest()['2 floe/rollout']).toBe('success');
      expect(told.troubles.of('bob')?.message).toBe(`showing it failed: ${field} of bob is odd`);
      expect(told.troubles.of('server: hosts')?.message).toContain('bob cannot be shown');
      // A push is told, too.
      await told.tell({
        revisions: [
          { sequence: 3, state: 'BUILDING' },
          { sequence: 2, ...PUBLISHED },
        ],
        runs: 2,
      });
      expect(heard).toContain('revision');
      expect(told.newest()['3 floe/build']).toBe('pending');
      told.spoil('nothing');
      await told.tell();
      for (const subject of ['bob', 'server: hosts']) expect(told.troubles.of(subject)).toBeUndefined();
    },
  );

  test('puts every other status when the database does not take one', async () => {
    await using told = announcerOf({
      revisions: [
        { sequence: 2, state: 'BUILDING' },
        { sequence: 1, ...PUBLISHED },
      ],
      runs: 1,
    });
    told.refused.add('1 floe/build');
    await told.tell();
    expect(told.puts.flat().map(({ sha, context }) => `${Number(sha)} ${context}`)).toEqual(['2 floe/evaluate', '2 floe/build']);
    expect(told.troubles.of('revision r1')).toMatchObject({ code: 'STORE_DATA_REFUSED' });
    expect(told.troubles.of('revision r2')).toBeUndefined();
    told.refused.clear();
    await told.tell();
    expect(told.troubles.of('revision r1')).toBeUndefined();
  });

  test('puts again what an outage kept from the outbox, also of what was overtaken meanwhile', async () => {
    const overtaken = { sequence: 1, state: 'PUBLISHED', rollout: 'SUPERSEDED' } as const;
    await using told = announcerOf({ revisions: [{ sequence: 2, ...PUBLISHED }, overtaken], runs: 1 });
    told.failures.push(() => {
      throw new FloeError('STORE_UNREACHABLE', 'the database is away', { retryable: true });
    });
    await told.tell();
    expect(told.puts).toHaveLength(1);
    expect(Object.keys(told.newest())).toEqual(expect.arrayContaining(['1 floe/rollout', '2 floe/rollout']));
  });

  test('says of a commit only what was so at one moment, whatever happens between two reads', async () => {
    const moves = fc.array(fc.record({ move: fc.constantFrom('push', 'publish', 'evaluate again', 'switch'), afterReads: fc.nat(6) }), {
      minLength: 1,
      maxLength: 6,
    });
    await fc.assert(
      fc.asyncProperty(moves, async (steps) => {
        const worlds: Given[] = [{ revisions: [{ sequence: 1, ...PUBLISHED }], runs: 0 }];
        for (const { move } of steps) worlds.push(moved(worlds.at(-1) as Given, move));
        let seen = 0;
        let reads = 0;
        await using told = announcerOf(worlds[0] as Given, () => {
          reads += 1;
          if (reads <= (steps[seen]?.afterReads ?? Number.POSITIVE_INFINITY)) return undefined;
          reads = 0;
          seen += 1;
          return worlds[seen];
        });
        const followed = (sequence: number): boolean =>
          worlds
            .slice(0, seen + 1)
            .some(({ revisions, runs }) => runs === sequence && revisions.some((each) => each.sequence === sequence && each.state === 'PUBLISHED'));
        // As many passes as it takes for the whole story, and one more.
        for (let pass = 0; pass < 50 && seen < steps.length; pass += 1) await told.tell();
        await told.tell();
        for (const { sha, context, state, onlyOverPending } of told.puts.flat())
          if (context === 'floe/rollout' && state === 'success' && onlyOverPending !== true)
            expect(followed(Number(sha)), `${Number(sha)}`).toBe(true);
      }),
      { numRuns: 30 },
    );
  });
});

/** The world after one more thing has happened to the newest commit. */
function moved({ revisions, runs }: Given, move: 'push' | 'publish' | 'evaluate again' | 'switch'): Given {
  const [newest, ...older] = revisions;
  if (newest === undefined) return { revisions, runs };
  switch (move) {
    case 'push':
      return { revisions: [{ sequence: newest.sequence + 1, state: 'EVALUATING' }, ...revisions], runs };
    case 'publish': {
      const overtaken = older.map((each) => (each.rollout === undefined ? each : { ...each, rollout: 'SUPERSEDED' as const }));
      return { revisions: [{ sequence: newest.sequence, ...PUBLISHED }, ...overtaken], runs };
    }
    case 'evaluate again':
      return { revisions: [{ ...newest, state: 'EVALUATING' }, ...older], runs };
    case 'switch':
      return { revisions, runs: revisions.find(({ rollout }) => rollout !== undefined)?.sequence ?? runs };
  }
}
