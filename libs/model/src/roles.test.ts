import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { HOST_ACTIONS } from './host-action.ts';
import { ACTIONS, mayDo, RESERVED_TOKEN_NAMES, roleFor, ROLES, TOKEN_NAME_FORM } from './roles.ts';

describe('roles', () => {
  const people = ROLES.filter((role) => role !== 'submitter');

  test('each role of people may do all that the roles below it may, and everybody reads', () => {
    for (const action of ACTIONS) {
      const allowed = people.map((role) => mayDo(role, action));
      expect(allowed, action).toEqual(allowed.toSorted((a, b) => Number(a) - Number(b)));
      expect(mayDo('administrator', action)).toBe(true);
      expect(mayDo(roleFor(action), action)).toBe(true);
    }
    expect(people.every((role) => mayDo(role, 'read'))).toBe(true);
  });

  test('no role but administrator touches who is in the fleet, who may use the API, or the clock', () => {
    for (const action of ['enrol', 'revoke', 'forget', 'accept-clock', 'manage-tokens'] as const)
      expect(
        ROLES.filter((role) => mayDo(role, action)),
        action,
      ).toEqual(['administrator']);
  });

  test('a CI may submit releases and nothing else, which of people only an administrator may', () => {
    expect(ACTIONS.filter((action) => mayDo('submitter', action))).toEqual(['submit-release']);
    expect(people.filter((role) => mayDo(role, 'submit-release'))).toEqual(['administrator']);
  });

  test('a viewer may read and nothing else, and what is no role may nothing', () => {
    expect(ACTIONS.filter((action) => mayDo('viewer', action))).toEqual(['read']);
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.constantFrom('', 'Administrator', 'administrator ', '__proto__', 'root', 'admin')), (text) => {
        fc.pre(!(ROLES as readonly string[]).includes(text) && !(ACTIONS as readonly string[]).includes(text));
        expect(ACTIONS.some((action) => mayDo(text as never, action))).toBe(false);
        expect(ROLES.some((role) => mayDo(role, text as never))).toBe(false);
      }),
    );
  });

  test('every decision about a host is an action', () => {
    expect(ACTIONS).toEqual(expect.arrayContaining([...HOST_ACTIONS]));
  });
});

test('a token’s name is one path segment of an address, and never the server’s own', () => {
  fc.assert(
    fc.property(fc.stringMatching(TOKEN_NAME_FORM), (name) => {
      expect(encodeURIComponent(name)).toBe(name);
      expect(new URL(`/api/tokens/${name}`, 'http://floe').pathname).toBe(`/api/tokens/${name}`);
    }),
  );
  for (const name of ['', '.', '..', 'Ada', 'a b', 'a/b', '-a', 'a-', 'ä', 'a'.repeat(65), 'a\n'])
    expect(TOKEN_NAME_FORM.test(name), name).toBe(false);
  expect(RESERVED_TOKEN_NAMES).toContain('floe');
});
