import type { CommitSha } from '@floe/model';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isFastForward, newCommits, type AncestryCommit } from './ancestry.ts';

type Graph = ReadonlyMap<CommitSha, AncestryCommit>;

function name(index: number): CommitSha {
  return index.toString(16).padStart(40, '0') as CommitSha;
}

/** Commit i has the given parents, all of them earlier. */
function graphOf(parents: readonly (readonly number[])[], dates?: readonly number[]): Graph {
  return new Map(parents.map((of, index) => [name(index), { parents: of.map(name), committedAt: dates?.[index] ?? index }]));
}

function reader(graph: Graph, reads: CommitSha[] = []): (sha: CommitSha) => Promise<AncestryCommit> {
  return async (sha) => {
    reads.push(sha);
    const commit = graph.get(sha);
    if (!commit) throw new Error(`no commit ${sha}`);
    return commit;
  };
}

function historyOf(graph: Graph, sha: CommitSha, found = new Set<CommitSha>()): Set<CommitSha> {
  if (found.has(sha)) return found;
  found.add(sha);
  for (const parent of graph.get(sha)?.parents ?? []) historyOf(graph, parent, found);
  return found;
}

const parentLists = fc
  .array(fc.array(fc.nat(), { maxLength: 3 }), { minLength: 1, maxLength: 25 })
  .map((lists) => lists.map((list, index) => (index === 0 ? [] : [...new Set(list.map((value) => value % index))])));

describe('isFastForward', () => {
  it('reads no further than needed in a straight line, either way', async () => {
    const graph = graphOf(Array.from({ length: 1000 }, (_, index) => (index === 0 ? [] : [index - 1])));
    for (const [from, to] of [
      [990, 999],
      [999, 990],
    ] as const) {
      const reads: CommitSha[] = [];
      expect(await isFastForward(name(from), name(to), reader(graph, reads))).toBe(from < to);
      expect(reads.length).toBeLessThan(15);
    }
  });

  it('agrees with the plain definition on any history, whatever the clocks say', async () => {
    await fc.assert(
      fc.asyncProperty(parentLists, fc.nat(), fc.nat(), fc.infiniteStream(fc.nat(9)), fc.boolean(), async (parents, a, b, clock, isRight) => {
        const dates = isRight ? undefined : parents.map(() => clock.next().value);
        const graph = graphOf(parents, dates);
        const [from, to] = [name(a % parents.length), name(b % parents.length)];
        expect(await isFastForward(from, to, reader(graph))).toBe(historyOf(graph, to).has(from));
      }),
    );
  });

  it('does not say more than it knows when the histories are long', async () => {
    const parents = Array.from({ length: 1000 }, (_, index) => (index < 2 ? [] : [index - 2]));
    const reads: CommitSha[] = [];
    expect(await isFastForward(name(998), name(999), reader(graphOf(parents), reads), 100)).toBe('unknown');
    expect(reads.length).toBeLessThan(110);
    expect(await isFastForward(name(998), name(999), reader(graphOf(parents)))).toBe(false);
  });

  it('is not held up by a history that is as wide as it may be, with clocks at random', async () => {
    const width = 60_000;
    const merge = Array.from({ length: width }, (_, index) => index + 1);
    const dates = [0, ...merge.map((index) => (index * 7919) % width), width];
    const graph = graphOf([[], ...merge.map(() => [0]), merge], dates);
    const startedAt = performance.now();
    expect(await isFastForward(name(0), name(width + 1), reader(graph))).toBe(true);
    expect(performance.now() - startedAt).toBeLessThan(20_000);
  });
});

describe('newCommits', () => {
  it('are those that the other history has not, in any history', async () => {
    await fc.assert(
      fc.asyncProperty(parentLists, fc.nat(), fc.nat(), fc.infiniteStream(fc.nat(9)), fc.boolean(), async (parents, a, b, clock, isRight) => {
        const graph = graphOf(parents, isRight ? undefined : parents.map(() => clock.next().value));
        const [from, to] = [name(a % parents.length), name(b % parents.length)];
        const found = await newCommits(from, to, reader(graph));
        if (found === 'unknown') throw new Error('they are few');
        const known = historyOf(graph, from);
        const expected = [...historyOf(graph, to)].filter((sha) => !known.has(sha));
        // With clocks that are wrong, old ones may be among them.
        if (isRight) expect([...found].toSorted()).toEqual(expected.toSorted());
        else expect(found).toEqual(expect.arrayContaining(expected));
      }),
    );
  });

  it('does not say which when there are too many', async () => {
    const parents = Array.from({ length: 1000 }, (_, index) => (index < 2 ? [] : [index - 2]));
    expect(await newCommits(name(998), name(999), reader(graphOf(parents)), 100)).toBe('unknown');
  });
});
