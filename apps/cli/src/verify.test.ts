import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { run } from './test/harness.ts';
import { pastFleet, resealed } from './test/past-fleet.ts';

const fleet = pastFleet();
const text = resealed(fleet.lines, fleet.server);
const keysText = `release release-1:${fleet.release.publicKey}\nserver server-1:${fleet.server.publicKey}\n`;

let dir: string;
beforeAll(async () => void (dir = await mkdtemp(join(tmpdir(), 'floe-verify-'))));
afterAll(async () => await rm(dir, { recursive: true }));

async function written(name: string, content: string | Uint8Array): Promise<string> {
  const path = join(dir, name);
  await writeFile(path, content);
  return path;
}

async function verify(content: string | Uint8Array, ...more: readonly string[]): ReturnType<typeof run> {
  return await run(['verify', await written('fleet.jsonl', content), '--key', await written('keys.txt', keysText), ...more], {});
}

test('a whole export ends with 0, and with what is worth a look', async () => {
  const { code, stdout } = await verify(text);
  expect(code).toBe(0);
  expect(stdout).toMatch(
    /^Notes\n {2}line \d+: bob is on the release 2[^]*\n\nwhole: the export of 1972-09-27T00:00:00.000Z has 63 lines, 18 releases, 5 hosts, /,
  );
});

describe('the commonest mistakes:', () => {
  test('a file that was cut off is that alone: the server is blamed for nothing that it lacks', async () => {
    const rows = text.split('\n');
    for (const kept of [1, 10, 30, rows.length - 2]) {
      const { code, stdout } = await verify(`${rows.slice(0, kept).join('\n')}\n`, '--repository', dir);
      expect(code).toBe(1);
      const bent = stdout.split('\n\n').find((part) => part.startsWith('Bent'));
      expect(bent).toBe(`Bent\n  line ${kept}: the export has no end: it was cut off, so it was only read line by line`);
    }
    const { code, stdout } = await verify(text.slice(0, 5_000));
    expect(code).toBe(1);
    expect(stdout).toContain('the file ends in the middle of this line');
    expect(stdout).not.toContain('no signed enrolment');
  });

  test('a file that is none, that is compressed, or that is not there, ends with 2 and a sentence', async () => {
    for (const content of ['', 'hello\n', keysText, gzipSync(text), `\uFEFF${text}`]) {
      const { code, stderr } = await verify(content);
      expect(code).toBe(2);
      expect(stderr).toMatch(content === '' ? 'the export is empty' : /this is no export of Floe: .* \(unpack it first, if it is compressed\)/);
    }
    for (const [path, why] of [
      [join(dir, 'nothing'), 'ENOENT'],
      [dir, 'EISDIR'],
    ] as const)
      expect(await run(['verify', path, '--key', await written('keys.txt', keysText)], {})).toMatchObject({
        code: 2,
        stderr: expect.stringContaining(`${path} cannot be read (${why})`) as string,
      });
  });

  test('no key, or a file that has none, ends with 2 and what to write', async () => {
    const file = await written('fleet.jsonl', text);
    expect(await run(['verify', file], {})).toMatchObject({ code: 2, stderr: expect.stringContaining('--key') as string });
    for (const [content, why] of [
      [text, 'is no file of keys'],
      ['-----BEGIN PRIVATE KEY-----\n', 'is no key: write "release NAME:KEY"'],
      [keysText.split('\n')[0]!, 'no server key is given'],
    ] as const)
      expect(await run(['verify', file, '--key', await written('keys.txt', content)], {})).toMatchObject({
        code: 2,
        stderr: expect.stringContaining(why) as string,
      });
  });

  test('a folder that is no repository, and signers without one, end with 2', async () => {
    expect(await verify(text, '--repository', dir)).toMatchObject({ code: 2, stderr: expect.stringContaining('is no git repository') as string });
    expect(await verify(text, '--signers', dir)).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('--signers needs --repository') as string,
    });
  });
});
