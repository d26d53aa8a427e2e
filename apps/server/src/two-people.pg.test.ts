import { isEndedRollout } from '@floe/model';
import { FleetView, RevisionView } from '@floe/protocol';
import { eventually, startPostgres } from '@floe/testkit';
import fc from 'fast-check';
import * as v from 'valibot';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { publishCommit, system } from './test/commits.ts';
import { noBuilder, startTestServer, type TestServer } from './test/test-server.ts';

// Two people pause, resume, abort and hasten the same rollout at once.

/** Few, since each publishes a commit; more by FLOE_FUZZ_RUNS. */
const RUNS = Number(process.env['FLOE_FUZZ_RUNS'] ?? 8);
const PEOPLE = ['ada', 'grace'] as const;
const LABELS = ['role=dns', 'role=web'] as const;
const FAR = 4_000_000_000_000;

interface Order {
  readonly what: 'pause' | 'resume' | 'abort' | 'hotfix';
  readonly label?: (typeof LABELS)[number] | undefined;
  readonly until?: number | undefined;
}
const label = fc.option(fc.constantFrom(...LABELS), { nil: undefined });
const orders = fc.array(
  fc.oneof(
    { weight: 3, arbitrary: fc.record({ what: fc.constant('pause' as const), label, until: fc.constantFrom(undefined, FAR) }) },
    { weight: 3, arbitrary: fc.record({ what: fc.constant('resume' as const), label }) },
    { weight: 1, arbitrary: fc.constantFrom<Order>({ what: 'abort' }, { what: 'hotfix' }) },
  ),
  { minLength: 1, maxLength: 4 },
);

interface Given extends Order {
  readonly by: string;
  /** Names it: nobody else has it. */
  readonly reason: string;
  readonly result: 'done' | 'repeated' | `refused ${string}`;
}

interface Pauses {
  readonly all: string;
  readonly labels: Readonly<Record<string, string>>;
}
const NO_PAUSE: Pauses = { all: '', labels: {} };
const named = ({ by, reason, until }: { by: string; reason: string; until?: number | null | undefined }): string =>
  `${by}: ${reason} ${until ?? 'never'}`;

/** What it leaves behind, if that is its answer then; undefined: nobody alone would have been answered so. */
function after({ what, label: of, result, ...said }: Given, { all, labels }: Pauses): Pauses | undefined {
  // Somebody changed it in that very moment.
  if (result === 'refused PAUSE_CHANGED') return { all, labels };
  if (what === 'pause') {
    if (result !== 'done') return undefined;
    return of === undefined ? { all: named(said), labels } : { all, labels: { ...labels, [of]: named(said) } };
  }
  if (what !== 'resume') return { all, labels };
  const isPaused = of === undefined ? all !== '' : labels[of] !== undefined;
  if (isPaused !== (result === 'done')) return undefined;
  if (of === undefined) return { all: '', labels };
  return { all, labels: Object.fromEntries(Object.entries(labels).filter(([each]) => each !== of)) };
}

/** Whether one after another, each person's in their order, they would have got these answers and left this. */
function isSerial(mine: readonly Given[], yours: readonly Given[], end: Pauses, now: Pauses = NO_PAUSE): boolean {
  const [one, ...restOfMine] = mine;
  const [other, ...restOfYours] = yours;
  if (one === undefined && other === undefined) return JSON.stringify(sorted(now)) === JSON.stringify(sorted(end));
  const afterOne = one && after(one, now);
  if (afterOne !== undefined && isSerial(restOfMine, yours, end, afterOne)) return true;
  const afterOther = other && after(other, now);
  return afterOther !== undefined && isSerial(mine, restOfYours, end, afterOther);
}

/** What is paused by the log alone, whose entries say of whose pause they take the place. */
function pausesOf(log: readonly { readonly detail: string | null }[], given: readonly Given[]) {
  let pauses = NO_PAUSE;
  for (const { detail } of log) {
    const order = given.find(({ reason, result }) => result === 'done' && detail?.endsWith(reason) === true);
    if (order === undefined) continue;
    const before = order.label === undefined ? pauses.all : (pauses.labels[order.label] ?? '');
    const said = /in place of the pause of (\w+)/.exec(detail ?? '')?.[1] ?? '';
    if (order.what === 'pause') expect(said, `${detail} after ${before}`).toBe(before.split(':')[0]);
    const next = after(order, pauses);
    if (next === undefined) throw new Error(`the log has ${detail} after ${JSON.stringify(pauses)}`);
    pauses = next;
  }
  return sorted(pauses);
}
const sorted = ({ all, labels }: Pauses) => ({ all, labels: Object.entries(labels).toSorted(([one], [other]) => (one < other ? -1 : 1)) });

describe.each(['PGlite', 'Postgres'])('on %s', (database) => {
  let server: TestServer;
  const stack = new AsyncDisposableStack();
  const tokens = new Map<string, string>();
  beforeAll(async () => {
    const postgres = database === 'Postgres' ? stack.use(await startPostgres()) : undefined;
    const env = postgres === undefined ? {} : { DATABASE_URL: postgres.url };
    server = stack.use(await startTestServer({ runPipeline: noBuilder, env }));
    await server.enrol('desk');
    for (const name of PEOPLE) {
      const { text } = await server.ask('POST', 'tokens', { name, role: 'administrator' });
      tokens.set(name, v.parse(v.object({ token: v.string() }), JSON.parse(text)).token);
    }
  });
  afterAll(async () => await stack.disposeAsync());

  async function give(by: string, { what, label: of, until }: Order, commit: string, reason: string): Promise<Given> {
    const about = what === 'pause' ? { until, label: of } : what === 'resume' ? { label: of } : { commit };
    const response = await fetch(`${server.url}/api/rollout/${what}`, {
      method: 'POST',
      headers: { authorization: `Bearer ${tokens.get(by)}`, 'content-type': 'application/json' },
      body: JSON.stringify({ reason, ...about }),
    });
    const text = await response.text();
    // A clear answer, whoever was first.
    expect([200, 409], `${what} ${of ?? ''}: ${text}`).toContain(response.status);
    const answer = JSON.parse(text) as { outcome?: 'done' | 'repeated'; message?: string; error?: { code: string; message: string } };
    expect((answer.message ?? answer.error?.message ?? '').length).toBeGreaterThan(10);
    return { what, label: of, until, by, reason, result: answer.outcome ?? `refused ${answer.error?.code ?? ''}` };
  }

  async function read<S extends v.GenericSchema>(path: string, schema: S): Promise<v.InferOutput<S>> {
    return v.parse(schema, JSON.parse((await server.ask('GET', path)).text));
  }

  test('each gets an answer as if one came after the other, and the log has what counted, once', async () => {
    let round = 0;
    await fc.assert(
      fc.asyncProperty(orders, orders, async (mine, yours) => {
        round += 1;
        await server.ask('POST', 'rollout/resume', { reason: 'the next round' });
        for (const of of LABELS) await server.ask('POST', 'rollout/resume', { reason: 'the next round', label: of });
        await publishCommit(server, { desk: system(`d${round}`) });
        // The train may have it wait for the one before.
        const { sha } = await eventually('a rollout goes on', async () => {
          const followed = await read('rollout', RevisionView);
          return followed.rollout !== null && !isEndedRollout(followed.rollout.state) ? followed : undefined;
        });
        const person = async (by: string, wanted: readonly Order[]): Promise<Given[]> => {
          const given: Given[] = [];
          for (const [index, order] of wanted.entries()) given.push(await give(by, order, sha, `${by} ${round} ${index}`));
          return given;
        };
        const [one, other] = await Promise.all([person('ada', mine), person('grace', yours)]);
        const all = [...one, ...other];

        const { repository } = await read('fleet', FleetView);
        const { freeze, stops } = repository;
        const end: Pauses = {
          all: freeze === null ? '' : named(freeze),
          labels: Object.fromEntries(stops.map((stop) => [stop.label, named(stop)])),
        };
        expect(isSerial(one, other, end), JSON.stringify({ one, other, end })).toBe(true);
        const { rollout } = await read(`revisions/${sha}`, RevisionView);
        if (rollout === null) throw new Error('there is no rollout');
        // One that the next has taken the place of is told as it was then.
        if (rollout.frozenAt === null) {
          // The page says the same of who paused, until when, and why, beside the rings.
          expect({ freeze: rollout.freeze, stops: rollout.stops }).toEqual({ freeze, stops });
          const reasons = (of: readonly { readonly reason: string }[]): string[] => of.map(({ reason }) => reason).toSorted();
          for (const what of ['abort', 'hotfix'] as const) {
            const stored = rollout.orders.filter(({ kind, reason }) => kind === what && all.some((each) => each.reason === reason));
            // Of two who ask in the same moment the later one's is shown; the log has both.
            const done = reasons(all.filter((each) => each.what === what && each.result === 'done'));
            expect(done).toEqual(expect.arrayContaining(reasons(stored)));
            expect(stored.length > 0).toBe(done.length > 0);
          }
        }

        const log = await read('audit?limit=100', v.array(v.object({ actor: v.string(), action: v.string(), detail: v.nullable(v.string()) })));
        for (const { by, what, reason, result } of all) {
          const entries = log.filter(({ actor, detail }) => actor !== 'floe' && detail?.endsWith(reason) === true);
          expect(
            entries.map(({ actor, action }) => `${actor} ${action}`),
            `${what} of ${by}: ${result}`,
          ).toEqual(result === 'done' ? [`${by} ${what}-rollout`] : []);
        }
        const decisions = log.filter(({ actor }) => actor !== 'floe').toReversed();
        expect(pausesOf(decisions, all)).toEqual(sorted(end));
      }),
      { numRuns: RUNS },
    );
  });

  test.each([undefined, 'role=dns'] as const)('of two who end the same pause in one moment, one ended it (label: %s)', async (of) => {
    await publishCommit(server, { desk: system('ends') });
    for (let turn = 0; turn < 10; turn += 1) {
      await give('ada', { what: 'pause', label: of }, '', `paused ${turn}`);
      const given = await Promise.all(
        PEOPLE.map(async (by) => await give(by, { what: 'resume', label: of }, '', `${by} ends ${of ?? 'all'} ${turn}`)),
      );
      expect(given.filter(({ result }) => result === 'done')).toHaveLength(1);
    }
  });
});
