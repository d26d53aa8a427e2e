import type { TreeReport } from '@floe/git';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { PipelineDeps } from '../deps.ts';
import { explainOpaque } from './opaque-files.ts';

const revision = { sha: '1'.repeat(40) } as Parameters<typeof explainOpaque>[1];

async function explained(paths: readonly string[], error: string): Promise<string> {
  const report: TreeReport = {
    problem: undefined,
    opaque: paths.map((path) => ({ path, kind: 'lfs' })),
    isComplete: true,
    submodules: [],
  };
  const deps = { mirror: { inspect: async () => await Promise.resolve(report) } } as unknown as PipelineDeps;
  return await explainOpaque(deps, revision, error);
}

describe('an error', () => {
  it.each([["opening file '/nix/store/x-source/e': wrong"], ['cannot read "e"'], ['in e: wrong'], ['wrong at e.'], ['e']])(
    'that names an LFS pointer is explained: %s',
    async (error) => {
      expect(await explained(['e'], error)).toMatch(/^e is a pointer/);
      expect(await explained(['e'], error)).toContain(error);
    },
  );

  it('that only contains the letters of its name is not changed', async () => {
    const word = fc
      .string({ unit: fc.constantFrom('e', 'a', 'é', '1', '-', '_', '.'), minLength: 2, maxLength: 12 })
      .filter((text) => !/(^|[^\p{L}\p{N}._+-])e\.?$/u.test(text));
    await fc.assert(
      fc.asyncProperty(fc.array(word, { maxLength: 30 }), async (words) => {
        const error = words.join(' ');
        expect(await explained(['e'], error)).toBe(error);
      }),
    );
  });
});
