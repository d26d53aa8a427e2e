import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseReleaseFile } from './release-file.ts';

const path = (name: string): string => `/nix/store/${'a'.repeat(32)}-${name}`;
const parsed = (value: unknown) => parseReleaseFile(typeof value === 'string' ? value : JSON.stringify(value), 'file');
const message = (value: unknown): string => {
  try {
    parsed(value);
  } catch (error) {
    return (error as Error).message;
  }
  throw new Error('it was taken');
};

const anyHosts = fc.uniqueArray(fc.stringMatching(/^[a-z][a-z0-9]{0,8}$/), { minLength: 1, maxLength: 6 });

test('a map of hosts and store paths, and the same as agents of Cachix Deploy, are the same', () => {
  fc.assert(
    fc.property(anyHosts, (hosts) => {
      const map = Object.fromEntries(hosts.map((host) => [host, path(host)]));
      const expected = hosts.map((host) => ({ host, storePath: path(host) }));
      const byName = (systems: typeof expected) => systems.toSorted((one, other) => (one.host < other.host ? -1 : 1));
      for (const file of [map, { agents: map }, { agents: map, rollbackScript: null }, { agents: map, rollbackScript: {} }]) {
        const { systems, hasRollbackScript } = parsed(file);
        expect(byName(systems as typeof expected)).toEqual(byName(expected));
        expect(hasRollbackScript).toBe(false);
      }
    }),
  );
});

test('a host may be called agents, or rollbackScript', () => {
  expect(parsed({ agents: path('agents'), rollbackScript: path('x') }).systems).toHaveLength(2);
});

test('a rollback script is noticed', () => {
  expect(parsed({ agents: { ada: path('a') }, rollbackScript: { 'x86_64-linux': path('script') } }).hasRollbackScript).toBe(true);
});

test('a key that is there twice is named, wherever it is and however it is written; the last one never counts in silence', () => {
  fc.assert(
    fc.property(anyHosts, fc.nat(5), fc.boolean(), fc.boolean(), (hosts, at, isForCachix, isEscaped) => {
      const host = hosts[at % hosts.length] ?? '';
      const again = isEscaped ? `\\u${host.charCodeAt(0).toString(16).padStart(4, '0')}${host.slice(1)}` : host;
      const map = `{${[...hosts.map((each) => `"${each}": "${path('one')}"`), `"${again}" : "${path('two')}"`].join(', ')}}`;
      expect(message(isForCachix ? `{"agents": ${map}}` : map)).toBe(`file: "${host}" is in it twice`);
    }),
  );
});

test('a text that looks like a key is none', () => {
  expect(
    parsed({ agents: { ada: path('a') }, rollbackScript: { 'x"ada": ': path('b'), list: ['ada', { ada: 1 }, { ada: 2 }] } }).systems,
  ).toHaveLength(1);
});

describe('says what is wrong, and with which entry:', () => {
  test.each<[unknown, RegExp]>([
    ['', /it is not JSON/],
    ['[]', /has to be an object/],
    ['null', /has to be an object/],
    ['{}', /there is no host in it/],
    [{ agents: {} }, /there is no host in it/],
    [{ ada: '/nix/store/x' }, /^file: "ada": "\/nix\/store\/x" is no store path/],
    [{ ada: `${path('a')}/bin/sh` }, /^file: "ada": .* is no store path/],
    [{ ada: 5 }, /^file: "ada": 5 is no store path/],
    [{ 'a b': path('a') }, /^file: "a b": a host name is/],
    [{ ada: 5, 'a b': 6, bob: path('b') }, /^file: \n {2}"ada": 5 .*\n {2}"a b": a host name.*\n {2}"a b": 6/],
    [{ agents: { ada: path('a') }, more: 1 }, /beside "agents" it has "more"/],
    [Object.fromEntries(Array.from({ length: 10_001 }, (_, index) => [`h${index}`, path('a')])), /10001 hosts, of 10000 at most/],
  ])('%s', (value, why) => {
    expect(message(value)).toMatch(why);
  });

  test('a thousand wrong entries are named in part', () => {
    const lines = message(Object.fromEntries(Array.from({ length: 1_000 }, (_, index) => [`h${index}`, 'x']))).split('\n');
    expect(lines).toHaveLength(22);
    expect(lines.at(-1)).toBe('  and 980 more');
  });
});
