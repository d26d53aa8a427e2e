import { chmod, mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Envelope, HostName, seal } from '@floe/protocol';
import { generateKeyPem, isFloeError, silentLogger, signerFromPem, verifySignature } from '@floe/runtime';
import fc from 'fast-check';
import * as v from 'valibot';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { makeStateFolder, statePaths } from '../state/state-folder.ts';
import { HOST, SYSTEM } from '../test/fixtures.ts';
import { armoured, openSshKey } from '../test/openssh-key.ts';
import { AgentIdentity } from './identity.ts';
import { readKeyFile } from './key-file.ts';

const SSH_KEY = openSshKey(Buffer.alloc(32, 7));

let dir: string;
let file: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'floe-identity-'));
  file = join(dir, 'ssh_host_ed25519_key');
  await writeFile(file, SSH_KEY, { mode: 0o600 });
  await makeStateFolder(statePaths(join(dir, 'state')).dir);
});
afterEach(async () => {
  await rm(dir, { recursive: true });
});

const paths = () => statePaths(join(dir, 'state'));
async function identity(keyFile?: string): Promise<AgentIdentity> {
  const made = new AgentIdentity({ host: HOST, root: dir, paths: paths(), bootId: 'boot', system: SYSTEM, keyFile, logger: silentLogger });
  await made.load();
  return made;
}
async function record(more: object = {}): Promise<void> {
  await writeFile(paths().enrolment, JSON.stringify({ host: HOST, serverUrl: 'https://floe', tokenHash: '', enrolledAt: 1, ...more }));
}

test('what a machine of any name signs is an envelope that its server takes', async () => {
  const label = fc.stringMatching(/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/);
  const names = fc.array(label, { minLength: 1, maxLength: 4 }).map((labels) => labels.join('.'));
  await fc.assert(
    fc.asyncProperty(names, fc.boolean(), async (name, hasFile) => {
      const host = v.parse(HostName, name.slice(0, 253).replace(/[.-]+$/, ''));
      const made = new AgentIdentity({
        host,
        root: dir,
        paths: paths(),
        bootId: 'boot',
        system: SYSTEM,
        keyFile: hasFile ? file : undefined,
        logger: silentLogger,
      });
      await made.load();
      expect(v.is(Envelope, seal(made.signer, 'floe/report', { host }))).toBe(true);
    }),
    {
      numRuns: 30,
      examples: [
        ['a'.repeat(63), false],
        [Array.from({ length: 4 }, () => 'b'.repeat(62)).join('.'), true],
      ],
    },
  );
});

describe('the key of a file', () => {
  test('of SSH is the same whenever it is read, signs, and is not the SSH key itself', async () => {
    const [one, other] = [await readKeyFile(file), await readKeyFile(file)];
    expect([one.signer.publicKey, one.machineId]).toEqual([other.signer.publicKey, other.machineId]);
    // Whoever changes how it is derived shuts out every machine that has one.
    expect([one.signer.publicKey, one.machineId]).toEqual(['g0JHVbqDDKjhOt9vlWG+q9RkD9xNtjyCkDveWgkasnw=', '6a07a504d98f214c29fa8f58cef7fe08']);
    const bytes = Buffer.from('hello');
    expect(verifySignature(one.signer.publicKey, bytes, one.signer.sign(bytes))).toBe(true);
    expect(Buffer.from(SSH_KEY.replace(/-----[^-]+-----/g, ''), 'base64').includes(Buffer.from(one.signer.publicKey, 'base64'))).toBe(false);
  });

  test('of PEM is used as it is', async () => {
    const pem = generateKeyPem();
    await writeFile(file, pem);
    expect((await readKeyFile(file)).signer.publicKey).toBe(signerFromPem('ada', pem).publicKey);
  });

  test('that is bent in any way is refused in words, and never read as another key', async () => {
    const { signer } = await readKeyFile(file);
    const bytes = Buffer.from(SSH_KEY.replace(/-----[^-]+-----/g, ''), 'base64');
    await fc.assert(
      fc.asyncProperty(fc.nat(bytes.length - 1), fc.integer({ min: 1, max: 255 }), fc.boolean(), async (at, change, isCut) => {
        const bent = Buffer.from(isCut ? bytes.subarray(0, at) : bytes);
        if (!isCut) bent[at] = (bent[at] ?? 0) ^ change;
        await writeFile(file, armoured(bent));
        const read = await readKeyFile(file).then(
          (bentKey) => bentKey.signer.publicKey,
          (error: unknown) => isFloeError(error, 'KEY_UNREADABLE'),
        );
        // The comment says nothing about the key.
        expect([true, signer.publicKey]).toContain(read);
      }),
    );
  });

  test('that everybody can read, or that is missing, is refused with what to do', async () => {
    await chmod(file, 0o644);
    await expect(readKeyFile(file)).rejects.toThrow(`chmod 600 ${file}`);
    await rm(file);
    await expect(readKeyFile(file)).rejects.toThrow('services.floe.agent.identity.keyFile');
  });

  test.each([
    ['a folder', () => dir, 'KEY_UNREADABLE'],
    ['in what is no folder', () => join(file, 'key'), 'IDENTITY_KEY_MISSING'],
    ['with a name that is too long', () => join(dir, 'a'.repeat(300)), 'KEY_UNREADABLE'],
  ])('that is %s is refused by name', async (_kind, path, code) => {
    await expect(readKeyFile(path())).rejects.toMatchObject({ code, message: expect.stringContaining(path()) as string });
  });
});

describe('which key a machine uses', () => {
  test('without a file its own; with one that, and no other is made', async () => {
    const own = await identity();
    expect(own.keyFile).toBeUndefined();
    expect(own.machineId).toBe((await readFile(join(dir, 'etc/machine-id'), 'utf8')).trim());
    await rm(paths().key);
    expect((await identity(file)).keyFile).toBe(file);
    await expect(stat(paths().key)).rejects.toThrow('ENOENT');
  });

  test('a machine id that is new does not change the machine of a file', async () => {
    const before = await identity(file);
    const own = await identity();
    expect(own.machineId).not.toBe(before.machineId);
    await writeFile(join(dir, 'etc/machine-id'), 'f'.repeat(32));
    expect((await identity()).machineId).not.toBe(own.machineId);
    await rm(paths().key);
    expect((await identity(file)).machineId).toBe(before.machineId);
  });

  test('whatever is lost or damaged of two keys and a machine id, one that is whole is used, or it is said what is not', async () => {
    const facts = fc.record({
      own: fc.constantFrom('whole', 'missing', 'cut'),
      machineId: fc.constantFrom('f'.repeat(32), '', 'uninitialized', 'x'),
      file: fc.constantFrom('whole', 'missing', 'cut', 'open'),
      enrolledWith: fc.constantFrom('nothing', 'own', 'file'),
    });
    const pem = generateKeyPem();
    await mkdir(join(dir, 'etc'));
    await fc.assert(
      fc.asyncProperty(facts, async (is) => {
        await Promise.all([file, paths().key, paths().enrolment].map(async (path) => await rm(path, { force: true })));
        await writeFile(join(dir, 'etc/machine-id'), is.machineId);
        if (is.own !== 'missing') await writeFile(paths().key, is.own === 'cut' ? pem.slice(0, 60) : pem);
        if (is.file !== 'missing')
          await writeFile(file, is.file === 'cut' ? SSH_KEY.slice(0, 60) : SSH_KEY, { mode: is.file === 'open' ? 0o644 : 0o600 });
        if (is.enrolledWith !== 'nothing') await record(is.enrolledWith === 'own' ? {} : { keyFile: file });
        const isOwnUsable = is.own === 'whole' && is.machineId.length === 32;
        const used = await identity(file).then(
          ({ keyFile }) => (keyFile === undefined ? 'own' : 'file'),
          (error: unknown) => (isFloeError(error) ? error.code : 'BUG'),
        );
        if (is.enrolledWith === 'own' && is.own !== 'missing') expect(used === 'own').toBe(isOwnUsable);
        else if (is.file === 'whole') expect(used).toBe('file');
        else expect(used === 'own').toBe(isOwnUsable);
        expect(used).toMatch(/^(?:own|file|IDENTITY_KEY_MISSING|IDENTITY_KEY_OPEN|KEY_UNREADABLE|MACHINE_ID_INVALID)$/);
      }),
      { numRuns: 200 },
    );
  });

  test('one that is enrolled with its own key keeps it; when the server knows only the other, it is tried, once each way', async () => {
    const own = await identity();
    await record();
    const both = await identity(file);
    expect([both.keyFile, both.signer.publicKey]).toEqual([undefined, own.signer.publicKey]);
    expect([both.useOther(), both.keyFile]).toEqual([true, file]);
    // Both were refused: wait, and try both again.
    expect([both.useOther(), both.keyFile]).toEqual([false, file]);
    expect([both.useOther(), both.keyFile]).toEqual([true, undefined]);
    both.settled();
    expect([both.useOther(), both.keyFile]).toEqual([true, file]);
    expect((await identity()).useOther()).toBe(false);
  });

  test('a system without the setting finds the file that was enrolled', async () => {
    await record({ keyFile: file });
    expect((await identity()).keyFile).toBe(file);
  });

  test('a file that cannot be used does not stop a machine that has its own key', async () => {
    await identity();
    await rm(file);
    expect((await identity(file)).keyFile).toBeUndefined();
  });
});
