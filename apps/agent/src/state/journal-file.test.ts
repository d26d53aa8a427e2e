import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { decide } from '@floe/model';
import { createLogger, silentLogger, systemClock } from '@floe/runtime';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { openJournal, readJournal, saveJournal } from './journal-file.ts';
import { journalWith, NOW, REF, REPOSITORY, reportWith, storePath } from '../test/fixtures.ts';
import type { AgentDirective, CommitSha } from '@floe/model';

let dir: string;
let path: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'floe-journal-'));
  path = join(dir, 'journal.json');
});
afterEach(async () => await rm(dir, { recursive: true }));

const clock = { ...systemClock, now: () => NOW };
const directive: AgentDirective = {
  trial: null,
  epoch: 1,
  mode: 'activate',
  isRetry: false,
  envelope: '{}',
  release: { repository: REPOSITORY, ref: REF, commit: 'c'.repeat(40) as CommitSha, sequence: 1, toplevel: storePath('new'), closureSizeBytes: 1 },
};

test('a journal comes back as it was written, with everything in it', async () => {
  const full = journalWith({
    state: 'ROLLING_BACK',
    detail: { code: 'X', message: 'y', wait: { what: 'restart', codes: ['X'], startsAt: NOW, latestAt: null, programs: ['Backup'] } },
    directive,
    pending: { ...directive, epoch: 2 },
    epoch: 2,
    sequences: [directive.release].map(({ repository, ref, sequence }) => ({ repository, ref, sequence })),
    freshness: { repository: REPOSITORY, ref: REF, sequence: 1, asOf: NOW },
    before: {
      toplevel: storePath('old'),
      profile: null,
      failedUnits: ['a.service'],
      serverUrl: null,
      cache: null,
      network: { proxy: 'http://proxy:3128', routers: ['02:00:00:00:00:01'] },
    },
    verdict: 'no-contact',
    interruptions: 1,
    attempt: 2,
    quarantined: [storePath('bad')],
    timings: { downloadMs: 1.5 },
    nextReportSeq: 9,
    report: reportWith(8, { detail: { code: 'X', message: 'y' }, timings: { downloadMs: 1.5 } }),
  });
  await saveJournal(path, full);
  expect(await readJournal(path)).toEqual({ kind: 'read', journal: full });
});

test('every journal that the state machine makes can be read again', async () => {
  const { journal } = decide(journalWith(), { type: 'offered', directive, freshness: null }, NOW);
  await saveJournal(path, journal);
  expect(await openJournal(path, { clock, logger: silentLogger })).toEqual(journal);
});

test('without a journal the agent starts from nothing', async () => {
  expect(await openJournal(path, { clock, logger: silentLogger })).toEqual(journalWith());
});

test.each([
  ['cut off', '{"version":1,"sta'],
  ['empty', ''],
  ['of another version', JSON.stringify({ ...journalWith(), version: 2 })],
  ['with a state that there is not', JSON.stringify({ ...journalWith(), state: 'DANCING' })],
  ['with a path out of the store', JSON.stringify({ ...journalWith(), quarantined: ['/etc/passwd'] })],
])('a journal that is %s is moved aside, said, and not lost', async (_what, text) => {
  await writeFile(path, text);
  const lines: string[] = [];
  const logger = createLogger({ level: 'debug', write: (line) => lines.push(line) });
  expect(await openJournal(path, { clock, logger })).toEqual(journalWith());
  expect(lines.join()).toContain('moved aside');
  const [aside] = await readdir(dir);
  expect(aside).toMatch(/^journal\.json\.broken-/);
  expect(await readFile(join(dir, aside ?? ''), 'utf8')).toBe(text);
});
