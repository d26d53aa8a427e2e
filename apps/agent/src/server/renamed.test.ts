import type { HostName } from '@floe/model';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { directiveContext, HOST, newAuthorities, sealDirective } from '../test/fixtures.ts';
import { isTrusted, judgeDirective } from './judge-directive.ts';

const keys = newAuthorities();
const NAMES = ['ada', 'bob', 'cleo'] as HostName[];
const name = fc.constantFrom(...NAMES);
const former = fc.option(name, { nil: undefined });

test('a machine takes the release of another name only where a signed word says that both are one machine: its release, or its own configuration', () => {
  const world = fc.record({
    own: name,
    ownFormer: former,
    addressed: name,
    released: name,
    releasedFormer: former,
    isThief: fc.boolean(),
    isReplayed: fc.boolean(),
  });
  let taken = 0;
  fc.assert(
    fc.property(world, ({ own, ownFormer, addressed, released, releasedFormer, isThief, isReplayed }) => {
      const release = { host: released, ...(releasedFormer === undefined ? {} : { formerHost: releasedFormer }) };
      // Who has only the server's key signs what the release key would have to.
      const signers = isThief ? { release: keys.server } : {};
      const envelope = sealDirective(keys, { directive: { host: addressed }, release, signers });
      const context = directiveContext(keys, { host: own, formerHost: ownFormer, ...(isReplayed ? { nonce: 'another-connection' } : {}) });
      const judged = judgeDirective(envelope, context);
      const isOne = released === own || releasedFormer === own || released === ownFormer;
      expect(judged.kind).toBe(addressed === own && isOne && !isThief && !isReplayed ? 'accepted' : 'refused');
      if (judged.kind === 'accepted') taken += 1;
    }),
    { numRuns: 500 },
  );
  // About 25 of 500.
  expect(taken).toBeGreaterThan(1);
});

test('a system of another name that does not say so is one that would refuse every directive: it is rolled back', () => {
  const judged = judgeDirective(sealDirective(keys, { release: { host: 'nova' as HostName } }), directiveContext(keys));
  expect(judged).toMatchObject({ kind: 'refused', detail: { code: 'RELEASE_WRONG_HOST' } });
  expect(isTrusted(judged)).toBe(false);
});

test('back in the system of the old name, it takes the release of the new one, and in the new one that of the old', () => {
  const nova = 'nova' as HostName;
  const ofNew = sealDirective(keys, { release: { host: nova, formerHost: HOST } });
  expect(judgeDirective(ofNew, directiveContext(keys))).toMatchObject({ kind: 'accepted' });
  const ofOld = sealDirective(keys, { directive: { host: nova }, release: { host: HOST } });
  expect(judgeDirective(ofOld, directiveContext(keys, { host: nova, formerHost: HOST }))).toMatchObject({ kind: 'accepted' });
});
