import { AGENT_STATES, isLastWord, stateAfterTrial, wentAfterTrial, type HostName, type StorePath } from '@floe/model';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { commit, newRepository, path, presence, report, WORLDS, type World } from './test/test-store.ts';

// What a report ends, a go or a trial, is a rule of the model. The statement that stores reports does the same.

let world: World;
let query: NonNullable<World['query']>;
let repositoryId = '';
beforeAll(async () => {
  world = await WORLDS[1].open();
  query = world.query!;
  repositoryId = (await newRepository(world.store)).id;
});
afterAll(async () => await world[Symbol.asyncDispose]());

const TOPLEVELS = [path('x'), path('y')] as const;
const anyToplevel = fc.constantFrom<StorePath>(...TOPLEVELS);
const anyEpoch = fc.integer({ min: 1, max: 4 });
const anyCase = fc.record({
  epoch: fc.integer({ min: 3, max: 4 }),
  went: fc.option(fc.record({ toplevel: anyToplevel, epoch: anyEpoch })),
  trial: fc.option(fc.record({ toplevel: anyToplevel, epoch: fc.integer({ min: 1, max: 3 }), isOpen: fc.boolean() })),
  state: fc.constantFrom(...AGENT_STATES),
  toplevel: fc.option(anyToplevel),
  said: anyEpoch,
});

let cases = 0;
test('a report, and a hello after it, ends and says what the model says', { timeout: 120_000 }, async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(anyCase, { minLength: 20, maxLength: 40 }), async (given) => {
      const hosts = given.map((each) => ({ ...each, host: `ends-${(cases += 1)}` as HostName }));
      for (const { host, epoch, went, trial } of hosts) {
        await world.store.hosts.enrol({ host, repositoryId, machineId: host, publicKey: `key-${host}`, at: 1 });
        const place = went === null ? 'null, null, null' : `'${went.toplevel}', 9, ${went.epoch}`;
        await query(`update hosts set epoch = ${epoch}, (went_toplevel, went_until, went_epoch) = (${place}) where host = '${host}'`);
        if (trial === null) continue;
        const ended = trial.isOpen ? 'null' : '2';
        await query(
          `insert into trials (host, id, sequence, toplevel, "commit", envelope, "by", reason, at, ends_at, epoch, ended_at) values ('${host}', '${host}', 1, '${trial.toplevel}', '${commit('1')}', '{}', 'ada', 'why', 1, 2, ${trial.epoch}, ${ended})`,
        );
      }
      await world.store.reports.store(hosts.map(({ host, state, toplevel, said }) => report(host, 1, { state, toplevel, epoch: said })));
      for (const { host, epoch, went, trial, state, toplevel, said } of hosts) {
        const word = { state, subject: toplevel ?? undefined, epoch: said };
        const endsTrial = trial?.isOpen === true && isLastWord(trial, word);
        const left = wentAfterTrial(went === null ? undefined : { ...went, until: 9 }, word, { trial: trial ?? undefined, epoch });
        const row = await world.store.hosts.get(host);
        const counts = stateAfterTrial(word, { trial: trial ?? undefined, epoch });
        expect({ went: row?.went, epoch: row?.epoch, state: row?.state }).toEqual({
          went: left,
          epoch: endsTrial ? epoch + 1 : epoch,
          state: counts,
        });
        const [ended] = await query(`select ended_at is null as open from trials where host = '${host}'`);
        expect(ended?.['open']).toBe(trial === null ? undefined : trial.isOpen && !endsTrial);
        // Its agent is back, and says the same again.
        const again = presence({ sessionId: `server/${host}`, state, stateToplevel: toplevel ?? undefined, epoch: said, reportSeq: 1 });
        const after = { trial: trial === null ? undefined : { ...trial, isOpen: trial.isOpen && !endsTrial }, epoch: endsTrial ? epoch + 1 : epoch };
        expect((await world.store.hosts.connect(host, again)).state).toBe(stateAfterTrial(word, after));
      }
    }),
    { numRuns: 20 },
  );
});
