import {
  DIRECTIVE_TREE,
  MAX_IN_TREE,
  openDirective,
  peek,
  PermitStatement,
  seal,
  wordText,
  type Directive,
  type FreshnessStatement,
  type ReleaseStatement,
  type SealedDirective,
} from '@floe/protocol';
import type { HostName, StorePath } from '@floe/model';
import { releaserOf, type Releaser } from '@floe/pipeline';
import { FloeError, generateKeyPem, sha256, signerFromPem, silentLogger, systemClock, Troubles, verifySignature } from '@floe/runtime';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { offerDirectives, type Addressee } from './directives.ts';

const signer = signerFromPem('key-1', generateKeyPem());
const HOST = 'ada' as HostName;
const TOPLEVEL = `/nix/store/${'0'.repeat(32)}-ada` as StorePath;
const REPOSITORY = 'https://forge.example/fleet.git';

function releaseOf(ref: string, purpose?: 'test', repository = REPOSITORY): ReleaseStatement {
  const about = { host: HOST, toplevel: TOPLEVEL, narHash: 'sha256:0', closureSizeBytes: 1, system: 'x86_64-linux', issuedAt: 1, expiresAt: 2 };
  const trial = purpose === undefined ? {} : { purpose, endsAt: 2 };
  return { version: 1, repository, ref, commit: 'a'.repeat(40) as ReleaseStatement['commit'], sequence: 7, ...about, ...trial };
}

interface Peer {
  readonly host: HostName;
  readonly capabilities: readonly string[];
}

const ADA: Peer = { host: HOST, capabilities: ['once', 'permit', 'rename'] };

interface Given {
  readonly peers?: readonly Peer[];
  readonly freshRef?: string;
  readonly releaser?: Releaser;
  /** Of who is told. */
  readonly addressee?: Partial<Addressee>;
  readonly permit?: NonNullable<Addressee['desired']['permit']>;
  readonly troubles?: Troubles;
}

/** What agents are sent of this release; the server's signatures are counted. */
async function offer(release: ReleaseStatement, given: Given) {
  const { peers = [ADA], freshRef = 'refs/heads/main', releaser = releaserOf(signer) } = given;
  const sent = new Map<HostName, SealedDirective>();
  const fresh: FreshnessStatement = { version: 1, repository: REPOSITORY, ref: freshRef, sequence: 9, asOf: 1 };
  const envelope = JSON.stringify(seal(signer, 'floe/release', release));
  const desired = { releaseId: 'id', host: HOST, sequence: 7, toplevel: TOPLEVEL, epoch: 1, permit: given.permit };
  let signatures = 0;
  const serverSigner = { ...signer, sign: (bytes: Uint8Array) => ((signatures += 1), signer.sign(bytes)) };
  const addressees = peers.map(({ host, capabilities }) => {
    const session = {
      host,
      calledAs: host,
      machineId: 'a'.repeat(32),
      bootId: 'boot',
      nonce: `nonce-of-the-connection-of-${host}`,
      capabilities: new Set(capabilities),
      offered: () => 'no',
      offer: (_epoch: number, _id: string, directive: SealedDirective) => sent.set(host, directive).size > 0,
    };
    const trial = release.purpose === 'test' ? { envelope } : {};
    return { session, desired, floor: 0, isRetry: false, ...trial, ...given.addressee } as unknown as Addressee;
  });
  const rows = await offerDirectives(
    {
      store: {
        hosts: { saveDirectives: async () => await Promise.resolve() },
        hostStatements: { save: async () => await Promise.resolve() },
        releases: {
          toOffer: async () =>
            await Promise.resolve({
              releases: [{ id: 'id', envelope, isSubmitted: false } as never],
              freshness: JSON.stringify(seal(signer, 'floe/freshness', fresh)),
            }),
        },
      },
      clock: Object.assign(Object.create(systemClock) as typeof systemClock, { latest: () => systemClock.now() }),
      serverSigner,
      releaser,
      logger: silentLogger,
      troubles: given.troubles ?? new Troubles({ clock: systemClock, logger: silentLogger }),
    },
    'repository',
    addressees,
  );
  return { sent, rows, signatures };
}

function opened(envelope: SealedDirective | undefined): Directive {
  if (envelope === undefined) throw new Error('nothing was sent');
  const directive = openDirective(envelope, [signer], verifySignature, sha256);
  if (directive.kind !== 'opened') throw new Error(directive.message);
  return directive.statement;
}

/** The directive that an agent gets with this release. */
async function told(release: ReleaseStatement, given: Given): Promise<Directive> {
  return opened((await offer(release, given)).sent.get(HOST));
}

// An agent refuses a directive whose statement of freshness is of another branch than its release.
test.each([
  ['of the same branch', releaseOf('refs/heads/main'), 'refs/heads/main', true],
  ['from before the branch got another name', releaseOf('refs/heads/main'), 'refs/heads/trunk', false],
  ['from before the repository got another address', releaseOf('refs/heads/main', undefined, 'https://old.example/fleet'), 'refs/heads/main', false],
  ['of a testing branch', releaseOf('refs/heads/testing/ada', 'test'), 'refs/heads/main', false],
] as const)('a release %s is told with a freshness statement of its branch alone', async (_name, release, freshRef, isWith) => {
  expect((await told(release, { freshRef })).freshness !== undefined).toBe(isWith);
});

const MAIN = releaseOf('refs/heads/main');
const back: Given = { addressee: { floor: 9 }, permit: { kind: 'revert', by: 'grace', reason: 'why' } };

test('who is not permitted to go back is told nothing, and the host says why, until it is permitted or needs none', async () => {
  const troubles = new Troubles({ clock: systemClock, logger: silentLogger });
  const releaser: Releaser = { ...releaserOf(signer), permit: async () => await Promise.resolve({ refused: 'an operator has to sign it' }) };
  expect((await offer(MAIN, { ...back, releaser, troubles })).sent.size).toBe(0);
  expect(troubles.of(HOST)?.message).toContain('an operator has to sign it');
  expect((await told(MAIN, { ...back, troubles })).permit).toBeDefined();
  expect(troubles.of(HOST)).toBeUndefined();
  await offer(MAIN, { ...back, releaser, troubles });
  await told(MAIN, { troubles });
  expect(troubles.of(HOST)).toBeUndefined();
  // It is there already, and only connects again.
  expect((await offer(MAIN, { ...back, releaser, troubles, addressee: { floor: 9, runsIt: true } })).sent.size).toBe(0);
  expect(troubles.of(HOST)).toBeUndefined();
});

test('keys of operators that cannot be asked concern one host; a database that does not answer concerns all', async () => {
  const failing = (code: string): Releaser => ({
    ...releaserOf(signer),
    permit: async () => await Promise.reject(new FloeError(code, 'no', { retryable: true })),
  });
  expect((await offer(MAIN, { ...back, releaser: failing('SIGNERS_UNCHECKED') })).sent.size).toBe(0);
  await expect(offer(MAIN, { ...back, releaser: failing('STORE_UNAVAILABLE') })).rejects.toThrow('no');
});

test.each([
  ['a full disk', Object.assign(new Error('ENOSPC: no space left on device'), { code: 'ENOSPC' })],
  ['an unreadable record of keys', new SyntaxError('Unexpected end of JSON input')],
  ['keys of operators that cannot be asked', new FloeError('SIGNERS_UNCHECKED', 'ENOENT', { retryable: true })],
])('%s concerns the host that is to go back; all others are told', async (_what, error) => {
  const troubles = new Troubles({ clock: systemClock, logger: silentLogger });
  const others = Array.from({ length: 5 }, (_each, index) => ({ ...ADA, host: `host-${index}` as HostName }));
  const releaser: Releaser = {
    ...releaserOf(signer),
    permit: async (...args) => (args[1].host === HOST ? await Promise.reject(error) : await releaserOf(signer).permit(...args)),
  };
  const peers = [...others.slice(0, 2), ADA, ...others.slice(2)];
  const { sent } = await offer(MAIN, { ...back, peers, releaser, troubles });
  expect([...sent.keys()].toSorted()).toEqual(others.map(({ host }) => host));
  expect(troubles.of(HOST)?.message).toContain(error.message);
  expect(others.map(({ host }) => troubles.of(host))).toEqual(others.map(() => undefined));
});

test('a permit ends no later than what an operator signed, and goes with it', async () => {
  const until = systemClock.now() + 60_000;
  const word = {
    statement: wordText({
      version: 1,
      repository: REPOSITORY,
      ref: 'refs/heads/main',
      host: HOST,
      commit: MAIN.commit,
      sequence: 7,
      toplevel: TOPLEVEL,
      floor: 9,
      actor: 'grace',
      reason: 'why',
      issuedAt: 1,
      until,
      nonce: 'n'.repeat(16),
    }),
    signature: 'signature',
  };
  const asked: unknown[] = [];
  const releaser: Releaser = {
    ...releaserOf(signer),
    permit: async (...args) => (asked.push(args[2]), await releaserOf(signer).permit(...args)),
  };
  const { permit } = await told(MAIN, { ...back, releaser, permit: { kind: 'pin', by: 'grace', reason: 'why', word } });
  expect(peek(permit!, PermitStatement)).toMatchObject({ statement: { expiresAt: until } });
  expect(asked).toEqual([word]);
});

test('one signature is for many agents that know trees, each other agent has one of its own, and each gets its own directive', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.boolean(), { minLength: 1, maxLength: 3 * MAX_IN_TREE }), async (knows) => {
      const peers = knows.map((isNew, index) => ({ host: `host-${index}` as HostName, capabilities: isNew ? [DIRECTIVE_TREE] : [] }));
      const { sent, rows, signatures } = await offer(releaseOf('refs/heads/main'), { peers });
      const older = peers.filter(({ capabilities }) => capabilities.length === 0);
      expect(signatures).toBeLessThanOrEqual(older.length + Math.ceil(peers.length / MAX_IN_TREE));
      for (const { host } of older) expect(sent.get(host)?.type).toBe('floe/directive');
      for (const { host } of peers) expect(opened(sent.get(host))).toMatchObject({ host, nonce: `nonce-of-the-connection-of-${host}` });
      expect(new Set(rows.map(({ host }) => host))).toEqual(new Set(peers.map(({ host }) => host)));
    }),
    { numRuns: 12 },
  );
});
