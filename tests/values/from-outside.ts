import { LABEL_FORM, RING_NAME_FORM } from '@floe/model';
import { FleetPolicy, HostName, MachineId } from '@floe/protocol';
import fc from 'fast-check';
import { arbitraryOf } from '../../libs/testkit/src/schemas/arbitrary-of.ts';

// What has no schema of ours, since others write it: webhooks, commits, what Nix prints. Made up from what each could
// hold at all, and a bit beyond.

/** Texts that have broken something before, and any others. */
export const oddText: fc.Arbitrary<string> = fc.oneof(
  fc.constantFrom(
    '',
    ' ',
    '\0',
    'a\0b',
    '\uD800',
    'x\uDC00',
    '\u001B[2J\u001B]0;x\u0007',
    '\u009B31m',
    '\u202Eevil',
    '\u2066a\u2069',
    '\r\n\t',
    '\u2028',
    '__proto__',
    'constructor',
    'toString',
    'null',
    '[]',
    '%s%n',
    "'; drop table hosts; --",
    '<img src=x onerror=1>',
    '${a}',
    '😀'.repeat(300),
    'x'.repeat(70_000),
    '\u0301'.repeat(5_000),
  ),
  fc.string({ unit: 'binary', maxLength: 80 }),
  fc.string({ unit: 'grapheme', maxLength: 80 }),
);

/** Numbers as JSON writes them, of any size and form. */
export const oddNumber: fc.Arbitrary<string> = fc.constantFrom(
  '0',
  '-0',
  '-1',
  '0.5',
  '9007199254740991',
  '9007199254740993',
  '-9007199254740993',
  '1e300',
  '1e400',
  '-1e400',
  '5e-324',
  '253402300800000',
  '99999999999999999999',
);

export const host = arbitraryOf(HostName);
export const machineId = arbitraryOf(MachineId);

const sha = fc.oneof(fc.stringMatching(/^[0-9a-f]{40}$/), fc.constantFrom('0'.repeat(40), 'A'.repeat(40), '', '__proto__'));

/** The used parts of a push of GitHub, and some that are not. */
export const pushPayload = (cloneUrl: string): fc.Arbitrary<Readonly<Record<string, unknown>>> =>
  fc.record(
    {
      ref: fc.oneof(
        fc.constantFrom('refs/heads/main', 'refs/heads/other', 'refs/tags/v1', 'refs/'),
        oddText,
        oddText.map((text) => `refs/heads/${text}`),
      ),
      before: sha,
      after: sha,
      deleted: fc.oneof(fc.boolean(), fc.constant('true')),
      forced: fc.boolean(),
      repository: fc.record({ full_name: oddText, clone_url: fc.oneof({ weight: 4, arbitrary: fc.constant(cloneUrl) }, oddText) }),
      commits: fc.array(fc.jsonValue({ maxDepth: 2 }), { maxLength: 3 }),
      ['__proto__']: fc.jsonValue({ maxDepth: 1 }),
    },
    { requiredKeys: ['ref', 'repository'] },
  );

const date = fc.oneof(
  fc.nat().map(String),
  fc.constantFrom('', '-1000', '1e3', 'NaN', '0', '7258118400', '253402300799', '253402300800', '99999999999999999'),
);
const zone = fc.constantFrom(' +0000', ' -1130', ' +9999', '', ' UTC');
const person = fc.tuple(oddText, fc.constantFrom(' <', '<', ''), oddText, fc.constantFrom('> ', '>', ''), date, zone).map((parts) => parts.join(''));

/** A commit's bytes as they lie in a repository, with the empty tree. */
export const commitBytes: fc.Arbitrary<Buffer> = fc
  .record({ author: person, committer: fc.oneof({ weight: 2, arbitrary: fc.constant('A <a@b> 1700000000 +0000') }, person), message: oddText })
  .map(({ author, committer, message }) =>
    Buffer.from(`tree 4b825dc642cb6eb9a060e54bf8d69288fbee4904\nauthor ${author}\ncommitter ${committer}\n\n${message}`),
  );

/** A name in `nixosConfigurations`: mostly a host's, or one that differs from one by little. */
export const attributeNames: fc.Arbitrary<string[]> = fc
  .tuple(fc.uniqueArray(host, { minLength: 1, maxLength: 4 }), fc.array(oddText, { maxLength: 3 }), fc.array(fc.nat({ max: 300 }), { maxLength: 2 }))
  .map(([hosts, odd, cuts]) => {
    const near = hosts.flatMap((name) => [`${name}_`, `${name}\0`, name.toUpperCase()]);
    return [...new Set([...hosts, ...odd, ...cuts.flatMap((at) => near[at % 12] ?? [])])];
  });

const hash = fc.stringMatching(/^[0-9a-df-np-sv-z]{32}$/);
const storeName = fc.oneof(fc.stringMatching(/^[0-9A-Za-z+\-._?=]{1,40}$/), fc.constantFrom('system', 'x'.repeat(211)));
const storePath = fc.tuple(hash, storeName).map(([some, name]) => `/nix/store/${some}-${name}`);

/** What Nix prints of a host's system. */
const evaluated = fc.record({
  drv: fc.oneof({ weight: 6, arbitrary: storePath.map((path) => `${path.slice(0, 200)}.drv`) }, oddText, fc.jsonValue({ maxDepth: 1 })),
  out: fc.oneof({ weight: 6, arbitrary: storePath }, oddText, fc.jsonValue({ maxDepth: 1 })),
  system: fc.oneof({ weight: 6, arbitrary: fc.constantFrom('x86_64-linux', 'aarch64-linux') }, oddText),
  labels: fc.oneof(
    { weight: 6, arbitrary: fc.array(fc.stringMatching(LABEL_FORM), { maxLength: 3 }) },
    fc.array(oddText, { maxLength: 3 }),
    fc.jsonValue({ maxDepth: 1 }),
  ),
  ring: fc.oneof({ weight: 6, arbitrary: fc.constantFrom(null, 'all') }, fc.stringMatching(RING_NAME_FORM), oddText),
  formerHost: fc.oneof({ weight: 6, arbitrary: fc.constantFrom(null, 'ws0001') }, oddText, fc.jsonValue({ maxDepth: 1 })),
  timeZone: fc.oneof({ weight: 6, arbitrary: fc.constantFrom(null, 'Asia/Tokyo') }, oddText, fc.jsonValue({ maxDepth: 1 })),
});

/** What Nix prints of the output `floe`; undefined: there is none. */
export const policyAnswer: fc.Arbitrary<unknown> = fc.oneof(
  { weight: 2, arbitrary: fc.constant(undefined) },
  { weight: 4, arbitrary: arbitraryOf(FleetPolicy).map((policy) => ({ policy })) },
  fc.jsonValue({ maxDepth: 3 }).map((policy) => ({ policy })),
  fc.record({ place: oddText, type: oddText }).map((wrong) => ({ wrong })),
  oddText,
);

const message = fc.record(
  {
    action: fc.constantFrom('msg', 'start', 'stop', 'result'),
    level: fc.constantFrom(0, 1, 3),
    msg: fc.oneof(
      oddText,
      oddText.map((text) => `trace: ${text}`),
    ),
    raw_msg: oddText,
    file: fc.oneof(
      storePath.map((path) => `${path}/flake.nix`),
      oddText,
    ),
    line: fc.constantFrom(1, -1, 1e300),
    column: fc.constantFrom(1, 0.5),
    id: fc.nat(),
    type: fc.constantFrom(100, 101, 105),
    fields: fc.array(fc.oneof(oddText, fc.nat()), { maxLength: 2 }),
  },
  { requiredKeys: ['action', 'level', 'msg'] },
);

export interface NixAnswer {
  readonly exitCode: number;
  readonly stdout: string;
  /** Lines of the log. */
  readonly stderr: readonly string[];
  readonly durationMs: number;
}

const durationMs: fc.Arbitrary<number> = fc.constantFrom(0, 0.25, 1234.5678, 3_600_000);
const log = fc.array(fc.oneof({ weight: 3, arbitrary: message.map((each) => `@nix ${JSON.stringify(each)}`) }, oddText), { maxLength: 4 });
/** One host's evaluation. */
export const nixAnswer: fc.Arbitrary<NixAnswer> = fc.oneof(
  { weight: 5, arbitrary: fc.record({ exitCode: fc.constant(0), stdout: evaluated.map((each) => JSON.stringify(each)), stderr: log, durationMs }) },
  { weight: 1, arbitrary: fc.record({ exitCode: fc.constant(0), stdout: oddText, stderr: log, durationMs }) },
  { weight: 2, arbitrary: fc.record({ exitCode: fc.constant(1), stdout: fc.constant(''), stderr: log, durationMs }) },
);

/** What a build comes to, with the words of whatever was built. */
export const buildAnswer = fc.oneof(
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('built' as const), durationMs }) },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('failed' as const),
      code: fc.constantFrom('BUILD_FAILED' as const, 'BUILD_NO_MACHINE' as const),
      error: oddText,
      isRetryable: fc.constant(false),
      durationMs,
    }),
  },
);

/** What a cache says of a path that was published. */
export const pathInfo = fc.record({
  narHash: fc.oneof({ weight: 4, arbitrary: fc.constant(`sha256:${'a'.repeat(52)}`) }, oddText),
  closureSize: fc.oneof({ weight: 4, arbitrary: fc.nat() }, fc.constantFrom(0.5, -1, 2 ** 53, 1e300)),
});
