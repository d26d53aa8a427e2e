import { DIRECTIVE_MODES, type Directive, type Envelope, type StageHint } from '@floe/protocol';
import { generateKeyPem, signerFromPem } from '@floe/runtime';
import type { HostName } from '@floe/model';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  directiveContext,
  HOST,
  journalWith,
  MACHINE_ID,
  newAuthorities,
  newSigner,
  NONCE,
  NOW,
  REF,
  REPOSITORY,
  sealDirective,
  sealHint,
  storePath,
  SYSTEM,
  type SealOptions,
} from '../test/fixtures.ts';
import { judgeDirective, type DirectiveContext } from './judge-directive.ts';
import { judgeStage, type HintJudgement } from './judge-stage.ts';

const keys = newAuthorities();
function judge(envelope: Envelope, changes: Partial<DirectiveContext> = {}): HintJudgement {
  return judgeStage(envelope, directiveContext(keys, changes));
}

function codeOf(judgement: HintJudgement): string {
  return judgement.kind === 'refused' ? judgement.detail.code : judgement.kind;
}

const accepted = { repository: REPOSITORY, ref: REF, sequence: 7 };

test('a hint that is all right is followed, also at what was accepted before', () => {
  const judgement = judge(sealHint(keys, { hint: { spreadMs: 600_000 } }), { journal: journalWith({ sequences: [accepted] }) });
  expect(judgement).toEqual({
    kind: 'accepted',
    release: { ...accepted, commit: 'c'.repeat(40), toplevel: storePath('new'), closureSizeBytes: 10 },
    spreadMs: 600_000,
  });
});

const TRIED = { purpose: 'test', endsAt: NOW + 3600_000 } as const;

describe('a hint is not followed when', () => {
  const stranger = signerFromPem('server-1', generateKeyPem());
  test.each<[string, Envelope, Partial<DirectiveContext>, string]>([
    ['an unknown key signed it', sealHint(keys, { signers: { server: newSigner('stranger') } }), {}, 'HINT_KEY_UNKNOWN'],
    ['another key of that name signed it', sealHint(keys, { signers: { server: stranger } }), {}, 'HINT_SIGNATURE_WRONG'],
    ["the server signed the release in the builder's place", sealHint(keys, { signers: { release: keys.server } }), {}, 'RELEASE_KEY_UNKNOWN'],
    ['it is a directive', sealDirective(keys), {}, 'HINT_WRONG_TYPE'],
    ['it is for another host', sealHint(keys, { hint: { host: 'bob' as HostName } }), {}, 'WRONG_HOST'],
    ['its release is for another host', sealHint(keys, { release: { host: 'bob' as HostName } }), {}, 'RELEASE_WRONG_HOST'],
    ['it is for another machine', sealHint(keys, { hint: { machineId: 'b'.repeat(32) } }), {}, 'WRONG_MACHINE'],
    ['its release is for another architecture', sealHint(keys, { release: { system: 'aarch64-linux' } }), {}, 'RELEASE_WRONG_SYSTEM'],
    ['its release is of another repository', sealHint(keys), { repository: 'https://other.example/fleet' }, 'RELEASE_WRONG_REPOSITORY'],
    ['its release is of another branch', sealHint(keys, { release: { ref: 'refs/heads/testing/ada' } }), { ref: REF }, 'RELEASE_WRONG_REF'],
    ['its release is only to be tried', sealHint(keys, { release: TRIED }), { ref: REF }, 'RELEASE_IS_TRIAL'],
    [
      'its release is only to be tried, and of another branch',
      sealHint(keys, { release: { ...TRIED, ref: 'refs/heads/testing/ada' } }),
      { ref: REF },
      'RELEASE_IS_TRIAL',
    ],
    ['it was made for another connection', sealHint(keys), { nonce: 'another-connection' }, 'HINT_REPLAYED'],
    ['it expired', sealHint(keys, { hint: { expiresAt: NOW } }), {}, 'HINT_EXPIRED'],
    ['its release expired', sealHint(keys, { release: { expiresAt: NOW } }), {}, 'RELEASE_EXPIRED'],
    [
      'its release expired by what the builder dated before',
      sealHint(keys, { release: { expiresAt: NOW + 5_000 } }),
      { journal: journalWith({ freshness: { ...accepted, asOf: NOW + 6_000 } }) },
      'RELEASE_EXPIRED',
    ],
    [
      'its sequence is lower than one accepted',
      sealHint(keys, { release: { sequence: 6 } }),
      { journal: journalWith({ sequences: [accepted] }) },
      'SEQUENCE_LOWER',
    ],
    ['its system was rolled back here', sealHint(keys), { journal: journalWith({ quarantined: [storePath('new')] }) }, 'QUARANTINED'],
  ])('%s', (_what, envelope, context, code) => {
    expect(codeOf(judge(envelope, context))).toBe(code);
  });
});

test('whatever a release, a journal and a clock say, a hint reaches no system that a new directive would not', () => {
  const sometimes = <T>(usual: T, other: fc.Arbitrary<T>): fc.Arbitrary<T> =>
    fc.oneof({ weight: 4, arbitrary: fc.constant(usual) }, { weight: 1, arbitrary: other });
  const worlds = fc.record({
    host: sometimes(HOST, fc.constant('bob' as HostName)),
    machineId: sometimes(MACHINE_ID, fc.constant('b'.repeat(32))),
    nonce: sometimes(NONCE, fc.string()),
    expiresAt: sometimes(NOW + 3600_000, fc.integer({ min: NOW - 5_000, max: NOW + 5_000 })),
    release: fc.record({
      host: sometimes(HOST, fc.constant('bob' as HostName)),
      system: sometimes(SYSTEM, fc.constant('aarch64-linux')),
      repository: sometimes(REPOSITORY, fc.constant('https://other.example/fleet')),
      sequence: fc.integer({ min: 5, max: 9 }),
      toplevel: fc.constantFrom(storePath('new'), storePath('newer')),
      expiresAt: sometimes(NOW + 3600_000, fc.integer({ min: NOW - 5_000, max: NOW + 5_000 })),
    }),
    signer: sometimes(keys.server, fc.constant(keys.release)),
    journal: fc.record({
      sequence: fc.integer({ min: 5, max: 9 }),
      quarantined: fc.subarray([storePath('new'), storePath('newer')]),
      asOf: fc.integer({ min: NOW - 9_000, max: NOW + 9_000 }),
    }),
    mode: fc.constantFrom(...DIRECTIVE_MODES),
  });
  let followed = 0;
  fc.assert(
    fc.property(worlds, ({ host, machineId, nonce, expiresAt, release, signer, journal, mode }) => {
      const known = { ...accepted, sequence: journal.sequence };
      const context = {
        repository: REPOSITORY,
        journal: journalWith({ sequences: [known], quarantined: journal.quarantined, freshness: { ...known, asOf: journal.asOf } }),
      };
      const said = { host, machineId, nonce, expiresAt } satisfies Partial<Directive & StageHint>;
      const ofHint = judge(sealHint(keys, { hint: said, release, signers: { server: signer } }), context);
      const order: SealOptions = { directive: { ...said, mode }, release, signers: { server: signer } };
      const ofDirective = judgeDirective(sealDirective(keys, order), directiveContext(keys, context));
      expect(ofHint.kind).toBe(ofDirective.kind);
      if (ofHint.kind === 'accepted') followed += 1;
    }),
    { numRuns: 500 },
  );
  // About 25 of 500.
  expect(followed).toBeGreaterThan(0);
});
