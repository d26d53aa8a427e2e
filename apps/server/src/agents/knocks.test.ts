import type { HostName } from '@floe/model';
import { silentLogger, systemClock, Troubles } from '@floe/runtime';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Knocks } from './knocks.ts';

const MINUTE_MS = 60_000;
const ADA = 'ada' as HostName;
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
  const { knocks, troubles } = setUp();
  knocks.note('HOST_KEY_UNKNOWN', away);
  expect(troubles.of(ADA)).toMatchObject({ code: 'HOST_KEY_UNKNOWN', message: expect.stringContaining('knocks as ada') });
  knocks.end(ADA);
  expect(troubles.of(ADA)).toBeUndefined();
  knocks.note('HOST_NOT_ENROLLED', away);
  expect(troubles.of(ADA)?.message).toContain('floe enrol ada');
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
      const { knocks, troubles, changes } = setUp();
      for (const { code, host } of all) {
        const row = {
          host: host as HostName,
          isConnected: host === 'connected',
          revokedAt: host === 'revoked' ? 1 : undefined,
          unreadable: host === 'unreadable' ? 'bad' : undefined,
        };
        knocks.note(code, host === 'unknown' ? undefined : row);
      }
      const isKnocked = all.some(({ code, host }) => code === 'HOST_KEY_UNKNOWN' && host === 'away');
      expect(changes).toEqual(isKnocked ? ['away'] : []);
      expect(troubles.of('away') !== undefined).toBe(isKnocked);
    }),
  );
});
