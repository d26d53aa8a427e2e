import type { HostName } from '@floe/model';
import { sealDirectives, type SealedDirective } from '@floe/protocol';
import { sha256 } from '@floe/runtime';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  directiveContext,
  directiveOf,
  journalWith,
  newAuthorities,
  NOW,
  REF,
  REPOSITORY,
  sealDirective,
  sealInTree,
  storePath,
  type SealOptions,
} from '../test/fixtures.ts';
import { judgeDirective, type DirectiveContext, type DirectiveJudgement } from './judge-directive.ts';

const keys = newAuthorities();
const stranger = newAuthorities();

/** What may be right or wrong about a directive. */
const options: fc.Arbitrary<SealOptions> = fc.record(
  {
    directive: fc.record(
      {
        host: fc.constantFrom('bob' as HostName),
        machineId: fc.constantFrom('b'.repeat(32)),
        nonce: fc.constantFrom('nonce-of-another-connection'),
        epoch: fc.constantFrom(2, 3, 4, 2_000_000),
        expiresAt: fc.constantFrom(NOW, NOW + 3600_000),
      },
      { requiredKeys: [] },
    ),
    release: fc.record(
      { host: fc.constantFrom('bob' as HostName), sequence: fc.constantFrom(6, 7, 8), ref: fc.constantFrom(REF, 'refs/heads/other') },
      { requiredKeys: [] },
    ),
    freshness: fc.record({ ref: fc.constantFrom(REF, 'refs/heads/other') }, { requiredKeys: [] }),
    signers: fc.constantFrom({}, { release: stranger.release }, { server: stranger.server }),
  },
  { requiredKeys: [] },
);
const journal = fc.constantFrom(
  journalWith(),
  journalWith({ epoch: 3, sequences: [{ repository: REPOSITORY, ref: REF, sequence: 7 }] }),
  journalWith({ quarantined: [storePath('new')] }),
);

/** Without what was signed, which is another text. */
function judged(envelope: SealedDirective, context: DirectiveContext): DirectiveJudgement {
  const judgement = judgeDirective(envelope, context);
  return judgement.kind === 'accepted' ? { ...judgement, directive: { ...judgement.directive, envelope: '' } } : judgement;
}

test('a directive of a tree is judged as the same one alone, whatever is right or wrong with it', () => {
  const kinds = new Set<string>();
  fc.assert(
    fc.property(fc.oneof(fc.constant({}), options), journal, fc.integer({ min: 1, max: 9 }), fc.nat(), (each, before, neighbours, at) => {
      const context = directiveContext(keys, { journal: before, ref: REF });
      const judgement = judged(sealInTree(keys, each, neighbours, at % (neighbours + 1)), context);
      expect(judgement).toEqual(judged(sealDirective(keys, each), context));
      kinds.add(judgement.kind === 'refused' ? judgement.detail.code : judgement.kind);
    }),
    {
      numRuns: 300,
      examples: [
        [{}, journalWith(), 2, 1],
        [{}, journalWith({ epoch: 3, sequences: [{ repository: REPOSITORY, ref: REF, sequence: 7 }] }), 2, 1],
        [{ signers: { server: stranger.server } }, journalWith(), 2, 1],
        [{ directive: { host: 'bob' as HostName } }, journalWith(), 2, 1],
        [{ directive: { nonce: 'nonce-of-another-connection' } }, journalWith(), 2, 1],
      ],
    },
  );
  expect([...kinds]).toEqual(expect.arrayContaining(['accepted', 'known', 'DIRECTIVE_SIGNATURE_WRONG', 'WRONG_HOST', 'DIRECTIVE_REPLAYED']));
});

test('what a neighbour was told is refused, and the proof of what was accepted is kept as it came', () => {
  const tree = sealDirectives(
    keys.server,
    [{ host: 'bob' as HostName }, {}].map((directive) => JSON.stringify(directiveOf(keys, { directive }))),
    sha256,
  );
  const [ofBob, own] = tree;
  if (ofBob === undefined || own === undefined) throw new Error('the tree is smaller');
  expect(judgeDirective(ofBob, directiveContext(keys))).toMatchObject({ kind: 'refused', detail: { code: 'WRONG_HOST' } });
  const judgement = judgeDirective(own, directiveContext(keys));
  expect(judgement.kind === 'accepted' && JSON.parse(judgement.directive.envelope)).toEqual(own);
});
