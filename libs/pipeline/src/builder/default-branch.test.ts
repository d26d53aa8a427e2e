import { FloeError, silentLogger, systemClock } from '@floe/runtime';
import { expect, test } from 'vitest';
import { branchOf, otherDefault, type DefaultBranchDeps } from './default-branch.ts';

/** A repository whose branch is not known, and a server that answers in turn with a branch or an error. */
function waiting(answers: (string | FloeError)[]) {
  let row = { id: 'repository', url: 'https://forge.example/fleet.git', branch: '', ref: 'refs/heads/main', sequence: 7, hintCount: 0 };
  const problems: (string | undefined)[] = [];
  let asked = 0;
  let onHints: (hints: readonly { topic: 'repository'; id: string }[]) => void = () => undefined;
  const deps = {
    clock: systemClock,
    logger: silentLogger,
    random: () => 0,
    pollMs: 3_600_000,
    nameSettings: (message: string) => message.replaceAll('FLOE_X', 'x'),
    async find() {
      asked += 1;
      const answer = answers.shift();
      if (answer === undefined || typeof answer !== 'string') throw answer ?? new Error('asked too often');
      return await Promise.resolve(answer);
    },
    store: {
      hints: {
        async listen(told: typeof onHints) {
          onHints = told;
          return await Promise.resolve({ [Symbol.asyncDispose]: async () => await Promise.resolve() });
        },
      },
      repositories: {
        get: async () => await Promise.resolve(row),
        async nameBranch(_id: string, branch: string) {
          row = { ...row, branch };
          return await Promise.resolve(true);
        },
        async recordFetch(_id: string, { problem }: { problem?: { message: string } }) {
          problems.push(problem?.message);
          onHints([{ topic: 'repository', id: row.id }]);
          await Promise.resolve();
        },
      },
    },
  } as unknown as DefaultBranchDeps;
  return {
    problems,
    asked: () => asked,
    branch: async () => await branchOf(deps, row.id, AbortSignal.timeout(20_000)),
    wake() {
      row = { ...row, hintCount: row.hintCount + 1 };
      onHints([{ topic: 'repository', id: row.id }]);
    },
  };
}

test('an unknown branch is asked for once, and named', async () => {
  const world = waiting(['master']);
  expect(await world.branch()).toBe('master');
  expect(await world.branch()).toBe('master');
  expect(world.asked()).toBe(1);
});

test('a server that is away is asked again, with the problem shown', async () => {
  const world = waiting([new FloeError('REPOSITORY_UNREACHABLE', 'away: see FLOE_X', { retryable: true }), 'develop']);
  expect(await world.branch()).toBe('develop');
  expect(world.problems).toEqual(['away: see x']);
});

test('an empty repository is asked again when a push is told of, and not because of its own problem', async () => {
  const world = waiting([new FloeError('BRANCH_NOT_FOUND', 'empty'), 'main']);
  const found = world.branch();
  await expect.poll(() => world.problems).toEqual(['empty']);
  expect(world.asked()).toBe(1);
  world.wake();
  expect(await found).toBe('main');
});

test('another default branch is said, and the same is not', () => {
  expect(otherDefault('main', 'main')).toBeUndefined();
  expect(otherDefault('master', 'main')).toMatch(
    /is now main, and Floe goes on with master.*set FLOE_REPOSITORY_BRANCH to main to move there, with all hosts, or to master to stay/,
  );
});
