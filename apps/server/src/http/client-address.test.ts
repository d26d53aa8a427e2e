import { addressGroup } from '@floe/runtime';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { trustProxies } from './client-address.ts';

const stranger = fc.oneof(
  fc.ipV4().filter((address) => !address.startsWith('127.') && !address.startsWith('10.')),
  fc.constantFrom('2001:db8:1:2:3::4', '2001:db8:2::1'),
);
const proxy = fc.constantFrom('127.0.0.1', '::1', '10.1.2.3', '::ffff:127.0.0.1');
const noAddress = fc.oneof(
  fc.constantFrom('', ' ', 'unknown', '_hidden', 'x', '127.1', '1.2.3.4:80', '[::1]', '1.2.3.4;', '0x7f.0.0.1', '127.0.0.1\0', 'a'.repeat(8_000)),
  fc.string().filter((text) => !text.includes(',') && !/^[\s0-9a-f:.%]*$/i.test(text)),
);
const anything = fc.oneof(stranger, proxy, noAddress);
const list = fc.array(anything, { maxLength: 12 }).map((hops) => hops.join(', '));
const TRUSTED = trustProxies(['127.0.0.1', '::1', '10.1.0.0/16']);

describe('who asks', () => {
  test('is the other end of the connection, whatever it says, unless that is a trusted proxy', () => {
    fc.assert(
      fc.property(stranger, list, (peer, forwarded) => {
        expect(TRUSTED.of(peer, forwarded)).toBe(addressGroup(peer));
      }),
    );
  });

  test('is the other end of the connection without a setting, from this machine too: foreign code runs here', () => {
    fc.assert(
      fc.property(anything, list, (peer, forwarded) => {
        expect(trustProxies([]).of(peer, forwarded)).toBe(addressGroup(peer));
      }),
    );
  });

  test('is whom the trusted proxies name, whatever was claimed before them', () => {
    fc.assert(
      fc.property(stranger, fc.array(proxy, { minLength: 1, maxLength: 4 }), list, (client, [peer = '', ...through], claimed) => {
        expect(TRUSTED.of(peer, [claimed, client, ...through].join(', '))).toBe(addressGroup(client));
      }),
    );
  });

  test('is the last proxy that is known when what it names is no address', () => {
    fc.assert(
      fc.property(proxy, noAddress, list, (peer, odd, claimed) => {
        expect(TRUSTED.of(peer, `${claimed},${odd}`)).toBe(addressGroup(peer));
      }),
    );
  });

  test('is found within few steps, however long the list is', () => {
    const chain = Array.from({ length: 2_000_000 }, () => '127.0.0.1').join(',');
    expect(TRUSTED.of('127.0.0.1', `192.0.2.1,${chain}`)).toBe('127.0.0.1');
  });

  test('is an address or a network, always', () => {
    fc.assert(
      fc.property(fc.option(anything, { nil: undefined }), fc.option(list, { nil: undefined }), (peer, forwarded) => {
        expect(TRUSTED.of(peer, forwarded)).toMatch(/^(unknown|[\d.]+|[\da-f:]+::\/64)$/);
      }),
    );
  });
});
