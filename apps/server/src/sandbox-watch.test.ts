import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { exec, silentLogger, systemClock } from '@floe/runtime';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { Notices } from './notices.ts';
import { watchSandbox } from './sandbox-watch.ts';

let dir = '';
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'floe-sandbox-watch-'));
});
afterAll(async () => await rm(dir, { recursive: true, force: true }));

test('people are told when the sandbox breaks while the server runs, and when it works again', async () => {
  const file = join(dir, 'bwrap');
  const install = async (script: string): Promise<void> => {
    await writeFile(file, `#!/bin/sh\n${script}\n`);
    await chmod(file, 0o755);
  };
  const notices = new Notices();
  const stop = new AbortController();
  let news = 0;
  const sandbox = { prepare: async () => ({ file, args: [], env: {}, [Symbol.asyncDispose]: async () => undefined }) };
  await install('exit 0');
  const deps = { sandbox, exec, clock: systemClock, logger: silentLogger, notices, onNews: () => (news += 1) };
  const watching = watchSandbox(deps, stop.signal, 5);
  const said = async (about: string | undefined): Promise<void> =>
    await vi.waitFor(
      () => expect(notices.list().map(({ message }) => message)).toEqual(about === undefined ? [] : [expect.stringContaining(about)]),
      20_000,
    );
  try {
    await said(undefined);
    await install('echo "bwrap: No permissions to create a new namespace" >&2; exit 1');
    await said('No permissions to create a new namespace');
    await install('exit 0');
    await said(undefined);
    await rm(file);
    await said('can no longer be run');
    await install('exit 0');
    await said(undefined);
    expect(news).toBe(4);
  } finally {
    stop.abort();
    await watching;
  }
});
