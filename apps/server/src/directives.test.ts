import { open, seal, type Directive, Directive as DirectiveSchema, type FreshnessStatement, type ReleaseStatement } from '@floe/protocol';
import type { HostName, StorePath } from '@floe/model';
import { releaserOf } from '@floe/pipeline';
import { generateKeyPem, signerFromPem, silentLogger, systemClock, verifySignature } from '@floe/runtime';
import { expect, test } from 'vitest';
import { offerDirectives, type Addressee } from './directives.ts';

const signer = signerFromPem('key-1', generateKeyPem());
const HOST = 'ada' as HostName;
const TOPLEVEL = `/nix/store/${'0'.repeat(32)}-ada` as StorePath;
const REPOSITORY = 'https://forge.example/fleet.git';

function releaseOf(ref: string, purpose?: 'test', repository = REPOSITORY): ReleaseStatement {
  const about = { host: HOST, toplevel: TOPLEVEL, narHash: 'sha256:0', closureSizeBytes: 1, system: 'x86_64-linux', issuedAt: 1, expiresAt: 2 };
  const trial = purpose === undefined ? {} : { purpose, endsAt: 2 };
  return { version: 1, repository, ref, commit: 'a'.repeat(40) as ReleaseStatement['commit'], sequence: 7, ...about, ...trial };
}

/** The directive that an agent gets with this release, while the newest freshness statement is of this branch. */
async function told(release: ReleaseStatement, freshRef: string): Promise<Directive> {
  const sent: string[] = [];
  const fresh: FreshnessStatement = { version: 1, repository: REPOSITORY, ref: freshRef, sequence: 9, asOf: 1 };
  const envelope = JSON.stringify(seal(signer, 'floe/release', release));
  const session = {
    host: HOST,
    calledAs: HOST,
    machineId: 'a'.repeat(32),
    bootId: 'boot',
    nonce: 'nonce-nonce-nonce-nonce',
    capabilities: new Set(['once', 'permit', 'rename']),
    offered: () => 'no',
    offer: (_epoch: number, _id: string, sealed: object) => sent.push(JSON.stringify(sealed)) > 0,
  };
  const desired = { releaseId: 'id', host: HOST, sequence: 7, toplevel: TOPLEVEL, epoch: 1 };
  const addressee = {
    session,
    desired,
    floor: 0,
    isRetry: false,
    ...(release.purpose === 'test' ? { envelope } : {}),
  } as unknown as Addressee;
  await offerDirectives(
    {
      store: {
        hosts: { saveDirectives: async () => await Promise.resolve() },
        hostStatements: { save: async () => await Promise.resolve() },
        releases: {
          toOffer: async () =>
            await Promise.resolve({
              releases: [{ id: 'id', envelope, isSubmitted: false } as never],
              freshness: JSON.stringify(seal(signer, 'floe/freshness', fresh)),
            }),
        },
      },
      clock: Object.assign(Object.create(systemClock) as typeof systemClock, { latest: () => systemClock.now() }),
      serverSigner: signer,
      releaser: releaserOf(signer),
      logger: silentLogger,
    },
    'repository',
    [addressee],
  );
  const opened = open(JSON.parse(sent[0] ?? '') as never, 'floe/directive', DirectiveSchema, [signer], verifySignature);
  if (opened.kind !== 'opened') throw new Error(opened.message);
  return opened.statement;
}

// An agent refuses a directive whose statement of freshness is of another branch than its release.
test.each([
  ['of the same branch', releaseOf('refs/heads/main'), 'refs/heads/main', true],
  ['from before the branch got another name', releaseOf('refs/heads/main'), 'refs/heads/trunk', false],
  ['from before the repository got another address', releaseOf('refs/heads/main', undefined, 'https://old.example/fleet'), 'refs/heads/main', false],
  ['of a testing branch', releaseOf('refs/heads/testing/ada', 'test'), 'refs/heads/main', false],
] as const)('a release %s is told with a freshness statement of its branch alone', async (_name, release, freshRef, isWith) => {
  expect((await told(release, freshRef)).freshness !== undefined).toBe(isWith);
});
