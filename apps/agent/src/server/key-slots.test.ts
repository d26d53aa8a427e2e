import fc from 'fast-check';
import { expect, test } from 'vitest';
import { directiveContext, journalWith, newAuthorities, REF, REPOSITORY, sealDirective, sealHint } from '../test/fixtures.ts';
import { isTrusted, judgeDirective } from './judge-directive.ts';
import { judgeStage } from './judge-stage.ts';

// The slots of keys that a system pins during a rotation, and all that is signed, by whichever key.

const [former, current, next, thief] = [newAuthorities(), newAuthorities(), newAuthorities(), newAuthorities()];
const signers = [former, current, next, thief];
/** What a system pins: before the rotation, during it, after it. */
const Slots = fc.constantFrom([former], [former, current], [current, former], [current], [current, next], [next]);
const Signer = fc.constantFrom(...signers);
const Sequence = fc.integer({ min: 1, max: 12 });

const Case = fc.record({
  releaseSlots: Slots,
  serverSlots: Slots,
  releaseBy: Signer,
  serverBy: Signer,
  sequence: Sequence,
  rejectBefore: fc.oneof(fc.constant(0), Sequence),
  accepted: fc.integer({ min: 0, max: 12 }),
  freshness: fc.boolean(),
  permit: fc.option(fc.record({ by: Signer, floor: Sequence }), { nil: undefined }),
  purpose: fc.constantFrom(undefined, 'test' as const, 'submitted' as const),
});

test('whatever is in the slots, each kind of statement counts only by a key of its own slots, and nothing below rejectBefore', () => {
  let taken = 0;
  fc.assert(
    fc.property(Case, (each) => {
      const { releaseSlots, serverSlots, releaseBy, serverBy, sequence, rejectBefore, accepted, purpose } = each;
      const context = directiveContext(former, {
        releaseKeys: releaseSlots.map(({ release }) => release),
        serverKeys: serverSlots.map(({ server }) => server),
        rejectBefore,
        trials: 'allowed',
        journal: journalWith(accepted === 0 ? {} : { sequences: [{ repository: REPOSITORY, ref: REF, sequence: accepted }] }),
      });
      const signed = { release: releaseBy.release, server: serverBy.server };
      const release = {
        sequence,
        ...(purpose === undefined ? {} : { purpose }),
        ...(purpose === 'test' ? { endsAt: context.serverNow + 3_600_000 } : {}),
      };
      const judged = judgeDirective(
        sealDirective(former, {
          signers: signed,
          release,
          ...(each.freshness ? { freshness: { sequence } } : {}),
          ...(each.permit === undefined ? {} : { permit: { sequence, floor: each.permit.floor }, permitBy: each.permit.by.release }),
        }),
        context,
      );
      const isSigned = releaseSlots.includes(releaseBy) && serverSlots.includes(serverBy);
      const isNewEnough = sequence >= rejectBefore;
      if (judged.kind === 'accepted') {
        taken += 1;
        expect(isSigned).toBe(true);
        expect(isNewEnough).toBe(true);
        // Below what was accepted, only a key of the release slots permits it.
        if (judged.directive.trial === null && judged.floor !== undefined)
          expect(each.permit !== undefined && releaseSlots.includes(each.permit.by)).toBe(true);
      }
      if (!isSigned || !isNewEnough) {
        expect(judged.kind).toBe('refused');
        // A system that pins this would never be told anything again: it is rolled back.
        expect(isTrusted(judged)).toBe(false);
      }
      const hinted = judgeStage(sealHint(former, { signers: signed, release }), context);
      if (hinted.kind !== 'refused') expect(isSigned && isNewEnough).toBe(true);
      // What is all right is taken, so that a rotation strands nobody.
      if (isSigned && isNewEnough && purpose === undefined && sequence >= accepted && each.permit === undefined) expect(judged.kind).toBe('accepted');
    }),
    { numRuns: Number(process.env['FLOE_FUZZ_RUNS'] ?? 1_000) },
  );
  expect(taken).toBeGreaterThan(0);
});

test('a rotation strands no machine that follows it, and the former key is worth nothing after its last step', () => {
  fc.assert(
    fc.property(fc.array(fc.boolean(), { minLength: 4, maxLength: 30 }), (isAwake) => {
      // Each commit: by which key it is signed, and what the system in it pins.
      const steps = isAwake.map((_, index) => {
        const third = Math.floor((3 * index) / isAwake.length);
        const pins = [[former], [former, current], [current]][third] ?? [current];
        return {
          sequence: index + 1,
          pins,
          signer: third === 2 ? current : former,
          rejectBefore: third === 2 ? Math.ceil((2 * isAwake.length) / 3) + 1 : 0,
        };
      });
      let pinned = { keys: [former], rejectBefore: 0 };
      let wasBehind = false;
      for (const [index, { sequence, pins, signer, rejectBefore }] of steps.entries()) {
        if (isAwake[index] !== true) continue;
        const context = directiveContext(former, { releaseKeys: pinned.keys.map(({ release }) => release), rejectBefore: pinned.rejectBefore });
        const judged = judgeDirective(sealDirective(former, { signers: { release: signer.release }, release: { sequence } }), context);
        // Who missed the whole time of both keys is told by hand: it takes nothing, rather than anything.
        const isLost = !pinned.keys.includes(signer);
        expect(judged.kind).toBe(isLost ? 'refused' : 'accepted');
        wasBehind ||= isLost;
        if (!isLost) pinned = { keys: pins, rejectBefore };
      }
      if (wasBehind || pinned.keys.includes(former)) return;
      const context = directiveContext(former, { releaseKeys: pinned.keys.map(({ release }) => release), rejectBefore: pinned.rejectBefore });
      for (const { sequence } of steps)
        expect(judgeDirective(sealDirective(former, { release: { sequence } }), context)).toMatchObject({ kind: 'refused' });
      // Nor does an old release of the current key, on a machine that forgot what it had accepted.
      const old = sealDirective(former, { signers: { release: current.release }, release: { sequence: 1 }, permit: { sequence: 1 } });
      expect(judgeDirective(old, context)).toMatchObject({ kind: 'refused', detail: { code: 'RELEASE_REJECTED_BEFORE' } });
    }),
    { numRuns: 300 },
  );
});
