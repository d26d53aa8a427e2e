import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { silentLogger } from '@floe/runtime';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { judgeDirective } from '../server/judge-directive.ts';
import { forget } from './forget.ts';
import { readJournal, saveJournal } from '../state/journal-file.ts';
import { lockState, statePaths } from '../state/state-folder.ts';
import { directiveContext, journalWith, newAuthorities, NOW, REF, REPOSITORY, sealDirective, storePath } from '../test/fixtures.ts';

const YEAR_MS = 365 * 24 * 3600_000;
const keys = newAuthorities();
let stateDir: string;

beforeEach(async () => {
  stateDir = await mkdtemp(join(tmpdir(), 'floe-forget-'));
});
afterEach(async () => {
  await rm(stateDir, { recursive: true });
});

async function verdict(): Promise<string> {
  const reading = await readJournal(statePaths(stateDir).journal);
  if (reading.kind !== 'read') throw new Error('there is no journal');
  const admission = judgeDirective(
    sealDirective(keys, { release: { expiresAt: NOW + YEAR_MS } }),
    directiveContext(keys, { serverNow: NOW, journal: reading.journal }),
  );
  return admission.kind === 'refused' ? admission.detail.code : admission.kind;
}

test('a machine that was told too far can be steered again, and keeps the rest of what it knows', async () => {
  const told = { repository: REPOSITORY, ref: REF, sequence: 1_000_000 };
  const before = journalWith({
    epoch: 900_000,
    sequences: [told],
    freshness: { ...told, asOf: NOW + 2 * YEAR_MS },
    quarantined: [storePath('bad')],
    nextReportSeq: 7,
  });
  await saveJournal(statePaths(stateDir).journal, before);
  expect(await verdict()).toBe('RELEASE_EXPIRED');
  expect(await forget(['date'], { stateDir })).toContain('forgotten: date 20');
  expect(await verdict()).toBe('SEQUENCE_LOWER');
  await forget(['sequence'], { stateDir });
  expect(await verdict()).toBe('EPOCH_LOWER');
  expect(await forget(['epoch'], { stateDir })).toContain('epoch 900000');
  expect(await verdict()).toBe('accepted');
  const reading = await readJournal(statePaths(stateDir).journal);
  expect(reading).toEqual({ kind: 'read', journal: { ...before, epoch: 0, sequences: [], freshness: null } });
});

test('nothing is forgotten under an agent that runs, of a word that is none, or where there is nothing', async () => {
  await expect(forget(['epoch'], { stateDir })).rejects.toMatchObject({ code: 'NO_STATE' });
  const paths = statePaths(stateDir);
  await saveJournal(paths.journal, journalWith({ epoch: 5 }));
  await expect(forget([], { stateDir })).rejects.toMatchObject({ code: 'USAGE' });
  await expect(forget(['epoch', 'everything'], { stateDir })).rejects.toMatchObject({ code: 'USAGE' });
  {
    await using _lock = await lockState(paths, { logger: silentLogger });
    await expect(forget(['epoch'], { stateDir })).rejects.toMatchObject({ code: 'AGENT_RUNNING' });
  }
  await writeFile(paths.journal, '{');
  await expect(forget(['epoch'], { stateDir })).rejects.toMatchObject({ code: 'JOURNAL_BROKEN' });
});
