import { expect, test } from 'vitest';
import { lastWords, MAX_LOG_CHARACTERS, redactedTail } from './redact.ts';

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
