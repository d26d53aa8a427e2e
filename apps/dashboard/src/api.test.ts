import { describe, expect, test } from 'vitest';
import { createApi } from './api.ts';
import { reportView } from '@floe/views/fixtures';

function apiAnswering(response: () => Response | Promise<never>) {
  const asked: string[] = [];
  const fetch: typeof globalThis.fetch = async (input, init) => {
    asked.push(`${init?.method ?? 'GET'} ${input instanceof Request ? input.url : input.toString()}`);
    return await response();
  };
  return { asked, api: createApi({ fetch, baseUrl: 'https://floe.example.org/below/#/hosts/ws1' }) };
}
const { signal } = new AbortController();

test('addresses are relative to the page, also below a path', async () => {
  const { api, asked } = apiAnswering(() => Response.json([reportView('ws1')]));
  expect(await api.reports('ws1', 20, signal)).toMatchObject({ kind: 'ok', value: [{ host: 'ws1' }] });
  expect(asked).toEqual(['GET https://floe.example.org/below/api/hosts/ws1/reports?limit=20']);
});

test('no word of an answer turns the page’s reading order round', async () => {
  const report = reportView('ws1', { detail: { code: 'X', message: 'a\u202eb\u200b' } });
  const { api } = apiAnswering(() => Response.json([report]));
  expect(await api.reports('ws1', 20, signal)).toMatchObject({ value: [{ detail: { message: 'a\ufffdb' } }] });
  const log = apiAnswering(() => Response.json({ log: '\u001b[31mred\u2067' }));
  expect(await log.api.reportLog({ host: report.host, series: 1, seq: 1 }, signal)).toEqual({ kind: 'ok', value: 'red\ufffd' });
  const refused = apiAnswering(() => Response.json({ error: { code: 'X', message: '\u202ebecause' } }, { status: 409 }));
  expect(await refused.api.revision('3f9c2ab', signal)).toEqual({ kind: 'failed', message: '\ufffdbecause' });
});

describe('what goes wrong is a sentence', () => {
  test.each<[string, () => Response | Promise<never>, object]>([
    [
      'wrong token',
      () => Response.json({ error: { code: 'UNAUTHENTICATED', message: 'unknown token' } }, { status: 401 }),
      { kind: 'signed-out', message: 'unknown token' },
    ],
    ['refused', () => Response.json({ error: { code: 'X', message: 'because' } }, { status: 409 }), { kind: 'failed', message: 'because' }],
    ['a proxy in between', () => new Response('<html>', { status: 502 }), { kind: 'failed', message: 'The server answered 502.' }],
    ['unreachable', async () => await Promise.reject(new TypeError('fetch failed')), { kind: 'failed', message: 'The server cannot be reached.' }],
    ['another form', () => Response.json([{ host: 1 }]), { kind: 'failed', message: expect.stringContaining('Reload') }],
  ])('%s', async (_, response, expected) => {
    expect(await apiAnswering(response).api.reports('ws1', 20, signal)).toMatchObject(expected);
  });
});
