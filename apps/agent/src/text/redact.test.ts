import fc from 'fast-check';
import { expect, test } from 'vitest';
import { lastWords, MAX_LOG_CHARACTERS, redactedEvent, redactedTail } from './redact.ts';

test('a log leaves the machine without what looks like a secret', () => {
  const log = [
    'fetching https://ada:hunter2@example.org/x',
    'Authorization: Bearer abc.def',
    'DB_PASSWORD="correct horse" and api-key: 1234',
    'using ghp_0123456789abcdef',
    '-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----',
    'restarting web.service',
  ].join('\n');
  const clean = redactedTail(log);
  for (const secret of ['hunter2', 'abc.def', 'correct', 'horse', '1234', 'ghp_', 'AAAA']) expect(clean).not.toContain(secret);
  expect(clean).toContain('https://***@example.org/x');
  expect(clean).toContain('restarting web.service');
});

test('words are cut after the secrets are out: half of one is not to be known by its name any more', () => {
  expect(lastWords('--token=0123456789abcdef', 10)).toBe('-token=***');
  expect(lastWords('see https://token-of-ada@example.org', 21)).toBe('tps://***@example.org');
  expect(lastWords('  short\n', 10)).toBe('short');
});

test('only its end is told, from the beginning of a line', () => {
  const clean = redactedTail(Array.from({ length: 5_000 }, (_, index) => `line ${index}`).join('\n'));
  expect(clean.length).toBeLessThanOrEqual(MAX_LOG_CHARACTERS + 2);
  expect(clean).toMatch(/^…\nline \d+\n/);
  expect(clean).toMatch(/line 4999$/);
});

test('no text takes more time than its length asks for', () => {
  // What the patterns are made of, repeated: a text that makes one of them go back and forth is one of these.
  const pieces = ['a', '-', '.', ':', '/', '://', '@', ' ', '\n', '"', "'", '=', '_', 'A'];
  const words = ['token', 'password', 'api_key', 'private-key', 'authorization', 'bearer ', 'https://', '-----BEGIN ', 'PRIVATE KEY-----', 'ghp_'];
  const Piece = fc.array(fc.constantFrom(...pieces, ...words), { minLength: 1, maxLength: 4 }).map((parts) => parts.join(''));
  const Text = fc.array(fc.tuple(Piece, fc.integer({ min: 1, max: 60_000 })), { minLength: 1, maxLength: 3 });
  fc.assert(
    fc.property(Text, (runs) => {
      const text = runs.map(([piece, times]) => piece.repeat(times / piece.length)).join('');
      const startedAt = performance.now();
      lastWords(text, 100);
      // 180,000 characters take 10 ms; by the square they took 9.6 s for 40,000.
      expect(performance.now() - startedAt).toBeLessThan(2_000);
    }),
    { numRuns: 150, examples: [...pieces, ...words, 'a.', 'a-', 'a-a.'].map((piece) => [[[piece, 60_000] as [string, number]]]) },
  );
});

test('words next to a secret stay, and what is joined to its name does not hide it', () => {
  expect(lastWords('svc+x.y://u:p@h my-db_password=x,next', 100)).toBe('svc+x.y://***@h my-db_password=***,next');
});

test('what waits keeps what it waits for, and of other programs no secret', () => {
  const wait = { what: 'restart' as const, codes: ['INHIBITED'], startsAt: null, latestAt: 5, programs: ['Backup: copy --token=hunter2'] };
  const detail = { code: 'INHIBITED', message: 'waits: Backup: copy --token=hunter2', wait };
  const clean = { code: 'INHIBITED', message: 'waits: Backup: copy --token=***', wait: { ...wait, programs: ['Backup: copy --token=***'] } };
  expect(redactedEvent({ type: 'assessed', epoch: 1, impact: 'units', wait: { detail, until: null } })).toMatchObject({ wait: { detail: clean } });
  expect(redactedEvent({ type: 'reboot-waits', epoch: 1, detail })).toMatchObject({ detail: clean });
});
