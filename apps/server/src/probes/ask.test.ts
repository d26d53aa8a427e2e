import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { gzipSync } from 'node:zlib';
import { countRing, printableLine } from '@floe/model';
import { signWebhook } from '@floe/notify';
import { FloeError, Secret, type SecretSource } from '@floe/runtime';
import { startHttpReceiver, type HttpReceiver } from '@floe/testkit';
import fc from 'fast-check';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { ProbeAddress } from './probe-address.ts';
import { ask } from './ask.ts';
import { judgeValue } from './ask-prometheus.ts';

const NOW = 1_790_000_000_000;
const SECRET = 'a-secret-that-nobody-else-has';
const secretOf = (text: string): SecretSource => ({ setting: 'FLOE_PROBES_FILE', read: async () => await Promise.resolve(new Secret(text)) });
const about = { commit: 'c'.repeat(40), ring: 'canary', hosts: { ...countRing([]), eligible: 3, verified: 2 } };

let http: HttpReceiver;
beforeAll(async () => void (http = await startHttpReceiver()));
afterAll(async () => await http[Symbol.asyncDispose]());
beforeEach(() => void (http.received.length = 0));

const webhook = (url = `${http.url}/canary`): ProbeAddress => ({ kind: 'webhook', url, secret: secretOf(SECRET) });
const prometheus = (bounds: { readonly max?: number; readonly min?: number } = { max: 0.1 }): ProbeAddress => ({
  kind: 'prometheus',
  url: `${http.url}/prom`,
  query: 'sum(rate(errors[5m])) & "x"',
  max: bounds.max,
  min: bounds.min,
  login: { user: 'floe', password: secretOf(SECRET) },
});
async function asked(probe: ProbeAddress, signal = new AbortController().signal) {
  return await ask(probe, { id: 'probe:1', probe: 'shop', about }, { now: NOW, signal });
}
function answer(body: string, status = 200): void {
  http.answer = (response) => void response.writeHead(status, { 'content-type': 'text/html' }).end(body);
}
const json = (value: unknown, status = 200): void => answer(JSON.stringify(value), status);

describe('whoever may read the answers', () => {
  const forms = (user: string, secret: string): readonly string[] => [
    secret,
    JSON.stringify({ said: secret }),
    encodeURIComponent(secret),
    Buffer.from(secret).toString('base64'),
    `Authorization: Basic ${Buffer.from(`${user}:${secret}`).toString('base64')}`,
  ];

  test('does not see a secret in whichever form the other side repeats it', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.string({ minLength: 12, maxLength: 40, unit: 'grapheme-ascii' }).filter((text) => text.trim() === text),
        fc.nat(4),
        async (secret, form) => {
          const said = forms('floe', secret)[form] ?? secret;
          json({ verdict: 'bad', detail: `you sent ${said} to me`, status: 'error', error: said });
          const hook: ProbeAddress = { kind: 'webhook', url: http.url, secret: secretOf(secret) };
          const metrics: ProbeAddress = {
            ...prometheus(),
            kind: 'prometheus',
            url: http.url,
            query: 'x',
            max: 1,
            min: undefined,
            login: { user: 'floe', password: secretOf(secret) },
          };
          for (const probe of [hook, metrics]) {
            const { detail } = await asked(probe);
            for (const shown of [...forms('floe', secret).slice(0, 4), ...(probe === metrics ? [forms('floe', secret)[4] ?? ''] : [])]) {
              expect(detail).not.toContain(shown.replace('Authorization: Basic ', ''));
            }
          }
        },
      ),
      { numRuns: 60 },
    );
  });
});

describe('a webhook', () => {
  test('is asked about commit, ring and hosts by a signed request, and its word is taken', async () => {
    json({ verdict: 'bad', detail: 'checkout fails', more: 1 });
    expect(await asked(webhook())).toEqual({ verdict: 'bad', value: undefined, max: undefined, min: undefined, detail: 'checkout fails' });
    const [{ headers, body, method, path } = expect.fail('nothing came')] = http.received;
    expect([method, path]).toEqual(['POST', '/canary']);
    expect(JSON.parse(body)).toEqual({ id: 'probe:1', kind: 'probe', at: NOW, probe: 'shop', ...about });
    const id = String(headers['webhook-id']);
    expect(headers['webhook-signature']).toBe(signWebhook(SECRET, { id, timestamp: Number(headers['webhook-timestamp']), body }));
    json({ verdict: 'good' });
    expect(await asked(webhook())).toMatchObject({ verdict: 'good', detail: '' });
  });

  test('that redirects is not followed: the signature goes where the administrator said', async () => {
    http.answer = (response, { path }) =>
      path === '/canary' ? void response.writeHead(302, { location: '/other' }).end() : void response.end('{"verdict":"good"}');
    expect(await asked(webhook())).toMatchObject({ verdict: 'unknown', detail: expect.stringContaining('a redirect') as string });
    expect(http.received).toHaveLength(1);
  });

  test('that repeats the secret does not show it to whoever may read', async () => {
    json({ verdict: 'bad', detail: `you sent ${SECRET}` });
    expect((await asked(webhook())).detail).toBe('you sent [redacted]');
  });

  test('whose secret cannot be read gives no answer, and names the setting', async () => {
    const unreadable = { setting: 'x', read: async () => await Promise.reject(new FloeError('SECRET_UNREADABLE', 'FLOE_PROBES_FILE: no file')) };
    expect(await asked({ kind: 'webhook', url: http.url, secret: unreadable })).toMatchObject({
      verdict: 'unknown',
      detail: 'FLOE_PROBES_FILE: no file',
    });
  });
});

describe('Prometheus', () => {
  const vector = (...values: (readonly [labels: Readonly<Record<string, string>>, value: string])[]) => ({
    status: 'success',
    data: { resultType: 'vector', result: values.map(([metric, value]) => ({ metric, value: [NOW / 1000, value] })) },
  });

  test('is asked for the query by a user, and its value compared', async () => {
    json({ ...vector([{ shop: 'eu' }, '0.25']), warnings: ['x'] });
    expect(await asked(prometheus())).toEqual({ verdict: 'bad', value: '0.25', max: 0.1, min: undefined, detail: 'shop="eu"' });
    const [{ headers, path, method } = expect.fail('nothing came')] = http.received;
    expect(method).toBe('GET');
    expect(new URL(path, http.url).pathname).toBe('/prom/api/v1/query');
    expect(new URL(path, http.url).searchParams.get('query')).toBe('sum(rate(errors[5m])) & "x"');
    expect(headers.authorization).toBe(`Basic ${Buffer.from(`floe:${SECRET}`).toString('base64')}`);
    json({ status: 'success', data: { resultType: 'scalar', result: [NOW / 1000, '0.05'] } });
    expect(await asked(prometheus())).toMatchObject({ verdict: 'good', value: '0.05' });
  });

  test.each<[string, unknown, string, string]>([
    ['no series', vector(), 'unknown', 'the query has no result'],
    ['no number', vector([{}, 'NaN']), 'unknown', 'NaN is not a number'],
    ['one series of several beyond the bound', vector([{}, '0'], [{ shop: 'us' }, '7'], [{}, 'NaN']), 'bad', 'shop="us"'],
    ['one series of several without a number', vector([{}, '0'], [{ shop: 'us' }, 'NaN']), 'unknown', 'shop="us"'],
    ['more than any number', vector([{}, '+Inf']), 'bad', ''],
    ['less than any number', vector([{}, '-Inf']), 'good', ''],
    ['a range', { status: 'success', data: { resultType: 'matrix', result: [] } }, 'unknown', 'no vector'],
    ['text', { status: 'success', data: { resultType: 'string', result: [1, 'x'] } }, 'unknown', 'no vector'],
    ['a histogram', { status: 'success', data: { resultType: 'vector', result: [{ metric: {}, histogram: [1, {}] }] } }, 'unknown', 'a histogram'],
    ['an error', { status: 'error', errorType: 'bad_data', error: 'parse error' }, 'unknown', 'bad_data: parse error'],
  ])('that answers with %s', async (_, body, verdict, detail) => {
    json(body);
    expect(await asked(prometheus())).toMatchObject({ verdict, detail: expect.stringContaining(detail) as string });
  });

  test('an answer with an error status says nothing, whatever is in it', async () => {
    json(vector([{}, '0']), 503);
    expect(await asked(prometheus())).toMatchObject({ verdict: 'unknown', detail: 'answered HTTP 503' });
  });

  test('any number is good exactly when it is within the bounds, and anything else is no answer', () => {
    const bound = fc.option(fc.double({ noNaN: true, noDefaultInfinity: true }), { nil: undefined });
    fc.assert(
      fc.property(fc.double({ noNaN: true, noDefaultInfinity: true }), bound, bound, (value, max, min) => {
        const isGood = (max === undefined || value <= max) && (min === undefined || value >= min);
        expect(judgeValue(String(value), { max, min })).toBe(isGood ? 'good' : 'bad');
      }),
    );
    for (const text of ['', ' ', '0x10', '1_0', 'Infinity', 'nan', '--1', '1e', 'null', '1,5', '１'])
      expect(judgeValue(text, { max: 1, min: 0 })).toBe('unknown');
  });
});

describe.each([
  ['webhook', webhook],
  ['prometheus', prometheus],
] as const)('no bad answer of a %s decides anything', (_, make) => {
  test('whatever is in it', async () => {
    const anyBody = fc.oneof(
      fc.json().filter((text) => !/"verdict"|"status"/.test(text)),
      fc.string({ unit: 'binary', maxLength: 200 }),
      fc.constantFrom(
        '<html><body>Sign in</body></html>',
        '',
        '{"verdict":"fine"}',
        '{"verdict":["good"]}',
        '{"verdict":"good"',
        '"good"',
        'null',
        '{"__proto__":{"verdict":"good"}}',
      ),
      fc.constant('[').map((open) => open.repeat(100_000)),
    );
    await fc.assert(
      fc.asyncProperty(anyBody, fc.constantFrom(200, 201, 400, 404, 500, 503), async (body, status) => {
        answer(body, status);
        const result = await asked(make());
        expect(result.verdict).toBe('unknown');
        expect(result.detail.length).toBeLessThanOrEqual(500);
        expect(printableLine(result.detail)).toBe(result.detail);
      }),
      { numRuns: fc.readConfigureGlobal().numRuns ?? 60 },
    );
  });

  test('nor an error status with a good one in it', async () => {
    json({ verdict: 'good', status: 'success', data: { resultType: 'scalar', result: [1, '0'] } }, 500);
    expect(await asked(make())).toMatchObject({ verdict: 'unknown' });
  });

  test('nor one without an end, or that is small only on the wire', async () => {
    http.answer = (response) => {
      response.writeHead(200);
      const more = (): void => void (response.writableEnded || response.destroyed || !response.write('x'.repeat(65_536)) || setImmediate(more));
      response.on('drain', more).on('error', () => undefined);
      more();
    };
    expect(await asked(make())).toMatchObject({ verdict: 'unknown', detail: expect.stringContaining('more than 256 KiB') as string });
    const bomb = gzipSync(Buffer.alloc(20_000_000, ' '));
    http.answer = (response) => void response.writeHead(200, { 'content-encoding': 'gzip' }).end(bomb);
    expect(await asked(make())).toMatchObject({ verdict: 'unknown', detail: expect.stringContaining('more than 256 KiB') as string });
  });

  test('nor one that is late, cut off, no HTTP, or nobody’s', async () => {
    const silent = new AbortController();
    http.answer = () => silent.abort();
    expect(await asked(make(), silent.signal)).toMatchObject({ verdict: 'unknown', detail: 'did not answer in time' });
    http.answer = (response) => void response.writeHead(200, { 'content-length': '100' }).write('{"verdict":"good"}', () => response.destroy());
    expect(await asked(make())).toMatchObject({ verdict: 'unknown' });
    http.answer = (response) => void response.destroy();
    expect(await asked(make())).toMatchObject({ verdict: 'unknown', detail: expect.stringContaining('could not be reached') as string });
    const server = createServer((socket) => socket.on('error', () => undefined).end('SSH-2.0-OpenSSH_9.9\r\n', () => socket.destroy()));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    expect(await asked({ ...make(), url })).toMatchObject({ verdict: 'unknown' });
    await new Promise((resolve) => server.close(resolve));
    expect(await asked({ ...make(), url })).toMatchObject({ verdict: 'unknown', detail: expect.stringContaining('could not be reached') as string });
  });
});
