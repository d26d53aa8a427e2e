import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { HostName } from '@floe/model';
import { MAX_EXPORT_LINE, signedBytes, type Envelope, type ExportLine, type ExportLineOf } from '@floe/protocol';
import { generateKeyPem, isFloeError, signerFromPem, type Signer } from '@floe/runtime';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  auditHead,
  auditOf,
  COMMITS,
  EXPORTED_AT,
  KEPT_MS,
  pastFleet,
  pathOf,
  permitOf,
  releaseOf,
  reportOf,
  resealed,
  stableOf,
  withStatement,
} from '../test/past-fleet.ts';
import { unheard } from '../test/sentences.ts';
import { Facts } from './facts.ts';
import { Findings, type Finding } from './findings.ts';
import { judgeFleet } from './judge-fleet.ts';
import { readPinnedKeys, type PinnedKeys } from './pinned-keys.ts';
import { readExport } from './read-export.ts';
import { openWhole } from './whole-file.ts';

// Each check has a past that only it finds something in: the last test sees that no sentence of this folder is missing here.

const fleet = pastFleet();
const { lines, release, server, hosts, onRelease, releaseLine, reportLine, access, entries } = fleet;
const { ada, bob, cyd, dan, eve } = hosts;
const [ADA, BOB] = [ada.host, bob.host];
const thief = signerFromPem('release-1', generateKeyPem());
const KEYS: PinnedKeys = { release: [release], server: [server], hosts: new Map() };

let dir: string;
beforeAll(async () => void (dir = await mkdtemp(join(tmpdir(), 'floe-checks-'))));
afterAll(async () => await rm(dir, { recursive: true }));

/** All that was said in this file. */
const heard = new Set<string>();

interface Said {
  readonly bent: readonly Finding[];
  readonly notes: readonly Finding[];
  /** Why nothing was checked. */
  readonly refused?: string;
}

async function refusalOf(checked: Promise<unknown>): Promise<string> {
  try {
    await checked;
  } catch (error) {
    if (!isFloeError(error, 'USAGE')) throw error;
    heard.add(error.message);
    return error.message;
  }
  return 'not refused';
}

function hear({ bent, notes }: Findings): Said {
  for (const { what } of [...bent, ...notes]) heard.add(what);
  return { bent, notes };
}

async function* once(text: string): AsyncGenerator<Uint8Array> {
  yield Buffer.from(text);
}

async function check(text: string, keys: PinnedKeys = KEYS): Promise<Said> {
  let said: Said | undefined;
  const refused = await refusalOf(
    (async () => {
      const { facts, findings } = await readExport(once(text), keys);
      judgeFleet(facts, keys, findings);
      said = hear(findings);
    })(),
  );
  return said ?? { bent: [], notes: [], refused };
}

type LineWith<Kind extends ExportLine['kind']> = (line: ExportLineOf<Kind>) => ExportLine | readonly ExportLine[];
/** The past with this line of a kind changed, from 0, or counted from the end; other lines follow it, or none is left of it. */
function changed<Kind extends ExportLine['kind']>(kind: Kind, place: number, change: LineWith<Kind>): ExportLine[] {
  const all = lines.filter((line): line is ExportLineOf<Kind> => line.kind === kind);
  const one = all.at(place);
  if (one === undefined) throw new Error(`there is no line ${place} of the kind ${kind}`);
  return lines.flatMap((line) => (line === one ? change(one) : line));
}

function placeOf(is: (line: ExportLine) => boolean, kind: ExportLine['kind']): number {
  return lines.filter((line) => line.kind === kind).findIndex(is);
}
const isOf =
  (host: HostName, of: 'newest' | 'end') =>
  (line: ExportLine): boolean =>
    line.kind === 'report' && line.host === host && line.of === of;
const REPORT_OF_BOB = reportOf(bob, 3, onRelease(BOB, 2), { floor: 2 });
const NEWEST_OF_ADA = placeOf(isOf(ADA, 'newest'), 'report');
const END_OF_ADA = placeOf(isOf(ADA, 'end'), 'report');
const newestOfAda = (changes: Parameters<typeof reportOf>[3]): ExportLine[] =>
  changed('report', NEWEST_OF_ADA, () => reportLine(ada, 'newest', reportOf(ada, 3, onRelease(ADA, 3), changes)));
const withoutRelease = (host: HostName, sequence: number): ExportLine[] =>
  changed('release', [1, 2, 3].indexOf(sequence) * 6 + ['ada', 'bob', 'cyd', 'dan', 'eve', 'don'].indexOf(host), () => []);
const ofDatabase = (some: readonly ExportLine[]): ExportLine[] =>
  some.map((line) => (line.kind === 'header' ? { ...line, releasesFrom: 'database' as const } : line));
const permitLine = (changes: Parameters<typeof permitOf>[1]): ExportLine[] =>
  changed('permit', 0, (line) => withStatement(line, release, permitOf(bob, changes)));
const text = resealed(lines, server);
const rows = text.trimEnd().split('\n');
const RENAME = 5;
const REVOCATION = 6;

test('the past of a fleet is whole, and says what is worth a look', async () => {
  const { bent, notes } = await check(text);
  expect(bent).toEqual([]);
  expect(notes.map(({ what }) => what)).toEqual([
    expect.stringContaining('bob is on the release 2, below 3, by the permit on line '),
    expect.stringContaining('bob is on the release 2, below 3, by the permit on line '),
    'bob does not run its newest release 3 (release 2, SUCCEEDED); the server says it should run the release 2',
    'cyd does not run its newest release 3 (release 2, SUCCEEDED); the server says it should run the newest',
    'eve does not run its newest release 3 (release 1, SUCCEEDED); the server says it should run the release 1',
  ]);
});

describe('R30, bent:', () => {
  const [first, second, third, ...later] = entries;
  const isEntry = ({ kind }: ExportLine): boolean => kind === 'audit';
  const withEntries = (...some: readonly ExportLine[]): ExportLine[] => [...lines.filter((line) => !isEntry(line)), ...some];
  const asDatabase = (line: ExportLineOf<'header'>): ExportLine => ({ ...line, repository: 'x' });

  const FILES: readonly (readonly [string, string])[] = [
    ['something follows the end', `${text}${rows[0]}\n`],
    ['the line has more than ', `${rows[0]}\n${'x'.repeat(MAX_EXPORT_LINE + 1)}\n`],
    ['the file ends in the middle of this line', text.slice(0, -1)],
    ['the line does not end with its hash', `${rows[0]}\n{"kind":"key"}\n`],
    ['the line does not follow from the one before', [...rows.slice(0, 3), ...rows.slice(4), ''].join('\n')],
    ['the line cannot be read', resealed([...lines.slice(0, 1), { kind: 'nothing' } as unknown as ExportLine, ...lines.slice(1)], server)],
    ['the export has no end: it was cut off', [...rows.slice(0, -1), ''].join('\n')],
    ['the end is not what a pinned server key signed', resealed(lines, signerFromPem('server-1', generateKeyPem()))],
    ['the signed end cannot be read', resealed(lines, server, { at: 'x' as unknown as number })],
    ['the server signed 7 lines, and there are ', resealed(lines, server, { lines: 7 })],
    ['the server signed another content than this', resealed(lines, server, { hash: '0'.repeat(64) })],
  ];
  test.each(FILES)('%s', async (what, file) => {
    const { bent } = await check(file);
    expect(bent).toContainEqual({ line: expect.any(Number) as number, what: expect.stringContaining(what) as string });
  });

  const PASTS: readonly (readonly [string, readonly ExportLine[]])[] = [
    ['a line of the kind key is not where it belongs', [...changed('key', 0, () => []), lines[1]!]],
    ['a second beginning', [lines[0]!, asDatabase(lines[0] as ExportLineOf<'header'>), ...lines.slice(1)]],
    ['the release key release-1 of the export is another one', changed('key', 0, (line) => ({ ...line, publicKey: thief.publicKey }))],
    ['ada is here a second time', changed('host', 0, (line) => [line, line])],
    ['the commit with the sequence 3 comes after that with 3', changed('revision', 0, (line) => [line, line])],
    ['the server could not read a file', [...lines, { kind: 'unreadable', what: 'a file' }]],
    ['a floe/release is among the enrolments', [...lines, { ...releaseLine(onRelease(ADA, 1)), kind: 'access' } as ExportLine]],
    // Releases.
    ['is a trial, which is never in the log', changed('release', 0, () => releaseLine(releaseOf(ADA, 1, COMMITS[0]!, { purpose: 'test' })))],
    ['ends before it was issued', changed('release', 0, () => releaseLine(releaseOf(ADA, 1, COMMITS[0]!, { expiresAt: 1 })))],
    ['the release 1 of ada is here a second time', changed('release', 0, (line) => [line, line])],
    [`the release 1 of bob is of the commit ${COMMITS[1]}, and line `, changed('release', 1, () => releaseLine(releaseOf(BOB, 1, COMMITS[1]!)))],
    [`the commit taken in was ${COMMITS[1]}`, changed('revision', -1, (line) => ({ ...line, commit: COMMITS[1]! }))],
    // What is stable.
    ['the release 2 of cyd is called stable, and is missing', withoutRelease(cyd.host, 2)],
    [
      'the release 2 of ada is called stable as another system',
      changed('stable', 1, (line) =>
        withStatement(line, release, stableOf(2, [ADA], 2, { hosts: [{ host: ADA, sequence: 2, toplevel: pathOf('x', 2) }] })),
      ),
    ],
    [
      'the stable release 1 of ada is another system than on line',
      changed('stable', 0, (line) => [
        line,
        withStatement(line, release, stableOf(3, [ADA], 1, { hosts: [{ host: ADA, sequence: 1, toplevel: pathOf('x', 1) }] })),
      ]),
    ],
    ['statements about stable releases are missing: 1 of 2', changed('stable', 0, () => [])],
    // Hosts.
    [
      `the server says that ada should run ${pathOf('x', 3)} as the release 3`,
      changed('host', 0, (line) => ({ ...line, desired: { sequence: 3, toplevel: pathOf('x', 3), permit: null } })),
    ],
    ['the server says that ada has the key ', changed('host', 0, (line) => ({ ...line, publicKey: thief.publicKey }))],
    [', which was revoked (line ', changed('host', -1, (line) => ({ ...line, revokedAt: null }))],
    // Permits.
    ["this permit of ada is bob's", changed('permit', 0, (line) => ({ ...line, host: ADA }))],
    ['this permit lets bob go down to 4, which is above 3', permitLine({ sequence: 4 })],
    ['this permit of bob is good for longer than one directive', permitLine({ expiresAt: 3_000 + 15 * 24 * 3600_000 })],
    ['this permit of bob is good for longer than one directive', permitLine({ expiresAt: 3_000 })],
    ['bob signed that it is on the release 2, below 3, and no permit lets it', changed('permit', 0, () => [])],
    ['bob signed that it is on the release 2, below 3, and no permit lets it', permitLine({ floor: 2 })],
    ['bob signed that it is on the release 2, below 3, and no permit lets it', permitLine({ sequence: 1 })],
    ['bob signed that it is on the release 2, below 3, and no permit lets it', permitLine({ toplevel: pathOf('x', 2) })],
    // Reports.
    ['there are two newest reports of ada', changed('report', NEWEST_OF_ADA, (line) => [line, line])],
    [
      'which no signed enrolment gives it',
      changed('report', NEWEST_OF_ADA, () => reportLine({ ...ada, signer: thief }, 'newest', reportOf(ada, 3, onRelease(ADA, 3)))),
    ],
    ['which no signed enrolment gives it', changed('access', 0, () => [])],
    // With the key of the other host beside it.
    ['which no signed enrolment gives it', changed('report', NEWEST_OF_ADA, () => reportLine({ ...bob, host: ADA }, 'newest', REPORT_OF_BOB))],
    ["this report of ada is bob's", newestOfAda({ host: BOB })],
    ['this report of ada is about the directive 1, and comes after one about 1', changed('report', END_OF_ADA, (line) => [line, line])],
    [
      'this report of ada has the number 1, and is older than that of the directive before',
      changed('report', END_OF_ADA + 1, () => reportLine(ada, 'end', reportOf(ada, 1, onRelease(ADA, 2), { epoch: 2 }))),
    ],
    ['the newest report of ada has the number 2, and line ', newestOfAda({ seq: 2 })],
    [`ada signed that it has ${pathOf('ada', 3)} as the release 3, and no such release is here`, withoutRelease(ADA, 3)],
    // Also of a server that says it has no more: what runs is never that old.
    [`ada signed that it has ${pathOf('ada', 3)} as the release 3, and no such release is here`, ofDatabase(withoutRelease(ADA, 3))],
    [
      `ada signed that its release 3 is of ${COMMITS[0]}; it is of ${COMMITS[2]}`,
      newestOfAda({ release: reportOf(ada, 3, releaseOf(ADA, 3, COMMITS[0]!)).release }),
    ],
    ['which was never released for it', newestOfAda({ observed: { current: pathOf('x', 9), booted: null, profile: null } })],
    // The audit log.
    ['this end of the audit log is not what a pinned key signed', changed('audit-head', 0, () => auditHead(thief, third!))],
    [
      'the entry 3 of the audit log was signed with another hash on line ',
      changed('audit-head', 0, (line) => [line, auditHead(server, { ...third!, hash: '0'.repeat(64) })]),
    ],
    ['the entry 1 of the audit log comes after the entry 1', withEntries(first!, { ...second!, id: 1 }, third!)],
    ['the entry 2 of the audit log is not chained', withEntries(first!, { ...second!, hash: null }, third!)],
    ['entries of the audit log before 2 are missing', withEntries(second!, third!, ...later)],
    ['the entry 3 of the audit log was changed, or entries before it', withEntries(first!, third!, ...later)],
    ['the entry 5 of the audit log was changed, or entries before it', withEntries(first!, second!, third!, later[0]!, { ...later[1]!, actor: 'x' })],
    ['the entry 3 of the audit log is another one than was signed', withEntries(...auditOf([first!.at, second!.at, third!.at + 1]))],
    ['the entry 3 of the audit log was signed as its end, and is missing', withEntries(first!, second!)],
  ];
  test.each(PASTS)('%s', async (what, past) => {
    const { bent } = await check(resealed(past, server));
    expect(bent.map((each) => each.what)).toContainEqual(expect.stringContaining(what));
  });

  const SIGNED: readonly (readonly [string, ExportLine['kind'], number])[] = [
    ['this release', 'release', 0],
    ['this statement about stable releases', 'stable', 0],
    ['the statement of what is newest', 'freshness', 0],
    ['this permit of bob', 'permit', 0],
    ['this report of ada', 'report', 0],
    ['this enrolment', 'access', 0],
    ['this rename', 'access', RENAME],
    ['this revocation', 'access', REVOCATION],
  ];
  test.each(SIGNED)('%s, by no signature, by a key of the same name, or by one that signs other things', async (what, kind, place) => {
    const bentBy = async (forge: (envelope: Envelope) => Envelope): Promise<void> => {
      const past = changed(
        kind,
        place,
        (line) => ({ ...line, envelope: forge((line as ExportLine & { readonly envelope: Envelope }).envelope) }) as ExportLine,
      );
      const { bent } = await check(resealed(past, server));
      expect(bent.map((each) => each.what)).toContainEqual(expect.stringContaining(`${what} is not what a pinned key signed`));
    };
    const signedBy = (signer: Signer) => (envelope: Envelope) => {
      return { ...envelope, keyId: signer.keyId, signature: signer.sign(signedBytes(envelope.type, Buffer.from(envelope.payload, 'base64'))) };
    };
    await bentBy((envelope) => ({ ...envelope, signature: thief.sign(Buffer.from('x')) }));
    await bentBy((envelope) => signedBy(signerFromPem(envelope.keyId, generateKeyPem()))(envelope));
    await bentBy(signedBy(kind === 'access' ? ada.signer : server));
  });

  test('each entry of the audit log that does not fit, and not only the first', async () => {
    const { bent } = await check(resealed(withEntries(first!, { ...second!, actor: 'x' }, third!, { ...later[0]!, actor: 'x' }, later[1]!), server));
    expect(bent.map(({ what }) => /the entry (\d)/.exec(what)?.[1])).toEqual(['2', '4']);
    // Nor is any missing from the middle unnoticed.
    for (const missing of entries.slice(0, -1))
      expect((await check(resealed(withEntries(...entries.filter((each) => each !== missing)), server))).bent).not.toEqual([]);
  });

  test('a report, and a key, of a host whose own key is pinned, whatever was enrolled', async () => {
    const pinned = { ...KEYS, hosts: new Map([[ADA, new Set([thief.publicKey])]]) };
    const { bent } = await check(text, pinned);
    expect(bent.map(({ what }) => what)).toEqual(
      expect.arrayContaining([
        expect.stringContaining('this report of ada is not what a pinned key signed'),
        expect.stringContaining(`the server says that ada has the key ${ada.signer.publicKey}`),
      ]),
    );
    // And the reverse.
    const enrolledOnly = changed('access', 0, () => []);
    expect((await check(resealed(enrolledOnly, server), { ...KEYS, hosts: new Map([[ADA, new Set([ada.signer.publicKey])]]) })).bent).toEqual([]);
  });
});

describe('not bent:', () => {
  const wholeWith = async (past: readonly ExportLine[], ...notes: readonly string[]): Promise<void> => {
    const said = await check(resealed(past, server));
    expect(said.bent).toEqual([]);
    for (const note of notes) expect(said.notes.map(({ what }) => what)).toContainEqual(expect.stringContaining(note));
  };

  test('a permit that an operator signed for names them', async () => {
    await wholeWith(permitLine({ authorisedBy: 'grace@example.org' }), ', signed by grace@example.org: ');
  });

  test('a key that is not pinned here, and signed nothing', async () => {
    await wholeWith(
      changed('key', 0, (line) => [line, { ...line, keyId: 'release-0', publicKey: thief.publicKey }]),
      'the server says it has the release key release-0, which is not pinned here',
    );
  });

  test('what hosts say of themselves', async () => {
    await wholeWith(newestOfAda({ isOverridden: true }), `ada runs ${pathOf('ada', 3)}: a user of it chose that`);
    await wholeWith(
      newestOfAda({ isOverridden: true, observed: { current: null, booted: null, profile: null } }),
      'ada runs nothing that it knows: a user of it chose that',
    );
    await wholeWith(newestOfAda({ isTrial: true }), `ada is on trial of ${pathOf('ada', 3)}`);
    await wholeWith(newestOfAda({ isTrial: true, release: null }), 'ada is on trial of a system');
    await wholeWith(newestOfAda({ state: 'ACTIVATING' }), 'ada is changing to the release 3 (ACTIVATING)');
    await wholeWith(newestOfAda({ state: 'IDLE', release: null }), 'ada follows no release yet');
    await wholeWith(newestOfAda({ state: 'ROLLED_BACK', observed: { current: pathOf('x', 9), booted: null, profile: null } }), 'ROLLED_BACK');
    await wholeWith(
      newestOfAda({ state: 'ROLLED_BACK', release: null, observed: { current: pathOf('x', 9), booted: null, profile: null } }),
      'ada does not run its newest release 3 (no release, ROLLED_BACK); the server says it should run the newest',
    );
    await wholeWith(
      changed('host', 2, (line) => ({ ...line, desired: null })),
      'cyd does not run its newest release 3 (release 2, SUCCEEDED); the server does not say what it should run',
    );
  });

  test('old releases, and what is stable, where the builder keeps its own log', async () => {
    await wholeWith(
      ofDatabase(withoutRelease(ADA, 1)),
      'the releases are those that the server still has',
      'ada signed that it had the release 1, which the server has no more',
    );
    await wholeWith(ofDatabase(withoutRelease(cyd.host, 1).filter(({ kind }) => kind !== 'stable')));
  });

  test('a host that was enrolled again, or revoked after the server wrote about it', async () => {
    const enrolment = { host: eve.host, machineId: eve.machineId, publicKey: eve.signer.publicKey, enrolledAt: 7_000 };
    const back = changed('host', -1, (line) => ({ ...line, revokedAt: null }));
    const last = lines.find(({ kind }) => kind === 'audit-head');
    await wholeWith(back.flatMap((line) => (line === last ? [access('enrolment', enrolment), line] : line)));
    const revoked = access('revocation', { host: cyd.host, publicKey: cyd.signer.publicKey, revokedAt: EXPORTED_AT - 1_000, reason: '' });
    await wholeWith(lines.flatMap((line) => (line === last ? [revoked, line] : line)));
  });

  test('a host that was renamed, and keeps what it was told by its earlier name', async () => {
    await wholeWith(withoutRelease(dan.host, 1));
    await wholeWith(
      lines.flatMap((line): ExportLine | ExportLine[] =>
        line.kind === 'permit' ? [line, { ...withStatement(line, release, permitOf({ ...dan, host: 'don' as HostName })), host: dan.host }] : line,
      ),
    );
    await wholeWith(changed('host', 3, (line) => ({ ...line, desired: { sequence: 2, toplevel: pathOf('don', 2), permit: null } })));
  });

  test('entries of the audit log that were removed by age, or are from before there was a chain', async () => {
    const withLog = (log: readonly (ExportLine & { kind: 'audit' })[], ...heads: readonly ExportLine[]): ExportLine[] =>
      lines.flatMap((line) => (line.kind === 'audit-head' ? [...heads, ...log] : line.kind === 'audit' ? [] : line));
    const old = EXPORTED_AT - KEPT_MS - 1;
    const log = auditOf([old - 1, old, EXPORTED_AT - 1]);
    await wholeWith(withLog(log.slice(1), auditHead(server, log[0]!), auditHead(server, log[2]!)));
    await wholeWith(withLog([{ ...log[0]!, id: 0, hash: null }, ...log]));
    // Once the release key signed these ends, too.
    await wholeWith(withLog(log, auditHead(release, log[2]!)));
  });
});

describe('refused:', () => {
  test('what is no export, or no file of keys', async () => {
    expect(await check('')).toMatchObject({ refused: 'the export is empty' });
    expect(await check('{"a":1}\n')).toMatchObject({
      refused: 'this is no export of Floe: it does not begin as one (unpack it first, if it is compressed)',
    });
    const pinned = async (content: string): Promise<string> => {
      await writeFile(join(dir, 'keys.txt'), content);
      return await refusalOf(readPinnedKeys([join(dir, 'keys.txt')]));
    };
    const key = `release-1:${release.publicKey}`;
    expect(await pinned(`${key}\n`)).toContain(`"${key}" is no key: write "release NAME:KEY"`);
    expect(await pinned(`release ${key}\n`)).toContain('no server key is given');
    expect(await pinned('')).toContain('no release key is given');
    expect(await pinned('{"serverKeys":[]}')).toContain('is no file of keys');
    expect(await pinned(JSON.stringify({ releaseKeys: [key], cachePublicKeys: [] }))).toContain('no server key is given');
    expect(await refusalOf(readPinnedKeys([join(dir, 'nothing')]))).toContain('cannot be read (ENOENT)');
    await writeFile(join(dir, 'keys.txt'), `# mine\n\nrelease ${key}\n server  server-1:${server.publicKey}\nhost ada:${ada.signer.publicKey}\n`);
    expect(await readPinnedKeys([join(dir, 'keys.txt')])).toEqual({
      release: [{ keyId: 'release-1', publicKey: release.publicKey }],
      server: [{ keyId: 'server-1', publicKey: server.publicKey }],
      hosts: new Map([[ADA, new Set([ada.signer.publicKey])]]),
    });
  });

  test('an export that would fill the memory, and a file that cannot be written', async () => {
    const facts = new Facts();
    const fill = async (): Promise<void> => {
      for (let n = 0; n <= 2_000_000; n += 1) facts.keep();
    };
    expect(await refusalOf(fill())).toContain('too much to be checked here');
    expect(await refusalOf(openWhole(join(dir, 'nothing', 'export')))).toContain('cannot be written (ENOENT)');
  });
});

test('each sentence of these checks was said in a test', () => {
  expect(unheard(import.meta.dirname, (file) => file !== 'git.ts' && file !== 'judge-commits.ts', heard)).toEqual([]);
});
