import { execFileSync } from 'node:child_process';
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { OF_THIS_MACHINE } from './of-this-machine.ts';

const ROOT = join(import.meta.dirname, '../..');
/** What every machine has, and what does the same on each. */
const BASIC: ReadonlySet<string> = new Set(['/bin/sh', 'chmod', 'flock', 'id', 'kill', 'nix-store', 'rm']);
const CALL = /\b(?:exec|spawn)\(\s*'([^']{1,100})'/g;

test('no program that the agent calls is found by a unit test, unless that brings its own', () => {
  const files = globSync('apps/agent/src/**/*.ts', { cwd: ROOT }).filter((file) => !file.endsWith('.test.ts') && !file.includes('/test/'));
  const called = new Set(files.flatMap((file) => [...readFileSync(join(ROOT, file), 'utf8').matchAll(CALL)].map(([, name]) => name ?? '')));
  expect(called.size).toBeGreaterThan(5);
  expect([...called].filter((name) => !BASIC.has(name) && !OF_THIS_MACHINE.includes(name))).toEqual([]);
});

test('whoever calls one is told to bring its own', () => {
  // Without the note that would fail this file.
  const script = readFileSync(join(process.env['PATH']?.split(':')[0] ?? '', 'notify-send'), 'utf8').replace(/^echo "notify-send.*$/m, '');
  expect(() => execFileSync('/bin/sh', ['-c', script], { stdio: 'pipe' })).toThrow(
    'a unit test called notify-send of this machine: give it a fake one',
  );
});
