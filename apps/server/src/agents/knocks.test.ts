import type { HostName } from '@floe/model';
import { silentLogger, systemClock, Troubles } from '@floe/runtime';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Knocks } from './knocks.ts';

const MINUTE_MS = 60_000;
const ADA = 'ada' as HostName;
const SECONDS_MS = 3_000;
const away = { host: ADA, isConnected: false, revokedAt: undefined, unreadable: undefined };

function setUp() {
  let now = 0;
  const clock = { ...systemClock, now: () => now, monotonic: () => now };
  const changes: string[] = [];
  const troubles = new Troubles({ clock, logger: silentLogger, onChange: (subject) => void changes.push(subject) });
  const pass = (ms: number): void => void (now += ms);
  return { knocks: new Knocks({ troubles, clock }), troubles, changes, pass };
}

test('an agent with another key is the problem of the host that it asks to be, until the right one is there', () => {
  const { knocks, troubles, pass } = setUp();
  const knock = (code: string): void => {
    for (let time = 0; time < 2; time += 1) {
      knocks.note(code, away);
      pass(SECONDS_MS);
    }
  };
  knock('HOST_KEY_UNKNOWN');
  expect(troubles.of(ADA)).toMatchObject({ code: 'HOST_KEY_UNKNOWN', message: expect.stringContaining('knocks as ada') });
  knocks.end(ADA);
  expect(troubles.of(ADA)).toBeUndefined();
  knock('HOST_NOT_ENROLLED');
  expect(troubles.of(ADA)?.message).toContain('none is enrolled');
});

test('a machine that is refused once, and enrols then, is no problem', () => {
  const { knocks, changes, pass } = setUp();
  for (let machine = 0; machine < 2; machine += 1) {
    knocks.note('HOST_NOT_ENROLLED', away);
    knocks.end(ADA);
    pass(SECONDS_MS);
  }
  expect(changes).toEqual([]);
});

test('it is forgotten half an hour after the last one asked', () => {
  const { knocks, troubles, pass } = setUp();
  knocks.note('HOST_KEY_UNKNOWN', away);
  pass(20 * MINUTE_MS);
  knocks.note('HOST_KEY_UNKNOWN', away);
  pass(20 * MINUTE_MS);
  knocks.forgetOld();
  expect(troubles.of(ADA)).toBeDefined();
  pass(11 * MINUTE_MS);
  knocks.forgetOld();
  expect(troubles.of(ADA)).toBeUndefined();
});

test('whoever knocks, as whom and how often: only hosts that there are, and whose agent is away, have a problem, told once each', () => {
  const knock = fc.record({
    code: fc.constantFrom('HOST_KEY_UNKNOWN', 'HOST_KEY_UNKNOWN', 'HOST_CLONED', 'HOST_REVOKED', 'PROTOCOL_UNSUPPORTED', '__proto__', 'toString'),
    host: fc.constantFrom('away', 'connected', 'revoked', 'unreadable', 'unknown'),
  });
  fc.assert(
    fc.property(fc.array(knock, { maxLength: 200 }), (all) => {
      const { knocks, troubles, changes, pass } = setUp();
      for (const { code, host } of all) {
        pass(SECONDS_MS);
        const row = {
          host: host as HostName,
          isConnected: host === 'connected',
          revokedAt: host === 'revoked' ? 1 : undefined,
          unreadable: host === 'unreadable' ? 'bad' : undefined,
        };
        knocks.note(code, host === 'unknown' ? undefined : row);
      }
      const isKnocked = all.filter(({ code, host }) => code === 'HOST_KEY_UNKNOWN' && host === 'away').length > 1;
      expect(changes).toEqual(isKnocked ? ['away'] : []);
      expect(troubles.of('away') !== undefined).toBe(isKnocked);
    }),
  );
});
