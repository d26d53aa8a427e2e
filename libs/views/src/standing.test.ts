import { HOST_STANDINGS, needsAction } from '@floe/model';
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { hostView } from './fixtures.ts';
import { reasonToWait, standingName, standingWords, stepWords } from './standing.ts';

test('a host that waits says what for, in words of its own', () => {
  const detail = { code: 'ON_BATTERY', message: 'on battery with 12 %' };
  expect(standingWords(hostView('ws1', { standing: 'waiting', state: 'DEFERRED' }))).toBe('waiting');
  expect(standingWords(hostView('ws1', { standing: 'waiting', state: 'BOOT_STAGED' }))).toBe('waiting for a restart');
  expect(standingWords(hostView('ws1', { standing: 'local-override', state: 'IDLE' }))).toBe('kept by its user');
  expect(reasonToWait(hostView('ws1', { standing: 'waiting', detail }))).toBe('on battery with 12 %');
  expect(reasonToWait(hostView('ws1', { detail }))).toBeNull();
});

test('each standing has its own name', () => {
  expect(new Set(HOST_STANDINGS.map(standingName)).size).toBe(HOST_STANDINGS.length);
});

test('the table of libs/model/SPEC.md says what the code says', () => {
  const spec = readFileSync(new URL('../../model/SPEC.md', import.meta.url), 'utf8');
  const rows = [...spec.matchAll(/^\| `([a-z-]+)` \| ([a-zF' ]+) \| (needed|–) \| /gm)].map(([, ...cells]) => cells.join(' | '));
  expect(rows.toSorted()).toEqual(
    HOST_STANDINGS.map((standing) => `${standing} | ${standingName(standing)} | ${needsAction(standing) ? 'needed' : '–'}`).toSorted(),
  );
});

test.each([
  [{ state: 'DOWNLOADING', progress: { doneBytes: 40, expectedBytes: 100 } }, 'downloading 40 %'],
  [{ state: 'DOWNLOADING', progress: null }, 'downloading'],
  [{ state: 'ACTIVATING' }, 'activating'],
  [{ state: 'SUCCEEDED' }, 'about to start'],
] as const)('a host under way, %o, says the step', (over, text) => {
  expect(stepWords(hostView('ws1', { standing: 'under-way', ...over }))).toBe(text);
});
