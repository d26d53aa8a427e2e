import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { newHost, WORLDS, type World } from './test/test-store.ts';

// The address of the repository moves. A database of its own: what moves is the one fleet of it.

describe.each(WORLDS)('on $name', ({ open }) => {
  let world: World;
  beforeAll(async () => void (world = await open()));
  afterAll(async () => await world[Symbol.asyncDispose]());

  const step = fc.record({
    url: fc.constantFrom('https://one.example/fleet', 'https://two.example/fleet', 'https://three.example/fleet'),
    branch: fc.constantFrom('main', 'trunk', ''),
    enrols: fc.boolean(),
    finds: fc.boolean(),
    fetches: fc.boolean(),
  });

  test('whatever address and branch the settings name one after another, all hosts that were enrolled are there', async () => {
    const { store } = world;
    const enrolled = new Set<string>();
    let now = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 8 }), async (steps) => {
        for (const { url, branch, enrols, finds, fetches } of steps) {
          now += 1;
          const { repositories, hosts } = store;
          await repositories.moveAddress(url);
          expect(await repositories.moveAddress(url)).toBeUndefined();
          const row = branch === '' ? await repositories.ensureDefault({ url, now }) : await repositories.ensure({ url, branch, now });
          expect(await repositories.get(row.id)).toMatchObject({ url, branch: row.branch });
          if (branch !== '') expect(row.branch).toBe(branch);
          expect(new Set((await hosts.list(row.id)).map(({ host }) => host))).toEqual(enrolled);
          // The server's HEAD names a branch, which a row that was followed before may have.
          if (finds && row.branch === '') expect(await repositories.nameBranch(row.id, 'main')).toBe(true);
          const named = await repositories.get(row.id);
          if (row.branch === '') expect(named.branch).toBe(finds ? 'main' : '');
          if (fetches && named.branch !== '') await repositories.recordFetch(row.id, { now });
          if (!enrols) continue;
          const host = newHost();
          await hosts.enrol({ host, repositoryId: row.id, machineId: 'm', publicKey: 'k', at: now });
          enrolled.add(host);
        }
      }),
      { numRuns: fc.readConfigureGlobal().numRuns ?? 60 },
    );
  });
});
