import { HostName, open, ReleaseStatement, seal, StorePath, type Envelope, type PermitStatement } from '@floe/protocol';
import { generateKeyPem, silentLogger, signerFromPem, systemClock, verifySignature } from '@floe/runtime';
import { MAX_COUNTER, MAX_TIME_MS } from '@floe/model';
import type { SigningAnswer, SigningRequest } from '@floe/store';
import { eventually } from '@floe/testkit';
import fc from 'fast-check';
import * as v from 'valibot';
import { expect, test } from 'vitest';
import { releaserOf, type Releaser } from '../releaser.ts';
import { answerQuestions } from './answer-questions.ts';
import { askingReleaser } from './asking-releaser.ts';

const signer = signerFromPem('release-1', generateKeyPem());
const thief = signerFromPem('release-1', generateKeyPem());
const HOST = v.parse(HostName, 'ada');
const toplevel = (n: number): StorePath => v.parse(StorePath, `/nix/store/${`${n}`.padStart(32, '0')}-nixos-system-ada`);
const release = (n: number, purpose?: 'test' | 'submitted'): ReleaseStatement => ({
  version: 1,
  repository: 'https://forge.example.org/fleet.git',
  ref: 'refs/heads/main',
  commit: v.parse(ReleaseStatement.entries.commit, `${n}`.padStart(40, '0')),
  sequence: n,
  host: HOST,
  toplevel: toplevel(n),
  narHash: 'sha256:abc',
  closureSizeBytes: 1,
  system: 'x86_64-linux',
  ...(purpose === undefined ? {} : { purpose, ...(purpose === 'test' ? { endsAt: 50 } : {}) }),
  issuedAt: 10,
  expiresAt: 100,
});
const permit = (n: number, of: number): PermitStatement => ({
  version: 1,
  repository: 'https://forge.example.org/fleet.git',
  ref: 'refs/heads/main',
  host: HOST,
  machineId: v.parse(v.string(), 'a'.repeat(32)),
  sequence: n,
  toplevel: toplevel(of),
  floor: 9,
  actor: 'eve',
  reason: 'why not',
  issuedAt: 10,
  expiresAt: 100,
  nonce: 'nonce',
});

const permitOf3 = permit(3, 3);
type Lease = { readonly owner: string; readonly expiresAt: number } | undefined;

/** A database between both: a server's questions, and a builder that answers them while `use` runs. */
async function between(
  use: (asking: Releaser, rows: Map<string, SigningRequest & { answer: SigningAnswer }>) => Promise<void>,
  releaser: Releaser = releaserOf(signer),
  lease: () => Lease = () => undefined,
): Promise<void> {
  const rows = new Map<string, SigningRequest & { answer: SigningAnswer }>();
  let onHints: (hints: readonly { topic: 'repository'; id: string }[]) => void = () => undefined;
  const store = {
    signing: {
      async ask(request: SigningRequest) {
        const known = rows.get(request.key);
        if (known === undefined) {
          rows.set(request.key, { ...request, answer: undefined });
          onHints([{ topic: 'repository', id: 'repository' }]);
        }
        return await Promise.resolve(known?.answer);
      },
      waiting: async () => await Promise.resolve([...rows.values()].filter(({ answer }) => answer === undefined)),
      async answer(key: string, answer: NonNullable<SigningAnswer>) {
        const row = rows.get(key);
        if (row !== undefined) row.answer ??= answer;
        await Promise.resolve();
      },
    },
    repositories: { lease: async () => await Promise.resolve(lease()) },
    hints: {
      isHeard: async () => await Promise.resolve(true),
      async listen(told: typeof onHints) {
        onHints = told;
        return await Promise.resolve({ [Symbol.asyncDispose]: async () => await Promise.resolve() });
      },
    },
  };
  const stopping = new AbortController();
  const deps = {
    store,
    owner: 'builder',
    clock: systemClock,
    logger: silentLogger,
    newestReleased: async () => await Promise.resolve({ sequence: 3 }),
  };
  const answering = answerQuestions({ ...deps, releaser }, 'repository', stopping.signal);
  try {
    await use(askingReleaser({ ...deps, keys: releaser.keys, repositoryId: () => 'repository' }), rows);
  } finally {
    stopping.abort();
    await answering;
  }
}

/** What the builder signs for a question that stands in the database; undefined: it refuses. */
async function answerTo(question: unknown): Promise<Envelope | undefined> {
  let signed: Envelope | undefined;
  await between(async (asking, rows) => {
    rows.set('planted', { key: 'planted', repositoryId: 'repository', host: HOST, request: JSON.stringify(question), answer: undefined });
    // Whatever else is asked wakes the builder.
    void (await asking.once(HOST, seal(thief, 'floe/release', release(1, 'test')), undefined));
    const answer = await eventually('it answers', () => rows.get('planted')?.answer, { everyMs: 1 });
    if (!('refused' in answer)) signed = JSON.parse(answer.envelope) as Envelope;
  });
  return signed;
}

function payloadOf({ payload }: Envelope): unknown {
  return JSON.parse(Buffer.from(payload, 'base64').toString());
}

test('a server gets signed what is about a release of the key, once, and is told so at its next look', async () => {
  await between(async (asking, rows) => {
    const stored = seal(signer, 'floe/release', release(3));
    expect(await asking.permit(stored, permit(3, 3))).toBeUndefined();
    await expect.poll(async () => await asking.permit(stored, { ...permit(3, 3), issuedAt: 20 })).toBeDefined();
    // Another time is no other question; another connection is.
    expect(rows.size).toBe(1);
    expect(await asking.permit(stored, { ...permit(3, 3), nonce: 'other' })).toBeUndefined();
    expect(rows.size).toBe(2);
    const tried = await asking.trial(HOST, stored, { now: 10, latest: 20, forMs: 1_000 });
    const opened = tried && 'payload' in tried && open(tried, 'floe/release', ReleaseStatement, [signer], verifySignature);
    expect(opened !== undefined && opened !== false && opened.kind === 'opened' && opened.statement).toMatchObject({
      purpose: 'test',
      toplevel: toplevel(3),
      endsAt: 1_020,
    });
  });
});

test('whatever a server writes into the database, nothing is signed that contains another system than the key signed for the host before', async () => {
  const known = new Set([1, 2, 3]);
  const envelope = fc
    .record({
      n: fc.integer({ min: 1, max: 6 }),
      purpose: fc.constantFrom(undefined, 'test' as const, 'submitted' as const),
      by: fc.constantFrom(signer, thief),
    })
    .map(({ n, purpose, by }) => seal(by === signer && !known.has(n) ? thief : by, 'floe/release', release(n, purpose)));
  const onlyFor = { machineId: permit(1, 1).machineId, bootId: 'boot', epoch: 4 };
  const claim = fc.constantFrom({}, { authorisedBy: 'grace@example.org' });
  const asked = fc.tuple(fc.nat(6), fc.nat(6), claim).map(([n, of, claimed]) => ({ ...permit(n, of), ...claimed }));
  const question = fc.oneof(
    fc.record({ kind: fc.constant('permit'), release: envelope, statement: asked }),
    fc.record({ kind: fc.constant('once'), release: envelope, onlyFor: fc.constant(onlyFor) }),
    fc.record({ kind: fc.constant('trial'), release: envelope, times: fc.record({ now: fc.nat(99), latest: fc.nat(99), forMs: fc.nat(99) }) }),
    fc.record({ kind: fc.constantFrom('release', 'once'), release: fc.constant(release(9)), statement: fc.jsonValue() }),
    fc.jsonValue(),
  );
  await fc.assert(
    fc.asyncProperty(question, async (stands) => {
      const signed = await answerTo(stands);
      if (signed === undefined) return;
      expect(['floe/permit', 'floe/release']).toContain(signed.type);
      // No operator signed anything.
      expect(payloadOf(signed)).not.toHaveProperty('authorisedBy');
      const payload = payloadOf(signed) as Partial<ReleaseStatement>;
      expect([...known].map(toplevel)).toContain(payload.toplevel);
      expect(payload.toplevel).toBe(toplevel(payload.sequence ?? 0));
      // No release of the fleet is among it.
      if (signed.type === 'floe/release') expect(payload.purpose).toBeDefined();
    }),
    { numRuns: 100 },
  );
});

test('what cannot be signed yet stands and holds up nothing, and is signed when it can be', async () => {
  const own = releaserOf(signer);
  let isLogged = false;
  const whenLogged: Releaser['permit'] = async (stored, statement) =>
    isLogged || statement.actor === 'grace' ? await own.permit(stored, statement) : undefined;
  await between(
    async (asking) => {
      const stored = seal(signer, 'floe/release', release(3));
      const early = Array.from({ length: 120 }, (_, n) => ({ ...permitOf3, nonce: `${n}` }));
      for (const each of early) expect(await asking.permit(stored, each)).toBeUndefined();
      const other = { ...permitOf3, actor: 'grace' };
      await expect.poll(async () => await asking.permit(stored, other)).toBeDefined();
      expect(await Promise.all(early.map(async (each) => await asking.permit(stored, each)))).toEqual(early.map(() => undefined));
      isLogged = true;
      // Whatever is asked wakes the builder.
      await asking.permit(stored, { ...other, nonce: 'another' });
      for (const each of early) await expect.poll(async () => await asking.permit(stored, each)).toHaveProperty('payload');
    },
    { ...own, permit: whenLogged },
  );
});

test('while another builder has the lease none answers; that one does, or this one when it has ended', async () => {
  const now = systemClock.now();
  let lease: Lease = { owner: 'another', expiresAt: now + 3600_000 };
  let looks = 0;
  await between(
    async (asking) => {
      const stored = seal(signer, 'floe/release', release(3));
      const asked = async (nonce: string) => await asking.permit(stored, { ...permitOf3, nonce });
      await asked('first');
      const seen = looks;
      await asked('second');
      await expect.poll(() => looks).toBeGreaterThan(seen);
      expect([await asked('first'), await asked('second')]).toEqual([undefined, undefined]);
      lease = { owner: 'another', expiresAt: now - 1 };
      await asked('third');
      await expect.poll(async () => await asked('first')).toBeDefined();
      lease = { owner: 'builder', expiresAt: now + 3600_000 };
      await expect.poll(async () => await asked('fourth')).toBeDefined();
    },
    undefined,
    () => ((looks += 1), lease),
  );
});

test('questions that keep failing hold up no later one', async () => {
  const trial = async () => await Promise.reject(new Error('ENOSPC: no space left on device'));
  await between(
    async (asking, rows) => {
      const stored = seal(signer, 'floe/release', release(3));
      const request = JSON.stringify({ kind: 'trial', release: stored, times: { now: 1, latest: 1, forMs: 1 } });
      for (let n = 0; n < 170; n += 1) rows.set(`${n}`, { key: `${n}`, repositoryId: 'repository', host: HOST, request, answer: undefined });
      expect(await asking.permit(stored, permit(3, 3))).toBeUndefined();
      await expect.poll(async () => await asking.permit(stored, permit(3, 3))).toBeDefined();
    },
    { ...releaserOf(signer), trial },
  );
});

test.each(['test', 'submitted'] as const)('of a release that is %s no trial is made: it would begin again without end', async (purpose) => {
  const times = { now: 1_000, latest: 1_000, forMs: 1_000 };
  expect(await answerTo({ kind: 'trial', release: seal(signer, 'floe/release', release(3)), times })).toBeDefined();
  expect(await answerTo({ kind: 'trial', release: seal(signer, 'floe/release', release(3, purpose)), times })).toBeUndefined();
});

test('a permit for which a server claims an operator names none', async () => {
  const statement = { ...permit(3, 3), authorisedBy: 'grace@example.org' };
  const signed = await answerTo({ kind: 'permit', release: seal(signer, 'floe/release', release(3)), statement });
  expect(signed && payloadOf(signed)).toEqual(permit(3, 3));
});

test('whatever a server asks for, nothing is signed with a number or a time far ahead of what the builder knows', async () => {
  const stored = seal(signer, 'floe/release', release(3));
  const number = fc.oneof(fc.nat(200), fc.integer({ min: 0, max: MAX_COUNTER }), fc.constant(MAX_COUNTER));
  const time = fc.oneof(fc.nat(200), fc.integer({ min: 0, max: MAX_TIME_MS }), fc.constant(MAX_TIME_MS));
  const question = fc.oneof(
    fc
      .tuple(number, time, time)
      .map(([floor, issuedAt, expiresAt]) => ({ kind: 'permit', release: stored, statement: { ...permit(3, 3), floor, issuedAt, expiresAt } })),
    fc.tuple(time, time).map(([now, latest]) => ({ kind: 'trial', release: stored, times: { now, latest, forMs: 1_000 } })),
  );
  const far = systemClock.now() + 25 * 365 * 24 * 3600_000;
  await fc.assert(
    fc.asyncProperty(question, async (asked) => {
      const signed = await answerTo(asked);
      if (signed === undefined) return;
      const said = payloadOf(signed) as { floor?: number; issuedAt: number; expiresAt: number };
      expect(said.floor ?? 0).toBeLessThanOrEqual(100_003);
      expect(Math.max(said.issuedAt, said.expiresAt)).toBeLessThan(far);
    }),
    { numRuns: 100 },
  );
});

test('a refusal is logged once for each host and kind, over all connections, until one is signed again', async () => {
  let answer: NonNullable<SigningAnswer> = { refused: 'no' };
  const logged: unknown[] = [];
  const logger = { ...silentLogger, error: (_message: string, fields?: unknown) => void logged.push(fields) };
  const store = { signing: { ask: async () => await Promise.resolve(answer) } };
  const asking = askingReleaser({ store, keys: [], repositoryId: () => 'repository', clock: systemClock, logger });
  const stored = seal(signer, 'floe/release', release(3));
  const connect = async (): Promise<void> => {
    for (let nonce = 0; nonce < 20; nonce += 1) await asking.permit(stored, { ...permit(3, 3), nonce: `${nonce}` });
  };
  await connect();
  expect(logged).toMatchObject([{ host: HOST, kind: 'permit', why: 'no' }]);
  answer = { envelope: JSON.stringify(stored) };
  await connect();
  answer = { refused: 'no' };
  await connect();
  expect(logged).toHaveLength(2);
});
