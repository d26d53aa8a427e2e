import {
  beginRollout,
  DEFAULT_POLICY,
  isEndedRollout,
  isRingPromoted,
  NOTHING_OBSERVED,
  ROLLOUT_STATES,
  type CommitSha,
  type ReleaseRef,
  type RolloutPolicy,
  type StorePath,
} from '@floe/model';
import { HostName, seal, wordText, type OperatorWord, type SignedWord } from '@floe/protocol';
import { generateKeyPem, signerFromPem } from '@floe/runtime';
import type { CurrentRollout, FleetHost, LostRollout, PolicedRollout, Release, Revision } from '@floe/store';
import * as v from 'valibot';
import { describe, expect, test } from 'vitest';
import type { Operators } from './way-back.ts';
import { FAKE_REPOSITORY, fakeApp, fakeTokenOf } from '../test/fake-app.ts';

const ada = v.parse(HostName, 'ada');
const toplevel = `/nix/store/${'a'.repeat(32)}-system` as StorePath;
const release = (sequence: number): ReleaseRef => ({ id: `release${sequence}`, host: ada, sequence, toplevel });

const signer = signerFromPem('release-1', generateKeyPem());
const ABOUT = {
  repository: FAKE_REPOSITORY.url,
  ref: FAKE_REPOSITORY.ref,
  host: ada,
  commit: 'c'.repeat(40) as CommitSha,
  toplevel,
  actor: 'ada',
};
const { actor: _actor, ...SAID } = ABOUT;
const STATED = { version: 1, ...SAID, narHash: 'sha256:0', closureSizeBytes: 1, system: 'x86_64-linux', issuedAt: 1, expiresAt: 2 } as const;

interface Given {
  readonly situation?: Partial<FleetHost['situation']>;
  readonly accepted?: number;
  /** Of the commit that is named. */
  readonly released?: ReleaseRef | undefined;
  readonly shas?: readonly string[];
  readonly rollout?: Partial<CurrentRollout>;
  /** Of the last complete rollout. */
  readonly before?: RolloutPolicy;
  readonly lost?: LostRollout;
  /** Of the commit that is named; undefined: it has none. */
  readonly named?: Partial<PolicedRollout> | undefined;
  /** Of the commit that is named. */
  readonly policy?: RolloutPolicy;
  readonly operators?: Operators | undefined;
  /** The cache has none of it. */
  readonly isGone?: boolean;
}

function withHost(given: Given = {}) {
  const { situation = {}, accepted = 3, shas = ['c'.repeat(40)] } = given;
  const released = 'released' in given ? given.released : release(3);
  const written: unknown[] = [];
  const each = {
    row: { host: ada, repositoryId: FAKE_REPOSITORY.id, publicKey: 'key', observed: NOTHING_OBSERVED, acceptedSequence: accepted, epoch: 1 },
    situation: { pin: undefined, hold: undefined, directed: release(3), ...situation },
  } as FleetHost;
  const app = fakeApp({
    keepInCache: async () => await Promise.resolve(given.isGone !== true),
    operators: given.operators,
    store: {
      hosts: {
        fleet: async (_repository, [name] = []) =>
          await Promise.resolve({ rollout: given.rollout as CurrentRollout | undefined, hosts: name === ada ? [each] : [] }),
        pin: async (pin) => (await Promise.resolve(written.push(pin))) > 0,
        unpin: async (_host, kind) => void (await Promise.resolve(written.push(`unpin ${kind}`))),
      },
      submissions: { cancel: async () => await Promise.resolve(false) },
      rollouts: {
        completeBefore: async () =>
          await Promise.resolve({ last: given.before && { revisionId: 'before', policy: given.before, known: [] }, lost: given.lost }),
        ofRevision: async () => await Promise.resolve(('named' in given ? given.named : given.rollout) as PolicedRollout | undefined),
      },
      revisions: {
        byShaPrefix: async () =>
          await Promise.resolve(shas.map((sha, index) => ({ id: String(index), sha, policy: given.policy ?? DEFAULT_POLICY }) as Revision)),
      },
      releases: {
        ofRevision: async () => await Promise.resolve(released),
        toOffer: async () =>
          await Promise.resolve({
            releases: [{ envelope: JSON.stringify(seal(signer, 'floe/release', { ...STATED, sequence: released?.sequence })) } as Release],
            freshness: undefined,
          }),
        // As it was released last: another one may have the same system.
        commitsOf: async (systems) =>
          await Promise.resolve(systems.map((system) => ({ ...system, commit: 'c'.repeat(40) as CommitSha, sequence: 5, subject: 'x' }))),
      },
    },
  });
  return { ...app, written };
}
const PIN = ['POST', '/api/hosts/ada/pin'] as const;
const reason = 'why';
const OPERATOR = { authorization: `Bearer ${fakeTokenOf('operator')}` };

describe('a pin', () => {
  test('is to the release of a commit, with who, why and until', async () => {
    const until = Date.now() + 60_000;
    const { ask, written, audit } = withHost({ released: release(5) });
    expect(await ask(...PIN, { reason, commit: 'ccccccc', until })).toMatchObject({
      status: 200,
      body: { outcome: 'done', message: expect.stringContaining('kept on its release of cccccccccc until') as string },
    });
    expect(written).toMatchObject([{ host: 'ada', kind: 'pin', releaseId: 'release5', by: 'ada', reason, expiresAt: until }]);
    expect(audit).toMatchObject([{ action: 'pin', subject: 'ada', detail: expect.stringContaining('why') as string }]);
  });

  test('without a commit, and a hold, are to what the host was last told', async () => {
    const { ask, written } = withHost();
    await ask(...PIN, { reason });
    await ask('POST', '/api/hosts/ada/hold', { reason });
    expect(written).toMatchObject([
      { kind: 'pin', releaseId: 'release3' },
      { kind: 'hold', releaseId: 'release3' },
    ]);
  });

  test.each([
    ['to a revision that has no release for the host', { released: undefined }, { commit: 'ccccccc' }, 409, 'NO_RELEASE'],
    ['to no revision', { shas: [] }, { commit: 'ccccccc' }, 404, 'REVISION_UNKNOWN'],
    ['to one of several', { shas: ['c'.repeat(40), `ccccccc${'d'.repeat(33)}`] }, { commit: 'ccccccc' }, 409, 'REVISION_AMBIGUOUS'],
    ['to what a host was told that was told nothing', { situation: { directed: undefined } }, {}, 409, 'NO_RELEASE'],
    ['until a time in the past', {}, { until: 1000 }, 400, 'UNTIL_PAST'],
    ['to a word', {}, { commit: 'HEAD' }, 400, 'REQUEST_INVALID'],
  ] as const)('%s is refused', async (_what, given, body, status, code) => {
    const { ask, written, audit } = withHost(given);
    expect(await ask(...PIN, { reason, ...body })).toMatchObject({ status, code });
    expect([written, audit]).toEqual([[], []]);
  });

  test('below what the host was told is made by an administrator alone, and is permitted', async () => {
    const given: Given = { accepted: 9, released: release(8), situation: { directed: release(9) } };
    const { ask, written, audit } = withHost(given);
    const answered = await ask(...PIN, { reason, commit: 'ccccccc' });
    expect(answered).toMatchObject({
      status: 200,
      body: { message: expect.stringMatching(/goes back there from revision #9, and stays when the pin ends/) as string },
    });
    expect(written).toMatchObject([{ releaseId: 'release8', isPermitted: true }]);
    expect(audit).toMatchObject([{ detail: expect.stringContaining('pin back to revision #8') as string }]);
    const operator = withHost(given);
    expect(await operator.ask(...PIN, { reason, commit: 'ccccccc' }, OPERATOR)).toMatchObject({
      status: 403,
      code: 'ROLE_TOO_LOW',
      message: expect.stringMatching(/only an administrator may bring it back to revision #8 .*revert the commit and push/) as string,
    });
    expect(operator.written).toEqual([]);
  });

  test('to what the host was told last needs no more than any pin, also when that is below what it was told once', async () => {
    const { ask, written } = withHost({ accepted: 9 });
    expect((await ask(...PIN, { reason }, OPERATOR)).status).toBe(200);
    expect((await ask(...PIN, { reason, commit: 'ccccccc' }, OPERATOR)).status).toBe(200);
    expect(written).toMatchObject([{ isPermitted: false }, { isPermitted: false }]);
  });

  describe('where operators have keys', () => {
    const given: Given = {
      accepted: 9,
      released: release(4),
      situation: { directed: release(9), stable: release(8) },
      operators: { judge: undefined },
    };
    const about = { ...ABOUT, sequence: 4, floor: 9 };
    const later = Date.now() + 3600_000;
    const word = (changes: Partial<OperatorWord> = {}): SignedWord => ({
      statement: wordText({ version: 1, ...about, reason, issuedAt: 1, until: later, nonce: 'n'.repeat(16), ...changes }),
      signature: '-----BEGIN SSH SIGNATURE-----\nAAAA\n-----END SSH SIGNATURE-----\n',
    });

    test('below what the host was told needs what an operator signed, and says how', async () => {
      const { ask, written } = withHost(given);
      expect(await ask(...PIN, { reason, commit: 'ccccccc' })).toMatchObject({
        status: 403,
        code: 'OPERATOR_WORD_NEEDED',
        message: expect.stringContaining('floe pin ada ccccccc --reason "…" --sign-with KEY') as string,
      });
      expect(await ask('GET', '/api/hosts/ada/way-back?commit=ccccccc')).toMatchObject({ status: 200, body: { ...about, needsWord: true } });
      expect((await ask(...PIN, { reason, commit: 'ccccccc', word: word() })).status).toBe(200);
      expect(written).toMatchObject([{ releaseId: 'release4', isPermitted: true, word: word() }]);
    });

    test.each<[string, Given]>([
      ['what is stable', { ...given, released: release(8) }],
      ['what is newer', { ...given, released: release(9), accepted: 8 }],
      ['what it was told last', { ...given, released: release(4), situation: { directed: release(4) } }],
      ['anything, where nobody has a key', { ...given, operators: undefined }],
    ])('%s needs none', async (_what, others) => {
      const { ask, written } = withHost(others);
      expect((await ask('GET', '/api/hosts/ada/way-back?commit=ccccccc')).body).toMatchObject({ needsWord: false });
      expect((await ask(...PIN, { reason, commit: 'ccccccc' })).status).toBe(200);
      expect(written).toMatchObject([{ word: undefined }]);
    });

    test.each<[string, Partial<OperatorWord>]>([
      ['another host', { host: v.parse(HostName, 'bob') }],
      ['another commit', { commit: 'd'.repeat(40) as CommitSha }],
      ['another sequence', { sequence: 5 }],
      ['another person', { actor: 'eve' }],
      ['another reason', { reason: 'why not' }],
      ['a host that was told less', { floor: 8 }],
      ['what is over', { until: 2 }],
    ])('a word about %s is refused', async (_what, changes) => {
      const { ask, written } = withHost(given);
      const asked = await ask(...PIN, { reason, commit: 'ccccccc', word: word(changes) });
      expect(asked).toMatchObject({ status: 403, code: 'OPERATOR_WORD_WRONG' });
      expect(written).toEqual([]);
    });

    test('a signature that does not count is refused, where the server can tell', async () => {
      const judge: Operators['judge'] = async () => await Promise.resolve({ kind: 'refused', why: 'it is forged' });
      const asked = await withHost({ ...given, operators: { judge } }).ask(...PIN, { reason, commit: 'ccccccc', word: word() });
      expect(asked).toMatchObject({ code: 'OPERATOR_WORD_WRONG', message: expect.stringContaining('it is forged') as string });
    });

    test('nobody but an administrator brings it back, with a key or without', async () => {
      const asked = await withHost(given).ask(...PIN, { reason, commit: 'ccccccc', word: word({ actor: 'a-operator' }) }, OPERATOR);
      expect(asked).toMatchObject({ status: 403, code: 'ROLE_TOO_LOW' });
    });
  });

  describe('past an approval', () => {
    const { rings } = DEFAULT_POLICY;
    const approvals = { count: 1, role: 'approver', notAuthor: false } as const;
    /** Rings of which some have approvals. */
    const policyWith = (...has: readonly boolean[]): RolloutPolicy => ({
      ...DEFAULT_POLICY,
      rings: has.flatMap((isAsked) => rings.map((each) => ({ ...each, approvals: isAsked ? approvals : undefined }))),
    });
    const going = (policy: RolloutPolicy, ring: number, state: CurrentRollout['state'] = 'ROLLING', weaker?: CurrentRollout['weaker']) => ({
      revisionId: 'now',
      policy,
      rings: new Map([[ada, ring]]),
      state,
      course: { ...beginRollout(1), state },
      weaker: weaker ?? [],
    });
    const open = policyWith(false, false);

    test.each<[string, Given, boolean]>([
      ['in a ring with approvals', { rollout: going(policyWith(true, false), 0) }, true],
      ['after a ring with approvals', { rollout: going(policyWith(true, false), 1) }, true],
      ['before a ring with approvals', { rollout: going(policyWith(false, true), 0) }, false],
      ['before it is in a ring', { rollout: { ...going(policyWith(false, true), 0), rings: undefined } }, true],
      ['without approvals', { rollout: going(open, 1), before: policyWith(true) }, false],
      [
        'by a policy that drops them',
        { rollout: going(open, 1, 'WAITING_APPROVAL', [{ text: 'ring all: no approvals', id: '1' }]), before: policyWith(true) },
        true,
      ],
      ['by a policy that is not compared yet', { rollout: { ...going(open, 1), weaker: undefined }, before: policyWith(true) }, true],
      [
        'by a policy that dropped them, and is in force',
        { rollout: going(open, 1, 'COMPLETE', [{ text: 'no approvals', id: '1' }]), before: policyWith(true) },
        false,
      ],
      [
        'by a policy after one that is lost',
        { rollout: going(open, 1, 'WAITING_APPROVAL', [{ text: 'it is lost', id: '1' }]), lost: { isDefault: false } },
        true,
      ],
      [
        'by a policy after the default one',
        { rollout: going(open, 1, 'ROLLING', [{ text: 'no probe', id: '1' }]), lost: { isDefault: true } },
        false,
      ],
      ['of what it was told', { rollout: going(policyWith(true), 0), situation: { directed: release(5) } }, false],
      ['of what is stable', { rollout: going(policyWith(true), 0), situation: { stable: release(5) } }, false],
      ['of what it is told now', { rollout: going(policyWith(true), 0), situation: { rollout: release(5), isRingPromoted: true } }, false],
      ['of what waits', { rollout: going(policyWith(true), 0), situation: { rollout: release(5), isRingPromoted: false } }, true],
    ])('%s', async (_what, given, needsAdministrator) => {
      const { ask, written } = withHost({ released: release(5), ...given });
      const asked = await ask(...PIN, { reason, commit: 'ccccccc' }, OPERATOR);
      const refused = { status: 403, code: 'ROLE_TOO_LOW', message: expect.stringContaining('needs approvals before it reaches ada') as string };
      expect(asked).toMatchObject(needsAdministrator ? refused : { status: 200 });
      expect(written.length).toBe(needsAdministrator ? 0 : 1);
      expect(await ask(...PIN, { reason, commit: 'ccccccc' })).toMatchObject({ status: 200 });
    });
  });

  describe('past the approvals of the very commit that is named', () => {
    const [ring] = DEFAULT_POLICY.rings;
    if (ring === undefined) throw new Error('the default policy has a ring');
    const approvals = { count: 1, role: 'approver', notAuthor: false } as const;
    /** Three rings; the host is in the second one. */
    const RING = 1;
    const policyWith = (...asked: readonly number[]): RolloutPolicy => ({
      ...DEFAULT_POLICY,
      rings: [0, 1, 2].map((index) => ({ ...ring, name: `ring${index}`, approvals: asked.includes(index) ? approvals : undefined })),
    });
    const POLICIES = { none: policyWith(), before: policyWith(0), own: policyWith(RING), after: policyWith(2) } as const;
    const at = (state: CurrentRollout['state'], index: number, unapproved?: readonly number[]) => ({
      state,
      course: { ...beginRollout(1), state, ring: index, provedRing: index === 0 ? undefined : 0, unapproved },
    });
    const row = (key: string, rollout: Partial<PolicedRollout> | undefined, hasPassed = false) => ({ key, rollout, hasPassed });
    /** What became of the rollout of the commit. `hasPassed`: the host's ring was told it, so it had the approvals. */
    const NAMED = [
      row('none', undefined),
      row('NEXT', { ...at('NEXT', 0), waitingSince: 5, weaker: undefined }),
      row('SUPERSEDED while it waited', { ...at('SUPERSEDED', 0), waitingSince: 5, weaker: undefined }),
      ...ROLLOUT_STATES.filter((state) => state !== 'NEXT').flatMap((state) =>
        [0, 1, 2].map((index) => {
          const found = at(state, index);
          return row(`${state} at ring ${index}`, found, state === 'SUPERSEDED' ? index > RING : isRingPromoted(found.course, RING));
        }),
      ),
      row('SUPERSEDED after it passed over the ring', at('SUPERSEDED', 2, [RING])),
      row('that cannot be read', { ...at('PAUSED', 2), unreadable: 'policy' }),
    ];
    const FOLLOWED = ['itself', 'nothing', 'one without approvals', 'one with approvals'] as const;

    const table = NAMED.flatMap(({ key, rollout, hasPassed }) =>
      Object.entries(POLICIES).flatMap(([where, policy]) =>
        FOLLOWED.flatMap((followed) =>
          (['operator', 'approver', 'administrator'] as const).flatMap((role) => {
            const hasBegun = rollout !== undefined && rollout.waitingSince === undefined;
            // What hosts follow has begun, and nothing newer did.
            if (followed === 'itself' && (!hasBegun || rollout.state === 'SUPERSEDED')) return [];
            if (hasBegun && followed !== 'itself' && rollout.state !== undefined && !isEndedRollout(rollout.state)) return [];
            // Before it begins nobody knows in which ring the host is.
            const isAsked = (hasBegun ? where === 'before' || where === 'own' : where !== 'none') || key === 'that cannot be read';
            const needsAdministrator = (isAsked && !hasPassed) || followed === 'one with approvals';
            return [{ key, where, followed, role, policy, rollout, hasPassed, isRefused: role !== 'administrator' && needsAdministrator }];
          }),
        ),
      ),
    );

    test('the table has what matters', () => {
      expect(table.length).toBeGreaterThan(400);
      for (const { key } of NAMED) expect(table.map((each) => each.key)).toContain(key);
    });

    test.each(table)(
      '$key, approvals: $where, hosts follow $followed, by an $role',
      async ({ rollout, policy, followed, role, hasPassed, isRefused }) => {
        const rings = rollout?.waitingSince === undefined ? new Map([[ada, RING]]) : undefined;
        const named = rollout && { revisionId: 'named', policy, rings, weaker: [], ...rollout };
        const other = (of: RolloutPolicy) => ({ revisionId: 'other', policy: of, rings: new Map([[ada, RING]]), weaker: [], ...at('ROLLING', 0) });
        const follows = {
          itself: named,
          nothing: undefined,
          'one without approvals': other(POLICIES.none),
          'one with approvals': other(POLICIES.own),
        };
        const ofRollout = followed === 'itself' ? { rollout: release(5), isRingPromoted: hasPassed } : {};
        const current = follows[followed];
        const { ask, written } = withHost({
          released: release(5),
          situation: ofRollout,
          named,
          policy,
          ...(current === undefined ? {} : { rollout: current }),
        });
        const answered = await ask(...PIN, { reason, commit: 'ccccccc' }, { authorization: `Bearer ${fakeTokenOf(role)}` });
        expect(answered).toMatchObject(isRefused ? { status: 403, code: 'ROLE_TOO_LOW' } : { status: 200 });
        expect(written.length).toBe(isRefused ? 0 : 1);
      },
    );
  });

  test('and a hold end together; where there is none, nothing ends', async () => {
    const { ask, written, audit } = withHost({ situation: { hold: release(3) } });
    expect((await ask('DELETE', '/api/hosts/ada/pin', { reason })).status).toBe(200);
    expect([written, audit.length]).toEqual([['unpin pin', 'unpin hold'], 1]);
    const free = withHost();
    expect(await free.ask('DELETE', '/api/hosts/ada/pin', { reason })).toMatchObject({ status: 409, code: 'NOT_PINNED' });
    expect(await free.ask('DELETE', '/api/hosts/bob/pin', { reason })).toMatchObject({ status: 404, code: 'HOST_UNKNOWN' });
  });
});

test('a system that left the cache is pinned no more, and the refusal says what to do; what the host was told last is', async () => {
  const { ask, written } = withHost({ isGone: true, released: release(2) });
  const refused = await ask(...PIN, { reason, commit: 'ccccccc' });
  expect(refused).toMatchObject({ status: 409, code: 'NOT_IN_CACHE' });
  expect(refused.message).toContain(`floe pin ada --store-path ${toplevel}`);
  expect(written).toEqual([]);
  expect(await ask(...PIN, { reason })).toMatchObject({ status: 200 });
});
