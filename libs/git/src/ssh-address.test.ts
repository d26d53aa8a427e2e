import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseSshAddress } from '@floe/model';
import { execInTest } from '@floe/runtime';
import { ISOLATED_GIT_ENV } from '@floe/testkit';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, it } from 'vitest';

const RUNS = Number(process.env['FLOE_FUZZ_RUNS'] ?? 60);
let dir: string;
let program: string;
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'floe-ssh-address-'));
  program = join(dir, 'ssh');
  await writeFile(program, `#!/bin/sh\nfor each; do printf '%s\\n' "$each" >&2; done\nexit 255\n`);
  await chmod(program, 0o755);
});
afterAll(async () => await rm(dir, { recursive: true, force: true }));

/** The arguments that git gives to ssh; undefined: it starts none. */
async function asked(address: string): Promise<string[] | undefined> {
  const env = { ...process.env, ...ISOLATED_GIT_ENV, GIT_SSH: program, GIT_SSH_VARIANT: 'ssh' };
  const { stderr } = await execInTest('git', ['-c', 'protocol.version=0', 'ls-remote', '--', address], { env });
  const lines = stderr.split('\n');
  const command = lines.findIndex((line) => line.startsWith('git-upload-pack '));
  return command < 0 ? undefined : lines.slice(0, command + 1);
}

const odd = fc.constantFrom(
  '-',
  '.',
  '..',
  '~',
  '/',
  '//',
  ':',
  '@',
  "'",
  '"',
  '\\',
  '$',
  ';',
  '%2e',
  ' ',
  '!',
  '[',
  ']',
  '=',
  ',',
  'a',
  'Z9',
  'ü',
  '#',
);
const name = fc.stringMatching(/^[\w.~+=,@-]{1,8}$/);
const part = fc.oneof({ weight: 6, arbitrary: name }, { weight: 1, arbitrary: odd });
const user = fc.option(fc.oneof({ weight: 6, arbitrary: fc.stringMatching(/^\w[\w.+-]{0,5}$/) }, { weight: 1, arbitrary: odd }));
const host = fc.oneof({ weight: 6, arbitrary: fc.stringMatching(/^[a-z0-9](?:[\w.-]{0,8}[a-z0-9])?$/) }, fc.constantFrom('[fd00::1]', '[::1]'), {
  weight: 1,
  arbitrary: odd,
});
const path = fc.array(part, { minLength: 1, maxLength: 4 }).map((parts) => parts.join('/'));
const port = fc.option(fc.integer({ min: 0, max: 70_000 }));
const address = fc.oneof(
  fc
    .tuple(user, host, port, path)
    .map(([login, at, of, to]) => `ssh://${login === null ? '' : `${login}@`}${at}${of === null ? '' : `:${of}`}/${to}`),
  fc
    .tuple(user, host, fc.boolean(), path)
    .map(([login, at, isAbsolute, to]) => `${login === null ? '' : `${login}@`}${at}:${isAbsolute ? '/' : ''}${to}`),
  fc.array(fc.oneof(odd, name), { maxLength: 8 }).map((parts) => parts.join('')),
);

it('an address is refused, or is to ssh what it is to git', { timeout: 120_000 }, async () => {
  await fc.assert(
    fc.asyncProperty(address, async (text) => {
      const parsed = parseSshAddress(text);
      if (parsed === undefined) return;
      const { user: login, host: at, port: of, path: to } = parsed;
      expect(await asked(text)).toEqual([
        ...(of === undefined ? [] : ['-p', `${of}`]),
        `${login === undefined ? '' : `${login}@`}${at}`,
        `git-upload-pack '${to}'`,
      ]);
    }),
    { numRuns: RUNS },
  );
  // Not all of them are refused, or nothing would be compared.
  const taken = fc.sample(address, { numRuns: 1_000, seed: 1 }).filter((text) => parseSshAddress(text) !== undefined);
  expect(taken.length).toBeGreaterThan(100);
});

it('no text that a shell or ssh could misread is taken for an address', () => {
  fc.assert(
    fc.property(address, fc.string({ minLength: 1, maxLength: 4, unit: 'binary' }), fc.nat(), (text, more, place) => {
      const at = place % (text.length + 1);
      for (const each of [text, text.slice(0, at) + more + text.slice(at)]) {
        const parsed = parseSshAddress(each);
        if (parsed === undefined) continue;
        for (const given of [parsed.user ?? 'a', parsed.host, parsed.path]) expect(given).not.toMatch(/^-|[^\w.~+=,@/:-]/);
        expect(parsed.path).not.toMatch(/(?:^|\/)\.{1,2}(?:\/|$)/);
      }
    }),
    { numRuns: 2_000 },
  );
});
