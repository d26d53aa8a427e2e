import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createLogger, silentLogger } from '@floe/runtime';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { lockState, statePaths } from './state-folder.ts';

let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'floe-state-'));
});
afterEach(async () => {
  await rm(dir, { recursive: true });
});

test('one agent at a time has the state', async () => {
  await using _first = await lockState(statePaths(dir), { logger: silentLogger });
  await expect(lockState(statePaths(dir), { logger: silentLogger })).rejects.toMatchObject({ code: 'AGENT_RUNNING' });
});

test.each(['ENOSPC', 'EROFS'])('a disk that takes nothing (%s) does not keep the agent from starting, and it says so', async (code) => {
  const lines: string[] = [];
  const logger = createLogger({ level: 'info', write: (line) => lines.push(line) });
  const take = async (): Promise<never> => await Promise.reject(Object.assign(new Error(code), { code }));
  await using _lock = await lockState(statePaths(dir), { logger, take });
  expect(lines.join()).toContain('free some space');
});

test('a folder that is not for this user is a mistake, and said to be', async () => {
  const take = async (): Promise<never> => await Promise.reject(Object.assign(new Error('EACCES'), { code: 'EACCES' }));
  await expect(lockState(statePaths(dir), { logger: silentLogger, take })).rejects.toThrow('EACCES');
});
