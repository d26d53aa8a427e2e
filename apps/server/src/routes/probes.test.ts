import { ProbeConfigViews, ProbeTested } from '@floe/protocol';
import { Secret, silentLogger, systemClock, type SecretSource } from '@floe/runtime';
import { startHttpReceiver } from '@floe/testkit';
import * as v from 'valibot';
import { expect, test } from 'vitest';
import type { ConfiguredProbe } from '../probes/probes-config.ts';
import { Probes } from '../probes/probes.ts';
import { fakeApp } from '../test/fake-app.ts';

const secret: SecretSource = { setting: 'FLOE_PROBES_FILE', read: async () => await Promise.resolve(new Secret('nobody-else-has-it')) };
const unused = async () => await Promise.reject(new Error('not asked here'));

function appFor(probes: readonly ConfiguredProbe[]) {
  const store = { rollouts: { claimProbe: unused, answerProbe: unused }, revisions: { get: unused } };
  return fakeApp({ probes: new Probes({ probes, store, clock: systemClock, random: () => 0.5, logger: silentLogger }) });
}
const webhook = (url: string): ConfiguredProbe => ({ name: 'shop', address: { kind: 'webhook', url, secret } });

test('the list has no secret of any probe', async () => {
  const address = {
    kind: 'prometheus',
    url: 'https://prom.example.org/in-the-path',
    query: 'up',
    max: 1,
    min: 0,
    login: { user: 'floe', password: secret },
  } as const;
  const { ask } = appFor([webhook('https://probes.example.org/in-the-path?token=in-the-query'), { name: 'errors', address }]);
  const { status, body } = await ask('GET', '/api/probes');
  expect(status).toBe(200);
  expect(v.parse(ProbeConfigViews, body)).toEqual([
    { name: 'shop', kind: 'webhook', place: 'https://probes.example.org', query: null, good: null },
    { name: 'errors', kind: 'prometheus', place: 'https://prom.example.org', query: 'up', good: 'at least 0 and at most 1' },
  ]);
  expect(JSON.stringify(body)).not.toMatch(/in-the|nobody-else/);
});

test('a test asks about nothing, and is in the audit log with the answer', async () => {
  await using receiver = await startHttpReceiver();
  receiver.answer = (response) => void response.end('{"verdict":"bad","detail":"checkout fails\\n\\u001b[31m"}');
  const { ask, audit } = appFor([webhook(`${receiver.url}/shop`)]);
  const { status, body } = await ask('POST', '/api/probes/shop/test');
  expect(status).toBe(200);
  expect(v.parse(ProbeTested, body)).toMatchObject({ verdict: 'bad', text: 'probe shop says no: checkout fails' });
  expect(audit).toMatchObject([{ actor: 'ada', action: 'test-probe', subject: 'shop', detail: 'probe shop says no: checkout fails' }]);
  expect(JSON.parse(receiver.received[0]?.body ?? '')).toMatchObject({ kind: 'probe-test', probe: 'shop', commit: null, ring: null, hosts: null });
});

test('a probe that does not exist is named', async () => {
  expect(await appFor([]).ask('POST', '/api/probes/shop/test')).toMatchObject({ status: 404, code: 'PROBE_UNKNOWN' });
});
