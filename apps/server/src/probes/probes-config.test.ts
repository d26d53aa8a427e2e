import { isFloeError } from '@floe/runtime';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseConfig, type Config } from '../config.ts';

const ENV = { FLOE_REPOSITORY_URL: 'https://forge.example.org/fleet.git', FLOE_PROBES_FILE: '/probes.json' };
function configOf(file: unknown): Config {
  const files: Readonly<Record<string, string>> = {
    '/probes.json': typeof file === 'string' ? file : JSON.stringify(file),
    '/run/secret': 'a-secret',
  };
  return parseConfig(ENV, (path) => {
    const text = files[path];
    if (text === undefined) throw Object.assign(new Error('none'), { code: 'ENOENT' });
    return text;
  });
}
function problemsOf(file: unknown): string {
  try {
    configOf(file);
  } catch (error) {
    if (isFloeError(error, 'CONFIG_INVALID')) return error.message;
    throw error;
  }
  return '';
}

const WEBHOOK = { name: 'shop', kind: 'webhook', url: 'https://probes.example.org/shop', secretFile: '/run/secret' };
const PROMETHEUS = { name: 'errors', kind: 'prometheus', url: 'https://prometheus.example.org/', query: 'sum(rate(errors[5m]))', max: 0.1 };

describe('the probes', () => {
  test('are none without a file', () => {
    expect(parseConfig({ FLOE_REPOSITORY_URL: ENV.FLOE_REPOSITORY_URL }).probes).toEqual([]);
  });

  test('of each kind are read', () => {
    const config = configOf({ probes: [WEBHOOK, { ...PROMETHEUS, user: 'floe', passwordFile: '/run/secret' }] });
    expect(config.probes).toMatchObject([
      { name: 'shop', address: { kind: 'webhook', url: WEBHOOK.url } },
      { name: 'errors', address: { kind: 'prometheus', url: 'https://prometheus.example.org', max: 0.1, min: undefined, login: { user: 'floe' } } },
    ]);
    expect(config.secretFiles).toContain('/run/secret');
    expect(JSON.stringify(config)).not.toContain('a-secret');
  });

  test.each([
    ['no JSON', '{', 'FLOE_PROBES_FILE: not JSON'],
    ['a word too many', { probes: [{ ...WEBHOOK, colour: 'red' }] }, 'probes.0.colour'],
    ['an unknown kind', { probes: [{ ...WEBHOOK, kind: 'datadog' }] }, 'one of webhook, prometheus'],
    ['a name twice', { probes: [WEBHOOK, { ...PROMETHEUS, name: 'shop' }] }, 'two probes are named shop'],
    ['no bound', { probes: [{ ...PROMETHEUS, max: undefined }] }, 'errors: set max or min'],
    ['a bound that is none', { probes: [{ ...PROMETHEUS, max: '0.1' }] }, 'probes.0.max'],
    ['no query', { probes: [{ ...PROMETHEUS, query: '' }] }, 'probes.0.query: a query of PromQL'],
    ['a login in the URL', { probes: [{ ...PROMETHEUS, url: 'https://ada:secret@prometheus.example.org' }] }, 'without a user name'],
    ['another scheme', { probes: [{ ...WEBHOOK, url: 'file:///etc/passwd' }] }, 'http:// or https://'],
    ['a user without a password', { probes: [{ ...PROMETHEUS, user: 'floe' }] }, 'set user and passwordFile, or neither'],
    [
      'a secret that is away',
      { probes: [{ ...WEBHOOK, secretFile: '/run/none' }] },
      'secretFile of shop: the file /run/none cannot be read (ENOENT)',
    ],
    ['too many', { probes: Array.from({ length: 17 }, (_, n) => ({ ...WEBHOOK, name: `shop${n}` })) }, 'at most 16'],
  ])('with %s are refused', (_what, file, message) => {
    expect(problemsOf(file)).toContain(message);
  });

  test('say what is wrong with any file, and fail at none', () => {
    const anyProbe = fc.oneof(fc.jsonValue(), fc.constantFrom(WEBHOOK, PROMETHEUS));
    fc.assert(
      fc.property(fc.oneof(fc.jsonValue(), fc.record({ probes: fc.array(anyProbe) })), (file) => void problemsOf(file)),
      { numRuns: 200 },
    );
  });
});
