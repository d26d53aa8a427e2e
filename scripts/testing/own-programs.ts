// Runs in the process of each file of the unit tests: programs of this machine that talk to its system, its users or its network are not there
// for them. What is installed on a machine, and who is logged in, must not decide what a test finds. A test that needs such a program puts a
// fake one before these in PATH.
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { afterAll } from 'vitest';
import { OF_THIS_MACHINE } from './of-this-machine.ts';

const dir = mkdtempSync(join(tmpdir(), 'floe-no-programs-'));
const calls = join(dir, 'calls');
for (const name of OF_THIS_MACHINE) {
  const path = join(dir, name);
  writeFileSync(
    path,
    `#!/bin/sh\necho "${name} $*" >>'${calls}'\necho 'a unit test called ${name} of this machine: give it a fake one' >&2\nexit 97\n`,
  );
  chmodSync(path, 0o755);
}
process.env['PATH'] = [dir, process.env['PATH'] ?? ''].join(delimiter);

afterAll(() => {
  let called = '';
  try {
    called = readFileSync(calls, 'utf8');
  } catch {
    // None was called.
  }
  rmSync(dir, { recursive: true, force: true });
  if (called !== '') throw new Error(`This test file called programs of this machine; give it fake ones:\n${called}`);
});
