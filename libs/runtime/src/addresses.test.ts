import fc from 'fast-check';
import { isIPv4 } from 'node:net';
import { describe, expect, test } from 'vitest';
import { addressGroup, isLoopback, isSentInClear } from './addresses.ts';

const label = fc.stringMatching(/^[a-z][a-z0-9-]{0,10}[a-z0-9]$/);

describe('this machine', () => {
  test.each(['localhost', 'LOCALHOST', '127.0.0.1', '127.255.255.254', '[::1]', '::1'])('%s is it', (host) => {
    expect(isLoopback(host)).toBe(true);
  });

  test.each(['127.evil.example', '127.0.0.1.evil.example', 'localhost.evil.example', '127.0.0.1.', '[::2]', '128.0.0.1', '0.0.0.0', '', '127.1'])(
    '"%s" is not',
    (host) => {
      expect(isLoopback(host)).toBe(false);
    },
  );

  test('every address of 127/8 is loopback, and no other IPv4 address', () => {
    fc.assert(
      fc.property(fc.ipV4(), (address) => {
        expect(isLoopback(address)).toBe(address.startsWith('127.'));
      }),
    );
    fc.assert(
      fc.property(fc.nat(255), fc.nat(255), fc.nat(255), (b, c, d) => {
        expect(isLoopback(`127.${b}.${c}.${d}`)).toBe(true);
      }),
    );
  });

  test('no name that can be registered is loopback, whatever it begins or ends with', () => {
    const odd = fc.constantFrom('127', '127.0.0.1', 'localhost', '127.0', '1');
    fc.assert(
      fc.property(fc.array(fc.oneof(odd, label), { maxLength: 3 }), label, label, (before, name, top) => {
        const host = new URL(`http://${[...before, name, `x${top}`].join('.')}/`).hostname;
        if (!isIPv4(host)) expect(isLoopback(host)).toBe(false);
      }),
    );
  });
});

test.each([
  ['http://127.evil.example/', true],
  ['http://localhost.evil.example:8420', true],
  ['ws://fleet.example/agent', true],
  ['http://user:secret@fleet.example/fleet.git', true],
  ['http://127.0.0.1:8420', false],
  ['http://127.1/', false],
  ['http://0x7f000001/', false],
  ['http://[::1]:80/', false],
  ['http://LOCALHOST/', false],
  ['https://127.evil.example/', false],
])('%s is exposed to eavesdropping: %s', (url, isClear) => {
  expect(isSentInClear(url)).toBe(isClear);
});

test.each([
  ['192.0.2.7', '192.0.2.7'],
  ['::ffff:192.0.2.7', '192.0.2.7'],
  ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
  ['2001:db8:1:2::6', '2001:db8:1:2::/64'],
  ['2001:db8::6', '2001:db8:0:0::/64'],
  ['::1', '0:0:0:0::/64'],
  ['fe80::1%eth0', 'fe80:0:0:0::/64'],
  [undefined, 'unknown'],
])('%s counts as %s', (address, group) => {
  expect(addressGroup(address)).toBe(group);
});
