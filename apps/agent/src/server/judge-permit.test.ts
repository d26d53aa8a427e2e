import { decide, type AgentJournal, type HostName } from '@floe/model';

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { judgeDirective, type DirectiveJudgement } from './judge-directive.ts';
import {
  directiveContext,
  directiveWith,
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
  storePath,
  type SealOptions,
} from '../test/fixtures.ts';

const keys = newAuthorities();
const stranger = newSigner('stranger');
/** The release has sequence 7. */
const accepted9 = journalWith({ epoch: 2, sequences: [{ repository: REPOSITORY, ref: REF, sequence: 9 }] });

function judge(options: SealOptions, journal: AgentJournal = accepted9, nonce = NONCE): DirectiveJudgement {
  return judgeDirective(sealDirective(keys, options), directiveContext(keys, { repository: REPOSITORY, nonce, serverNow: NOW, journal }));
}

function codeOf(judgement: DirectiveJudgement): string {
  return judgement.kind === 'refused' ? judgement.detail.code : judgement.kind;
}

/** What the agent remembers after the directive. */
function taking(options: SealOptions, journal: AgentJournal = accepted9): AgentJournal {
  const judgement = judge(options, journal);
  if (judgement.kind !== 'accepted') return journal;
  return decide(journal, { type: 'offered', ...judgement }, NOW).journal;
}

describe('a release below what was accepted', () => {
  test('is taken with a permit, and what was accepted stays the floor', () => {
    expect(codeOf(judge({}))).toBe('SEQUENCE_LOWER');
    expect(judge({ permit: {} })).toMatchObject({ kind: 'accepted', floor: 9, directive: { release: { sequence: 7 } } });
    const after = taking({ permit: {} });
    expect(after).toMatchObject({ state: 'OFFERED', sequences: [{ sequence: 9 }], directive: { release: { sequence: 7 } } });
    expect(codeOf(judge({ directive: { epoch: 4 }, release: { sequence: 8 } }, after))).toBe('SEQUENCE_LOWER');
    expect(codeOf(judge({ directive: { epoch: 4 }, release: { sequence: 9 } }, after))).toBe('accepted');
  });

  test('tells a machine that lost its journal what it had accepted', () => {
    const lost = journalWith();
    const after = taking({ permit: {} }, lost);
    expect(after).toMatchObject({ state: 'OFFERED', sequences: [{ sequence: 9 }], directive: { release: { sequence: 7 } } });
    expect(codeOf(judge({ directive: { epoch: 4 }, release: { sequence: 8 } }, after))).toBe('SEQUENCE_LOWER');
    // One that is not for this machine proves nothing, so that nothing is taken by it.
    expect(codeOf(judge({ permit: { machineId: 'b'.repeat(32) } }, lost))).toBe('PERMIT_WRONG_MACHINE');
    expect(codeOf(judge({ permit: {}, permitBy: stranger }, lost))).toBe('PERMIT_KEY_UNKNOWN');
    expect(taking({}, lost)).toMatchObject({ sequences: [{ sequence: 7 }] });
  });

  test.each<[string, SealOptions, string]>([
    ['of another host', { permit: { host: 'bob' as HostName } }, 'PERMIT_WRONG_HOST'],
    ['of another machine of this name', { permit: { machineId: 'b'.repeat(32) } }, 'PERMIT_WRONG_MACHINE'],
    ['of another connection', { permit: { nonce: 'another-connection' } }, 'PERMIT_REPLAYED'],
    ['for another sequence', { permit: { sequence: 6 } }, 'PERMIT_WRONG_RELEASE'],
    ['for another system', { permit: { toplevel: storePath('old') } }, 'PERMIT_WRONG_RELEASE'],
    ['of another repository', { permit: { repository: 'https://git.example/other' } }, 'PERMIT_WRONG_RELEASE'],
    ['of another branch', { permit: { ref: 'refs/heads/other' } }, 'PERMIT_WRONG_RELEASE'],
    ['that expired', { permit: { expiresAt: NOW } }, 'PERMIT_EXPIRED'],
    ['that expired by what the release key dated', { permit: { expiresAt: NOW + 5 }, freshness: { asOf: NOW + 6 } }, 'PERMIT_EXPIRED'],
    ['from before it accepted what it runs', { permit: { floor: 8 } }, 'PERMIT_OUTDATED'],
    ['by the server key', { permit: {}, permitBy: keys.server }, 'PERMIT_KEY_UNKNOWN'],
    ['by a stranger', { permit: {}, permitBy: stranger }, 'PERMIT_KEY_UNKNOWN'],
    ['by a stranger with the name of the release key', { permit: {}, permitBy: newSigner(keys.release.keyId) }, 'PERMIT_SIGNATURE_WRONG'],
  ])('is not taken with a permit %s', (_what, options, code) => {
    expect(codeOf(judge(options))).toBe(code);
    expect(taking(options)).toBe(accepted9);
  });

  test('no other statement passes as a permit', () => {
    const { release } = JSON.parse(Buffer.from(sealDirective(keys, {}).payload, 'base64').toString('utf8')) as { release: never };
    expect(codeOf(judge({ directive: { permit: release } }))).toBe('PERMIT_WRONG_TYPE');
  });

  test('that it has taken once takes it back no second time, in a directive of a later connection', () => {
    const forward = taking({ directive: { epoch: 4 }, release: { sequence: 9 } }, taking({ permit: {} }));
    expect(forward.epoch).toBe(4);
    const later = { epoch: 5, nonce: 'a-later-connection' };
    expect(codeOf(judge({ permit: {}, directive: later }, forward, later.nonce))).toBe('PERMIT_REPLAYED');
    expect(codeOf(judge({ permit: { nonce: later.nonce }, directive: later }, forward, later.nonce))).toBe('accepted');
  });

  test('that it has taken is known on the next connection, also when the permit has expired since', () => {
    const journal = taking({ permit: {} });
    expect(codeOf(judge({ permit: { expiresAt: NOW } }, journal))).toBe('known');
    expect(codeOf(judge({}, journal))).toBe('known');
    const next = 'the-next-connection';
    for (const permit of [{}, { nonce: next }]) expect(codeOf(judge({ permit, directive: { nonce: next } }, journal, next))).toBe('known');
    expect(codeOf(judge({ permit: {}, release: { toplevel: storePath('other') } }, journal))).toBe('EPOCH_REUSED');
  });

  test('waits for a verdict under way, with its floor', () => {
    const busy = journalWith({ ...accepted9, state: 'VERIFYING', directive: { ...directiveWith(storePath('bad')), epoch: 2 } });
    const after = taking({ permit: {} }, busy);
    expect(after).toMatchObject({ state: 'VERIFYING', sequences: [{ sequence: 9 }], pending: { release: { sequence: 7 } } });
  });
});

test('no permit but one for this machine, connection, release and floor, in its time, by the release key, moves an agent down', () => {
  // Often all but one are right: each is then what decides.
  const mostly = <T>(right: T, ...wrong: readonly T[]) => fc.constantFrom(right, right, right, right, ...wrong);
  const permits = fc.record(
    {
      host: mostly(HOST, 'bob' as HostName),
      machineId: mostly(MACHINE_ID, 'b'.repeat(32)),
      nonce: mostly(NONCE, 'another-connection'),
      repository: mostly(REPOSITORY, 'https://git.example/other'),
      ref: mostly(REF, 'refs/heads/other'),
      sequence: mostly(7, 6, 8, 9, 10),
      toplevel: mostly(storePath('new'), storePath('old')),
      floor: mostly(9, 6, 7, 8, 10),
      expiresAt: mostly(NOW + 1, NOW, NOW - 1),
    },
    { requiredKeys: [] },
  );
  fc.assert(
    fc.property(
      fc.option(permits, { nil: undefined }),
      mostly(keys.release, keys.server, stranger),
      mostly(7, 6, 8, 9, 10),
      mostly(9, 6, 7, 8, 10),
      (permit, permitBy, sequence, accepted) => {
        const journal = journalWith({ epoch: 2, sequences: [{ repository: REPOSITORY, ref: REF, sequence: accepted }] });
        const options: SealOptions = { release: { sequence }, permitBy, ...(permit === undefined ? {} : { permit: { sequence, ...permit } }) };
        const here = { host: HOST, machineId: MACHINE_ID, nonce: NONCE };
        const named = { ...here, repository: REPOSITORY, ref: REF, toplevel: storePath('new'), sequence, floor: 9, expiresAt: NOW + 1, ...permit };
        const isHere = named.host === HOST && named.machineId === MACHINE_ID && named.nonce === NONCE;
        const isFor = isHere && named.repository === REPOSITORY && named.ref === REF && named.toplevel === storePath('new');
        const isGood =
          permit !== undefined &&
          permitBy === keys.release &&
          isFor &&
          named.sequence === sequence &&
          named.floor >= accepted &&
          named.expiresAt > NOW;
        const after = taking(options, journal);
        expect(after !== journal).toBe(sequence >= accepted || isGood);
        expect(after.sequences[0]?.sequence).toBe(Math.max(accepted, after === journal ? 0 : sequence));
      },
    ),
    { numRuns: 500 },
  );
});
