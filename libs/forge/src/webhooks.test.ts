import { Secret } from '@floe/runtime';
import { FORGE_WAYS, forgeDelivery, pushPayload, type DeliveringForge, type ForgeDelivery } from '@floe/testkit';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { FORGES, WEBHOOKS } from './forges.ts';
import type { WebhookOutcome } from './webhook.ts';

// What holds for the webhooks of every forge. What only GitHub does, with its published examples, is in github-webhook.test.ts.

const SECRET = "It's a Secret to Everybody";
const [BEFORE, AFTER, NONE] = ['a'.repeat(40), 'b'.repeat(40), '0'.repeat(40)];
const PUSH = {
  before: BEFORE,
  after: AFTER,
  login: 'AdaL',
  fullName: 'ice/fleet',
  cloneUrl: 'https://forge.example/ice/fleet.git',
  sshUrl: 'git@forge.example:ice/fleet.git',
};

const readerOf = (sender: DeliveringForge) => WEBHOOKS[sender === 'gitea' ? 'forgejo' : sender];

async function receive(sender: DeliveringForge, delivery: Pick<ForgeDelivery, 'body' | 'headers'>, secrets = [SECRET]): Promise<WebhookOutcome> {
  const headers = new Headers(delivery.headers);
  const rawBody = new TextEncoder().encode(delivery.body);
  const outcome = await readerOf(sender).parse({ secret: secrets.map((secret) => new Secret(secret)), headers, rawBody });
  const judged = readerOf(sender).judgeHeaders(headers);
  // What is refused before the body is read would be refused after it, too.
  if (judged !== undefined) expect(outcome).toEqual(judged);
  return outcome;
}

const SENDERS = Object.keys(FORGE_WAYS) as DeliveringForge[];

test('every forge has its deliveries here', () => {
  expect(SENDERS).toEqual(expect.arrayContaining([...FORGES]));
});

describe.each(SENDERS)('a webhook of %s', (sender) => {
  const { proof, deliveryId, otherEvent, fields } = FORGE_WAYS[sender];
  const good = pushPayload(sender, PUSH);
  const sent = (payload: unknown = good, id?: string): ForgeDelivery => forgeDelivery(sender, payload, SECRET, id);
  const withHeaders = (changes: Record<string, string>): ForgeDelivery => ({ ...sent(), headers: { ...sent().headers, ...changes } });

  test('says who moved which ref from where to where', async () => {
    expect(await receive(sender, sent())).toEqual({
      kind: 'push',
      deliveryId: 'delivery-1',
      repeatKey: expect.stringMatching(/^[0-9a-f]{64}$/) as string,
      ref: 'refs/heads/main',
      before: BEFORE,
      after: AFTER,
      isDeleted: false,
      isForced: false,
      pusher: 'adal',
      repository: { fullName: PUSH.fullName, cloneUrl: PUSH.cloneUrl, sshUrl: PUSH.sshUrl },
    });
  });

  test('tells of a new branch, and of a deleted one', async () => {
    expect(await receive(sender, sent(pushPayload(sender, { ...PUSH, before: NONE })))).toMatchObject({ before: undefined, isDeleted: false });
    expect(await receive(sender, sent(pushPayload(sender, { ...PUSH, after: NONE })))).toMatchObject({ after: undefined, isDeleted: true });
  });

  test('that moves nothing is somebody who tries the webhook, and pushed nothing', async () => {
    expect(await receive(sender, sent(pushPayload(sender, { ...PUSH, before: AFTER })))).toEqual({ kind: 'ping', deliveryId: 'delivery-1' });
  });

  test('of another event is ignored, whatever is in it', async () => {
    await fc.assert(
      fc.asyncProperty(fc.json(), async (body) => {
        const delivery = sent(body);
        const outcome = await receive(sender, { ...delivery, headers: { ...delivery.headers, ...otherEvent } });
        expect(outcome).toEqual({ kind: 'ignored', deliveryId: 'delivery-1', event: Object.values(otherEvent)[0] });
      }),
      { numRuns: 20 },
    );
  });

  test('is taken with the previous secret while that one is set, and with no other', async () => {
    expect(await receive(sender, sent(), ['new', SECRET])).toMatchObject({ kind: 'push' });
    expect(await receive(sender, sent(), ['new', `${SECRET}!`])).toMatchObject({ kind: 'refused', status: 401, code: 'SIGNATURE_WRONG' });
    await expect(receive(sender, sent(), [])).rejects.toMatchObject({ code: 'WEBHOOK_SECRET_MISSING' });
  });

  test('whose proof is absent, empty, of another secret, or changed in one place is refused', async () => {
    const { [proof]: right = '', ...others } = sent().headers;
    expect(await receive(sender, { ...sent(), headers: others })).toMatchObject({ status: 401, code: 'SIGNATURE_MISSING' });
    expect(await receive(sender, withHeaders({ [proof]: '' }))).toMatchObject({ status: 401, code: 'SIGNATURE_MISSING' });
    const wrong = fc.oneof(
      fc.nat(right.length - 1).map((at) => right.slice(0, at) + (right[at] === '0' ? '1' : '0') + right.slice(at + 1)),
      fc.nat(right.length - 1).map((length) => right.slice(0, length)),
      fc.stringMatching(/^[\x21-\x7E]{1,80}$/),
      fc.constantFrom(`${right}0`, right.toUpperCase(), `${right},${right}`, `sha256=${right}`, 'undefined', 'null', 'x'.repeat(10_000)),
    );
    await fc.assert(
      fc.asyncProperty(wrong, async (text) => {
        fc.pre(text !== right);
        const outcome = await receive(sender, withHeaders({ [proof]: text }));
        expect(outcome).toMatchObject({ kind: 'refused', status: 401 });
        expect(JSON.stringify(outcome)).not.toContain(SECRET);
      }),
      { numRuns: 200 },
    );
  });

  test('is a repeat when the same comes again; another push never is', async () => {
    const keyOf = async (delivery: ForgeDelivery): Promise<string> => {
      const outcome = await receive(sender, delivery);
      if (outcome.kind !== 'push') throw new Error(outcome.kind);
      return outcome.repeatKey;
    };
    const key = await keyOf(sent());
    expect(await keyOf(sent())).toBe(key);
    // Two refs that one push moved may come under one id.
    expect(await keyOf(sent(pushPayload(sender, { ...PUSH, ref: 'refs/heads/other' })))).not.toBe(key);
    // Where the body is signed, whoever recorded it cannot make a new push of it by another id.
    if (sender !== 'gitlab') expect(await keyOf(sent(good, 'delivery-2'))).toBe(key);
    // GitLab says the same of a branch that went away and came back.
    else expect(await keyOf(sent(good, 'delivery-2'))).not.toBe(key);
  });

  test.each([
    ['no delivery id', { [deliveryId]: '' }, 400, 'DELIVERY_ID_MISSING'],
    ['a delivery id that is none', { [deliveryId]: 'a b' }, 400, 'DELIVERY_ID_MISSING'],
    ['no event', { [Object.keys(otherEvent)[0] ?? '']: '' }, 400, 'EVENT_MISSING'],
    ['an event that is no name', { [Object.keys(otherEvent)[0] ?? '']: '<b>push</b>' }, 400, 'EVENT_MISSING'],
    ['a form', { 'content-type': 'application/x-www-form-urlencoded' }, 415, 'BODY_FORM_ENCODED'],
  ])('with %s is refused', async (_what, changes, status, code) => {
    expect(await receive(sender, withHeaders(changes))).toMatchObject({ kind: 'refused', status, code });
  });

  test.each(['', '{"ref"', '[]', 'null', '"push"', `${'['.repeat(100_000)}${']'.repeat(100_000)}`])(
    'with a body that is no push is refused (%#)',
    async (body) => {
      expect([400, 422]).toContain(((await receive(sender, sent(body))) as { status?: number }).status);
    },
  );

  test('with anything in any of its fields is refused with an HTTP status, or has only text that can be stored and shown', async () => {
    const text = fc.oneof(
      fc.string({ unit: 'binary', maxLength: 40 }),
      fc.string({ unit: fc.constantFrom('a', '/', '\0', '\uD800', '\uDC00', '\u001B', '\n', '\u2028', '.', 'ü', '🚀'), maxLength: 30 }),
      fc.integer({ min: 1, max: 200_000 }).map((length) => '/'.repeat(length)),
      fc.constantFrom('', '__proto__', 'refs/heads/main', 'refs/heads/ü 1', BEFORE, NONE, 'ada', 'ada[bot]', 'Ada Lovelace', '../ada'),
      fc.string({ maxLength: 10 }).map((name) => `refs/heads/${name}`),
    );
    const anything = fc.oneof(text, fc.double(), fc.constant(null), fc.boolean(), fc.array(text, { maxLength: 3 }), fc.object({ maxDepth: 1 }));
    const changes = fc.dictionary(fc.constantFrom(...fields), anything, { maxKeys: 3 });
    const seen = new Set<string>();
    await fc.assert(
      fc.asyncProperty(changes, async (changed) => {
        const payload: unknown = structuredClone(good);
        for (const [path, value] of Object.entries(changed)) setAt(payload, path.split('.'), value);
        const outcome = await receive(sender, sent(payload));
        seen.add(outcome.kind);
        if (outcome.kind === 'refused') {
          expect([400, 422]).toContain(outcome.status);
          expect(outcome.message.length).toBeLessThan(500);
          return;
        }
        if (outcome.kind !== 'push') return;
        for (const shown of [outcome.ref, outcome.repository.fullName, outcome.repository.cloneUrl, outcome.repository.sshUrl]) {
          expect(shown.length).toBeLessThanOrEqual(2_048);
          expect(shown.isWellFormed()).toBe(true);
          expect(shown).not.toMatch(/[\p{Cc}\p{Zl}\p{Zp}]/u);
        }
        for (const sha of [outcome.before, outcome.after]) expect(sha ?? AFTER).toMatch(/^[0-9a-f]{40}$/);
        expect(outcome.pusher ?? 'ada').toMatch(/^[a-z0-9][a-z0-9._-]*(?:\[bot\])?$/);
      }),
      { seed: 20261128, numRuns: Math.max(300, (fc.readConfigureGlobal().numRuns ?? 0) / 4) },
    );
    expect(seen).toContain('refused');
    expect(seen).toContain('push');
  });
});

function setAt(target: unknown, path: readonly string[], value: unknown): void {
  const [key = '', ...deeper] = path;
  if (typeof target !== 'object' || target === null) return;
  if (deeper.length === 0) Object.defineProperty(target, key, { value, enumerable: true, configurable: true, writable: true });
  else setAt(Reflect.get(target, key), deeper, value);
}

describe('who pushed', () => {
  const pusherOf = async (sender: DeliveringForge, changes: object): Promise<string | undefined> => {
    const outcome = await receive(sender, forgeDelivery(sender, { ...pushPayload(sender, PUSH), ...changes }, SECRET));
    if (outcome.kind !== 'push') throw new Error(outcome.kind);
    return outcome.pusher;
  };

  test.each([
    [{ pusher: { login: 'Ada' }, sender: undefined }, 'ada'],
    [{ pusher: { username: 'Ada' }, sender: undefined }, 'ada'],
    [{ pusher: { login: 'ada', username: 'Ada' }, sender: { login: 'ADA' } }, 'ada'],
    [{ pusher: { login: '', username: 'ada' } }, undefined],
    [{ pusher: { login: 'ada', username: 'bob' }, sender: undefined }, undefined],
    [{ pusher: { login: 'ada' }, sender: { login: 'bob' } }, undefined],
    [{ pusher: null, sender: { login: 'bob' } }, undefined],
    [{ pusher: { login: 'Ada Lovelace' }, sender: undefined }, undefined],
  ])('at Forgejo is one account, or not known: %j', async (changes, login) => {
    expect(await pusherOf('forgejo', changes)).toBe(login);
  });

  test.each([[undefined], [null], [''], ['Ada Lovelace'], ['ada\u0131']])('at GitLab is not known without a login: %j', async (login) => {
    expect(await pusherOf('gitlab', { user_username: login })).toBeUndefined();
  });

  test('is not who presses the button that tries the webhook at GitLab', async () => {
    const commits = [AFTER, 'c'.repeat(40), BEFORE].map((id) => ({ id }));
    const payload = { ...pushPayload('gitlab', PUSH), commits };
    expect(await receive('gitlab', forgeDelivery('gitlab', payload, SECRET))).toMatchObject({ kind: 'ping' });
  });
});
