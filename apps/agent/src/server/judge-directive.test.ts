import { type Signer } from '@floe/runtime';
import { describe, expect, test } from 'vitest';
import { isTrusted, judgeDirective, type DirectiveJudgement, type DirectiveContext } from './judge-directive.ts';
import { parseConfig } from '../config.ts';
import {
  directiveContext,
  HOST,
  journalWith,
  newAuthorities,
  newSigner,
  NOW,
  REF,
  REPOSITORY,
  sealDirective,
  storePath,
  type SealOptions,
} from '../test/fixtures.ts';
import type { AgentDirective, HostName } from '@floe/model';
import { Directive, peek, type Envelope } from '@floe/protocol';

const keys = newAuthorities();

function judge(options: SealOptions = {}, changes: Partial<DirectiveContext> = {}): DirectiveJudgement {
  return judgeDirective(sealDirective(keys, options), directiveContext(keys, changes));
}

function codeOf(admission: DirectiveJudgement): string {
  return admission.kind === 'refused' ? admission.detail.code : admission.kind;
}

/** What is inside, as the one who sealed it knows. */
function directiveOf(envelope: Envelope): Directive {
  const opened = peek(envelope, Directive);
  if (opened.kind !== 'opened') throw new Error(opened.message);
  return opened.statement;
}

const accepted = { repository: REPOSITORY, ref: REF, sequence: 7 };

test('a directive that is all right is accepted, with its release and the proof of it', () => {
  const admission = judge({ freshness: {} });
  expect(admission).toMatchObject({
    kind: 'accepted',
    directive: { epoch: 3, mode: 'activate', isRetry: false, release: { ...accepted, toplevel: storePath('new'), closureSizeBytes: 10 } },
    freshness: { ...accepted, asOf: NOW },
  });
  expect(admission.kind === 'accepted' && JSON.parse(admission.directive.envelope)).toMatchObject({ type: 'floe/directive', keyId: 'server-1' });
});

describe('a directive is refused when', () => {
  const impostor = newSigner('release-1');
  const stranger = newSigner('stranger');
  const cases: [string, SealOptions, Partial<DirectiveContext>, string][] = [
    ['an unknown key signed it', { signers: { server: stranger } }, {}, 'DIRECTIVE_KEY_UNKNOWN'],
    ["the release key signed it in the server's place", { signers: { server: keys.release } }, {}, 'DIRECTIVE_KEY_UNKNOWN'],
    ["the server signed the release in the builder's place", { signers: { release: keys.server } }, {}, 'RELEASE_KEY_UNKNOWN'],
    ['another key with the name of the release key signed it', { signers: { release: impostor } }, {}, 'RELEASE_SIGNATURE_WRONG'],
    ['it is for another host', { directive: { host: 'bob' as HostName } }, {}, 'WRONG_HOST'],
    ['its release is for another host', { release: { host: 'bob' as HostName } }, {}, 'RELEASE_WRONG_HOST'],
    ['it is for another machine', { directive: { machineId: 'b'.repeat(32) } }, {}, 'WRONG_MACHINE'],
    ['its release is for another architecture', { release: { system: 'aarch64-linux' } }, {}, 'RELEASE_WRONG_SYSTEM'],
    ['it is replayed from another connection', {}, { nonce: 'another-connection' }, 'DIRECTIVE_REPLAYED'],
    ['it expired', { directive: { expiresAt: NOW } }, {}, 'DIRECTIVE_EXPIRED'],
    ['its release expired', { release: { expiresAt: NOW } }, {}, 'RELEASE_EXPIRED'],
    [
      'its release expired by what the builder dated, whatever the server says',
      { release: { expiresAt: NOW + 5_000 }, freshness: { asOf: NOW + 6_000 } },
      {},
      'RELEASE_EXPIRED',
    ],
    [
      'it is of another repository',
      { release: { repository: 'https://evil.example/fleet' } },
      { repository: REPOSITORY },
      'RELEASE_WRONG_REPOSITORY',
    ],
    ['its freshness is of another branch', { freshness: { ref: 'refs/heads/other' } }, {}, 'FRESHNESS_WRONG_REPOSITORY'],
    ['its sequence is lower than one accepted', { release: { sequence: 6 } }, { journal: journalWith({ sequences: [accepted] }) }, 'SEQUENCE_LOWER'],
    ['its epoch is lower than one accepted', {}, { journal: journalWith({ epoch: 4 }) }, 'EPOCH_LOWER'],
    ['its epoch is far ahead of the last one', { directive: { epoch: 1_000_005 } }, { journal: journalWith({ epoch: 4 }) }, 'EPOCH_TOO_FAR'],
    ['its system was rolled back here', {}, { journal: journalWith({ quarantined: [storePath('new')] }) }, 'QUARANTINED'],
  ];
  test.each(cases)('%s', (_what, options, context, code) => {
    expect(codeOf(judge(options, context))).toBe(code);
  });

  test('its payload was changed', () => {
    const envelope = sealDirective(keys);
    const payload = Buffer.from(envelope.payload, 'base64').toString('utf8').replace('"epoch":3', '"epoch":4');
    const changed = { ...envelope, payload: Buffer.from(payload).toString('base64') };
    expect(codeOf(judgeDirective(changed, directiveContext(keys)))).toBe('DIRECTIVE_SIGNATURE_WRONG');
  });
});

test('what an administrator asks for comes with its directive, and nothing is noticed yet', () => {
  const urgent = { level: 'soon', by: 'ada', reason: 'a hole in sshd', until: NOW + 1 } as const;
  expect(judge({ directive: { urgent } })).toMatchObject({ directive: { urgent: { ...urgent, noticedAt: null } } });
  const plain = judge();
  expect(plain.kind === 'accepted' && 'urgent' in plain.directive).toBe(false);
});

test('a refusal names the epoch and the system only where they are known to be true', () => {
  expect(judge({ signers: { server: newSigner('stranger') } })).toMatchObject({ epoch: 0, toplevel: null });
  expect(judge({ signers: { release: newSigner('stranger') } })).toMatchObject({ epoch: 3, toplevel: null });
  expect(judge({ release: { expiresAt: 1 } })).toMatchObject({ epoch: 3, toplevel: storePath('new') });
});

test('another repository is fine when none is pinned, and has a sequence of its own', () => {
  const journal = journalWith({ sequences: [{ ...accepted, sequence: 100 }] });
  expect(codeOf(judge({ release: { repository: 'https://git.example/moved', sequence: 1 } }, { journal }))).toBe('accepted');
});

test('the epoch that is known already goes on, but may not become another system', () => {
  const directive = { epoch: 3, release: { ...accepted, toplevel: storePath('new') } } as AgentDirective;
  expect(codeOf(judge({}, { journal: journalWith({ epoch: 3, directive, sequences: [accepted] }) }))).toBe('known');
  expect(codeOf(judge({ release: { toplevel: storePath('other') } }, { journal: journalWith({ epoch: 3, directive, sequences: [accepted] }) }))).toBe(
    'EPOCH_REUSED',
  );
});

test('a person may have a system tried again that was rolled back', () => {
  const journal = journalWith({ quarantined: [storePath('new')] });
  expect(judge({ directive: { isRetry: true } }, { journal })).toMatchObject({ kind: 'accepted', directive: { isRetry: true } });
});

test('a freshness statement that is older than the known one does not replace it', () => {
  const known = { ...accepted, asOf: NOW + 5 };
  expect(judge({ freshness: { asOf: NOW } }, { journal: journalWith({ freshness: known }) })).toMatchObject({ kind: 'accepted', freshness: known });
});

test('the time that the release key signed is a lower bound, also when the server leaves the statement out', () => {
  const freshness = { ...accepted, asOf: NOW + 365 * 24 * 3600_000 };
  const expired = { release: { expiresAt: NOW + 5_000 } };
  expect(codeOf(judge(expired, { journal: journalWith({ freshness }) }))).toBe('RELEASE_EXPIRED');
  expect(codeOf(judge(expired, { journal: journalWith({ freshness: { ...freshness, ref: 'refs/heads/other' } }) }))).toBe('accepted');
});

describe("the server's clock was a year ahead for one commit, and is right again", () => {
  const YEAR_MS = 365 * 24 * 3600_000;
  const journal = journalWith({ epoch: 2, freshness: { ...accepted, asOf: NOW + YEAR_MS }, sequences: [accepted] });
  const next = { sequence: 8, expiresAt: NOW + YEAR_MS };

  test('the next commit is taken, and what was remembered is dated rightly again', () => {
    const admission = judge({ release: next, freshness: { sequence: 8, asOf: NOW } }, { journal });
    expect(admission).toMatchObject({ kind: 'accepted', freshness: { sequence: 8, asOf: NOW } });
  });

  test('until then it is said which clock is meant, and what helps', () => {
    const admission = judge({ release: { expiresAt: NOW + YEAR_MS }, freshness: { asOf: NOW } }, { journal });
    expect(codeOf(admission)).toBe('RELEASE_EXPIRED');
    expect(admission).toMatchObject({
      detail: { message: expect.stringMatching(/it was ahead before\. The next commit corrects this, or run "floe-agent forget date"/) as string },
    });
  });

  test('a server cannot make a machine forget the date without the release key', () => {
    const old = { release: { ...next, expiresAt: NOW + 5_000 } };
    expect(codeOf(judge(old, { journal }))).toBe('RELEASE_EXPIRED');
    expect(codeOf(judge({ ...old, freshness: { sequence: 6, asOf: NOW } }, { journal }))).toBe('RELEASE_EXPIRED');
    expect(codeOf(judge({ ...old, freshness: { sequence: 8, asOf: NOW }, signers: { release: newSigner('release-1') } }, { journal }))).toBe(
      'RELEASE_SIGNATURE_WRONG',
    );
  });

  test('while it is ahead, the difference of the clocks is said', () => {
    const admission = judge({ directive: { expiresAt: NOW + 3 * YEAR_MS }, release: { expiresAt: NOW + YEAR_MS } }, { serverNow: NOW + 2 * YEAR_MS });
    expect(admission).toMatchObject({
      detail: { code: 'RELEASE_EXPIRED', message: expect.stringMatching(/by the server's clock, which says .*; this machine's says/) as string },
    });
  });
});

test('a directive that expired names its system, so that it is shown as refused', () => {
  expect(judge({ directive: { expiresAt: NOW } })).toMatchObject({
    epoch: 3,
    toplevel: storePath('new'),
    detail: { code: 'DIRECTIVE_EXPIRED', message: expect.stringContaining("was the server's clock set back?") as string },
  });
});

describe('a change of keys through git (docs/operate.md)', () => {
  /** What a system pins, as its configuration has it. */
  function pins(release: readonly Signer[], server: readonly Signer[]): Pick<DirectiveContext, 'releaseKeys' | 'serverKeys'> {
    const words = (signers: readonly Signer[]): string => signers.map(({ keyId, publicKey }) => `${keyId}:${publicKey}`).join(' ');
    const { releaseKeys, serverKeys } = parseConfig({
      FLOE_SERVER_URL: 'https://floe.example',
      FLOE_HOST: HOST,
      FLOE_TRUSTED_RELEASE_KEYS: words(release),
      FLOE_TRUSTED_SERVER_KEYS: words(server),
      FLOE_SUBSTITUTERS: 'https://floe.example/cache',
      FLOE_TRUSTED_PUBLIC_KEYS: `cache-1:${keys.release.publicKey}`,
    });
    return { releaseKeys, serverKeys };
  }

  // The server keeps the names; a fleet that signs by other means may change them.
  const names = [
    ['under the same name', '1'],
    ['under another name', '2'],
  ] as const;
  const kinds = [
    ['release', 'RELEASE'],
    ['server', 'DIRECTIVE'],
  ] as const;
  const cases = names.flatMap(([how, number]) => kinds.map(([kind, code]) => [kind, how, number, code] as const));

  describe.each(cases)('of the %s key, %s', (kind, _how, number, statement) => {
    const old = keys[kind];
    const fresh = newSigner(`${kind}-${number}`);
    const refused = `${statement}_${number === '1' ? 'SIGNATURE_WRONG' : 'KEY_UNKNOWN'}`;
    const by = (signer: Signer): SealOptions => ({ signers: { [kind]: signer }, freshness: {} });
    const pinning = (...signers: Signer[]) => (kind === 'release' ? pins(signers, [keys.server]) : pins([keys.release], signers));

    test('before it, only the old one is believed', () => {
      expect(codeOf(judge(by(old), pinning(old)))).toBe('accepted');
      expect(codeOf(judge(by(fresh), pinning(old)))).toBe(refused);
    });

    test('a system that pins both, in any order, believes either and nobody else', () => {
      for (const both of [pinning(old, fresh), pinning(fresh, old)]) {
        expect(codeOf(judge(by(old), both))).toBe('accepted');
        expect(codeOf(judge(by(fresh), both))).toBe('accepted');
        expect(codeOf(judge(by(newSigner(old.keyId)), both))).toBe(`${statement}_SIGNATURE_WRONG`);
        expect(codeOf(judge(by(newSigner('stranger')), both))).toBe(`${statement}_KEY_UNKNOWN`);
      }
    });

    test('the system that pins the new one alone comes signed by it, and is accepted and known by the one that pins both', () => {
      const admission = judge(by(fresh), pinning(old, fresh));
      if (admission.kind !== 'accepted') throw new Error('it was refused');
      const { directive } = admission;
      const journal = journalWith({ epoch: 3, directive, sequences: [accepted] });
      // The same directive, on the connection that the new system proves itself by.
      const proof = judge(by(fresh), { ...pinning(fresh), journal });
      expect([codeOf(proof), isTrusted(proof)]).toEqual(['known', true]);
    });

    test('after it, the old one is refused, and a system that meets it is rolled back', () => {
      const admission = judge(by(old), pinning(fresh));
      expect([codeOf(admission), isTrusted(admission)]).toEqual([refused, false]);
      expect(codeOf(judge(by(fresh), pinning(fresh)))).toBe('accepted');
    });
  });

  test('while both are pinned, a release and the word about its age may be by different ones', () => {
    const fresh = newSigner('release-1');
    const [old, both] = [keys.release, pins([keys.release, fresh], [keys.server])];
    // The release was signed before the server had the new key, its freshness after; and the other way round.
    for (const [release, age] of [
      [old, fresh],
      [fresh, old],
    ] as const) {
      const { freshness } = directiveOf(sealDirective({ ...keys, release: age }, { freshness: {} }));
      const mixed: SealOptions = { signers: { release }, directive: { freshness } };
      expect(codeOf(judge(mixed, both))).toBe('accepted');
      expect(codeOf(judge(mixed, pins([release], [keys.server])))).toBe('FRESHNESS_SIGNATURE_WRONG');
    }
  });
});
