import type { CommitSha } from '@floe/model';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { compareHistory, type AncestryCommit } from './ancestry.ts';

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

describe('compareHistory', () => {
  it('counts the commits of a straight line and reads no further than needed', async () => {
    const graph = graphOf(Array.from({ length: 1000 }, (_, index) => (index === 0 ? [] : [index - 1])));
    const reads: CommitSha[] = [];
    expect(await compareHistory(name(990), name(999), reader(graph, reads))).toEqual({ isFastForward: true, count: 9 });
    expect(reads.length).toBeLessThan(15);
  });

  it('agrees with the plain definition on any history', async () => {
    await fc.assert(
      fc.asyncProperty(parentLists, fc.nat(), fc.nat(), async (parents, a, b) => {
        const graph = graphOf(parents);
        const [from, to] = [name(a % parents.length), name(b % parents.length)];
        const old = historyOf(graph, from);
        const all = historyOf(graph, to);
        const result = await compareHistory(from, to, reader(graph));
        expect(result.isFastForward).toBe(all.has(from));
        expect(result.count).toBe([...all].filter((sha) => !old.has(sha)).length);
      }),
    );
  });

  it('tells a fast-forward exactly whatever the clocks say', async () => {
    await fc.assert(
      fc.asyncProperty(parentLists, fc.nat(), fc.nat(), fc.infiniteStream(fc.nat(9)), async (parents, a, b, clock) => {
        const graph = graphOf(
          parents,
          parents.map(() => clock.next().value),
        );
        const [from, to] = [name(a % parents.length), name(b % parents.length)];
        const result = await compareHistory(from, to, reader(graph));
        expect(result.isFastForward).toBe(historyOf(graph, to).has(from));
      }),
    );
  });

  it('counts the whole history without a start', async () => {
    const graph = graphOf([[], [0], [0], [1, 2]]);
    expect(await compareHistory(undefined, name(3), reader(graph))).toEqual({ isFastForward: true, count: 4 });
  });
});
