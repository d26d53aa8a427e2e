import { createHmac } from 'node:crypto';
import { createRequire } from 'node:module';
import { Secret } from '@floe/runtime';
import type { WebhookDefinition } from '@octokit/webhooks-examples';
import type { PushEvent } from '@octokit/webhooks-types';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { githubWebhooks } from './github-webhook.ts';
import type { WebhookOutcome } from './webhook.ts';

const SECRET = "It's a Secret to Everybody";
const DELIVERY_ID = '72d3162e-cc78-11e3-81ab-4c9367dc0958';
const SHA = '6113728f27ae82c7b1a177c8d03f9e96e0adf246';
// Its types say ES module, its main file is JSON.
const examples = createRequire(import.meta.url)('@octokit/webhooks-examples') as WebhookDefinition[];
const pushExamples = examplesOf('push') as PushEvent[];

function examplesOf(name: string): readonly unknown[] {
  return examples.flatMap((definition) => (definition.name === name ? [...definition.examples] : []));
}

function sign(body: string | Uint8Array, secret = SECRET): string {
  return `sha256=${createHmac('sha256', secret).update(body).digest('hex')}`;
}

interface Sent {
  body: string | Uint8Array;
  headers?: Record<string, string | undefined>;
  secret?: Secret | readonly Secret[];
}

async function receive({ body, headers = {}, secret = new Secret(SECRET) }: Sent): Promise<WebhookOutcome> {
  const all = new Headers();
  const defaults = {
    'content-type': 'application/json',
    'x-github-event': 'push',
    'x-github-delivery': DELIVERY_ID,
    'x-hub-signature-256': sign(body),
  };
  for (const [name, value] of Object.entries({ ...defaults, ...headers })) if (value !== undefined) all.set(name, value);
  return await githubWebhooks.parse({ secret, headers: all, rawBody: typeof body === 'string' ? new TextEncoder().encode(body) : body });
}

const branchPush = {
  ref: 'refs/heads/main',
  before: 'a'.repeat(40),
  after: SHA,
  deleted: false,
  forced: false,
  repository: { full_name: 'ice/fleet', clone_url: 'https://github.com/ice/fleet.git' },
};

describe("GitHub's published examples", () => {
  it('are there', () => {
    expect(pushExamples.length).toBeGreaterThanOrEqual(7);
    expect(pushExamples.some((example) => example.deleted)).toBe(true);
  });

  it.each(pushExamples.map((example, index) => ({ index, ref: example.ref, example })))('push $index of $ref is accepted', async ({ example }) => {
    const outcome = await receive({ body: JSON.stringify(example) });
    expect(outcome).toEqual({
      kind: 'push',
      deliveryId: DELIVERY_ID,
      repeatKey: expect.stringMatching(/^[0-9a-f]{64}$/) as string,
      ref: example.ref,
      before: example.before === '0'.repeat(40) ? undefined : example.before,
      after: example.deleted ? undefined : example.after,
      isDeleted: example.deleted,
      isForced: example.forced,
      pusher: example.pusher.name.toLowerCase() === example.sender.login.toLowerCase() ? example.sender.login.toLowerCase() : undefined,
      repository: { fullName: example.repository.full_name, cloneUrl: example.repository.clone_url, sshUrl: example.repository.ssh_url },
    });
  });

  it.each(examplesOf('ping').map((example, index) => ({ index, example })))('ping $index is a ping', async ({ example }) => {
    expect(await receive({ body: JSON.stringify(example), headers: { 'x-github-event': 'ping' } })).toEqual({
      kind: 'ping',
      deliveryId: DELIVERY_ID,
    });
  });

  it('of every other event are ignored by name', async () => {
    for (const { name, examples: payloads } of examples) {
      if (name === 'push' || name === 'ping') continue;
      const outcome = await receive({ body: JSON.stringify(payloads[0]), headers: { 'x-github-event': name } });
      expect(outcome).toEqual({ kind: 'ignored', deliveryId: DELIVERY_ID, event: name });
    }
  });
});

describe('tampering', () => {
  it('with any one bit of the body is refused', async () => {
    const bodies = pushExamples.map((example) => new TextEncoder().encode(JSON.stringify(example)));
    const flips = fc.constantFrom(...bodies).chain((body) => fc.record({ body: fc.constant(body), at: fc.nat(body.length - 1), bit: fc.nat(7) }));
    await fc.assert(
      fc.asyncProperty(flips, async ({ body, at, bit }) => {
        const tampered = body.slice();
        tampered[at] = (tampered[at] ?? 0) ^ (1 << bit);
        const outcome = await receive({ body: tampered, headers: { 'x-hub-signature-256': sign(body) } });
        expect(outcome).toMatchObject({ kind: 'refused', code: bit === 7 ? 'BODY_NOT_UTF8' : 'SIGNATURE_WRONG' });
      }),
    );
  });

  it('with any one digit of the signature is refused', async () => {
    const body = JSON.stringify(branchPush);
    const right = sign(body);
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 'sha256='.length, max: right.length - 1 }), fc.integer({ min: 1, max: 15 }), async (at, shift) => {
        const digit = ((Number.parseInt(right[at] ?? '0', 16) + shift) % 16).toString(16);
        const signature = right.slice(0, at) + digit + right.slice(at + 1);
        expect(await receive({ body, headers: { 'x-hub-signature-256': signature } })).toMatchObject({
          kind: 'refused',
          status: 401,
          code: 'SIGNATURE_WRONG',
        });
      }),
    );
  });

  it('by cutting or extending the body is refused', async () => {
    const body = JSON.stringify(branchPush);
    for (const other of [`${body} `, body.slice(0, -1), `\uFEFF${body}`]) {
      expect(await receive({ body: other, headers: { 'x-hub-signature-256': sign(body) } })).toMatchObject({ code: 'SIGNATURE_WRONG' });
    }
  });

  it('by swapping a replacement character for bytes that decode to it is refused', async () => {
    const signed = new TextEncoder().encode('{"ref":"\uFFFD"}');
    const other = Uint8Array.from([...new TextEncoder().encode('{"ref":"'), 0xff, ...new TextEncoder().encode('"}')]);
    expect(await receive({ body: other, headers: { 'x-hub-signature-256': sign(signed) } })).toMatchObject({ code: 'BODY_NOT_UTF8' });
  });
});

describe('refusals', () => {
  const body = JSON.stringify(branchPush);
  it.each([
    ['no signature', { body, headers: { 'x-hub-signature-256': undefined } }, 401, 'SIGNATURE_MISSING'],
    [
      'the old SHA-1 signature alone',
      { body, headers: { 'x-hub-signature-256': undefined, 'x-hub-signature': 'sha1=00' } },
      401,
      'SIGNATURE_MISSING',
    ],
    ['a signature of another form', { body, headers: { 'x-hub-signature-256': sign(body).slice(0, -1) } }, 401, 'SIGNATURE_MALFORMED'],
    ['a signature of another secret', { body, headers: { 'x-hub-signature-256': sign(body, 'other') } }, 401, 'SIGNATURE_WRONG'],
    ['no event', { body, headers: { 'x-github-event': undefined } }, 400, 'EVENT_MISSING'],
    ['no delivery id', { body, headers: { 'x-github-delivery': undefined } }, 400, 'DELIVERY_ID_MISSING'],
    ['a delivery id that is none', { body, headers: { 'x-github-delivery': 'a b' } }, 400, 'DELIVERY_ID_MISSING'],
    ['an empty body', { body: '' }, 400, 'BODY_EMPTY'],
    ['a body that is not JSON', { body: '{"ref"' }, 400, 'BODY_NOT_JSON'],
    [
      'a form',
      { body: `payload=${encodeURIComponent(body)}`, headers: { 'content-type': 'application/x-www-form-urlencoded' } },
      415,
      'BODY_FORM_ENCODED',
    ],
    ['a JSON that is no push', { body: '[]' }, 422, 'PAYLOAD_INVALID'],
    ['a commit that is none', { body: JSON.stringify({ ...branchPush, after: 'main' }) }, 422, 'PAYLOAD_INVALID'],
    ['a ref that is none', { body: JSON.stringify({ ...branchPush, ref: 'main' }) }, 422, 'PAYLOAD_INVALID'],
  ] satisfies [string, Sent, number, string][])('%s', async (_name, sent, status, code) => {
    const outcome = await receive(sent);
    expect(outcome).toMatchObject({ kind: 'refused', status, code });
    expect(JSON.stringify(outcome)).not.toContain(SECRET);
  });

  it('name the field that is wrong', async () => {
    const outcome = await receive({ body: JSON.stringify({ ...branchPush, repository: { full_name: 'ice/fleet' } }) });
    expect(outcome).toMatchObject({ message: expect.stringContaining('repository.clone_url') as unknown });
  });
});

describe('a push', () => {
  it('signed by the previous secret is accepted while both are configured', async () => {
    const body = JSON.stringify(branchPush);
    const secret = [new Secret('new'), new Secret(SECRET)];
    expect(await receive({ body, secret })).toMatchObject({ kind: 'push', after: SHA });
    expect(await receive({ body, secret: [new Secret('new')] })).toMatchObject({ code: 'SIGNATURE_WRONG' });
  });

  it('with only a zero commit counts as a deletion', async () => {
    expect(await receive({ body: JSON.stringify({ ...branchPush, after: '0'.repeat(40) }) })).toMatchObject({ isDeleted: true, after: undefined });
  });

  it('with text outside ASCII is checked over its bytes', async () => {
    expect(await receive({ body: JSON.stringify({ ...branchPush, ref: 'refs/heads/größe-🧊' }) })).toMatchObject({ ref: 'refs/heads/größe-🧊' });
  });

  it('cannot be checked without a secret', async () => {
    await expect(receive({ body: JSON.stringify(branchPush), secret: [] })).rejects.toMatchObject({ code: 'WEBHOOK_SECRET_MISSING' });
  });
});

describe('who pushed', () => {
  const pusherOf = async (body: object): Promise<string | undefined> => {
    const outcome = await receive({ body: JSON.stringify({ ...branchPush, ...body }) });
    if (outcome.kind !== 'push') throw new Error(outcome.kind);
    return outcome.pusher;
  };
  const login = fc.stringMatching(/^[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,20}[a-zA-Z0-9])?(?:\[bot\])?$/);

  it('is one account, whatever the case of its name', async () => {
    await fc.assert(
      fc.asyncProperty(login, async (name) => {
        expect(await pusherOf({ pusher: { name: name.toUpperCase().replace('[BOT]', '[bot]') }, sender: { login: name } })).toBe(name.toLowerCase());
      }),
    );
  });

  it('is nobody when GitHub names two accounts, as for a deploy key, or none', async () => {
    const odd = fc.oneof(
      fc.constant(undefined),
      fc.constant(null),
      fc.constant(''),
      fc.string(),
      fc.constantFrom('ada lovelace', 'ada\u0131', 'Ä', 'a'.repeat(200), '../ada'),
    );
    await fc.assert(
      fc.asyncProperty(login, odd, fc.boolean(), async (name, other, isFirst) => {
        fc.pre(other?.toLowerCase() !== name.toLowerCase());
        const [pusher, sender] = isFirst ? [name, other] : [other, name];
        expect(await pusherOf({ pusher: { name: pusher }, sender: { login: sender } })).toBeUndefined();
        expect(await pusherOf(isFirst ? { pusher: { name } } : { sender: { login: name } })).toBeUndefined();
      }),
    );
    expect(await pusherOf({ pusher: null, sender: null })).toBeUndefined();
  });
});
