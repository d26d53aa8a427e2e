import fc from 'fast-check';

/** What one connection does, step by step. */
export type Step =
  | { readonly kind: 'write'; readonly bytes: Buffer }
  | { readonly kind: 'wait'; readonly ms: number }
  /** Until something comes, or the time is over. */
  | { readonly kind: 'read'; readonly ms: number }
  | { readonly kind: 'stop-reading' }
  | { readonly kind: 'half-close' }
  | { readonly kind: 'reset' }
  | { readonly kind: 'close' };

const bytes = (text: string): Buffer => Buffer.from(text, 'latin1');
const noise = fc.uint8Array({ maxLength: 300 }).map((array) => Buffer.from(array));

const path = fc.constantFrom(
  '/agent',
  '/agent?x=1',
  '/agent/',
  '//agent',
  '/healthz',
  '/readyz',
  '/webhooks/github',
  '/api/fleet',
  '/api/events',
  '/api/session',
  '/api/enrol',
  '/api/hosts/%00/reports',
  '/cache/nix-cache-info',
  '/cache/..%2f..%2fkeys',
  '/%ff',
  '/a?%',
  '*',
  'http://elsewhere.example/healthz',
  'elsewhere:443',
  '',
  '/\\x',
  `/${'x'.repeat(20_000)}`,
);
const method = fc.constantFrom('GET', 'POST', 'HEAD', 'PUT', 'DELETE', 'OPTIONS', 'TRACE', 'CONNECT', 'PRI', 'get', 'G\0T', 'QUERY', 'PROPFIND');
const version = fc.constantFrom('HTTP/1.1', 'HTTP/1.1', 'HTTP/1.1', 'HTTP/1.0', 'HTTP/0.9', 'HTTP/2.0', 'HTTP/1.', 'HTTPS/1.1', '');
const header = fc.constantFrom(
  'Host: x',
  'Host: x',
  'Host: [::1]:99999',
  'Host: a b',
  'Host:',
  'Host: x\r\nHost: y',
  'Connection: close',
  'Connection: keep-alive',
  'Connection: Upgrade',
  'Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA',
  'Upgrade: websocket',
  'Upgrade: websocket, h2c',
  'Upgrade: x',
  'Sec-WebSocket-Version: 13',
  'Sec-WebSocket-Version: 99',
  'Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==',
  'Sec-WebSocket-Key: short',
  'Sec-WebSocket-Protocol: a, a, ,',
  'Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits',
  'Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=99, ;;=',
  'Content-Length: 0',
  'Content-Length: 5',
  'Content-Length: 26214400',
  'Content-Length: 99999999999999999999',
  'Content-Length: -1',
  'Content-Length: 5\r\nContent-Length: 6',
  'Transfer-Encoding: chunked',
  'Transfer-Encoding: gzip, chunked',
  'Transfer-Encoding: chunked\r\nContent-Length: 3',
  'Content-Type: application/json',
  'Expect: 100-continue',
  'Expect: the unexpected',
  'Range: bytes=0-0',
  'Range: bytes=99999999999999999999-',
  'Authorization: Bearer x',
  'Cookie: floe_session=x; floe_session=y',
  'Origin: null',
  'X-GitHub-Event: push',
  'X-GitHub-Delivery: 1',
  `X-Hub-Signature-256: sha256=${'0'.repeat(64)}`,
  'X-Forwarded-For: ,,,x',
  ' folded: line',
  'no colon',
  ': no name',
  'Bad\0Name: x',
  'X: \x01\x02\xff',
  `X-Long: ${'x'.repeat(9_000)}`,
);
const body = fc.oneof(
  fc
    .constantFrom(
      '',
      'hello',
      '{}',
      '{"token":"x"}',
      '{"a":',
      '[[[[[[',
      '0\r\n\r\n',
      '5\r\nhello\r\n0\r\n\r\n',
      'ffffffffffffffff\r\nx',
      '-1\r\n',
      '5;x=y\r\nhello\r\n',
    )
    .map(bytes),
  noise,
);
const request = fc
  .tuple(method, path, version, fc.array(header, { maxLength: 8 }), fc.constantFrom('\r\n', '\n', '\r\n\r\n'), body)
  .map(([verb, target, http, headers, end, rest]) => Buffer.concat([bytes(`${verb} ${target} ${http}\r\n${headers.join('\r\n')}\r\n${end}`), rest]));
/** A body in pieces as small, or with as much around them, as chunks may have. */
const chunked = fc
  .tuple(
    path,
    fc.constantFrom('x', '{', '\0'),
    fc.constantFrom('', ';ext', `;ext=${'x'.repeat(16_000)}`),
    fc.constantFrom(1, 40, 2_000),
    fc.boolean(),
  )
  .map(([target, one, extension, count, hasEnd]) => {
    const chunk = `1${extension}\r\n${one}\r\n`;
    const chunks = chunk.repeat(extension.length > 100 ? 3 : count);
    const head = `POST ${target} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Type: application/json\r\n`;
    const signed = `X-GitHub-Event: push\r\nX-GitHub-Delivery: 1\r\nX-Hub-Signature-256: sha256=${'0'.repeat(64)}\r\n\r\n`;
    return bytes(`${head}${signed}${chunks}${hasEnd ? '0\r\nTrailer: x\r\n\r\n' : ''}`);
  });
const pipelined = fc
  .tuple(path, fc.constantFrom(2, 50, 1_000))
  .map(([target, count]) => bytes(`GET ${target} HTTP/1.1\r\nHost: x\r\n\r\n`.repeat(target.length > 1_000 ? 2 : count)));
const preface = fc.constantFrom(
  bytes('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0'),
  bytes('\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03'),
  bytes('SSH-2.0-x\r\n'),
  bytes('PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n'),
  bytes('\r\n\r\n\r\n'),
);

export const UPGRADE = bytes(
  'GET /agent HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n',
);

const hello = {
  type: 'hello',
  protocol: 1,
  agentVersion: '0',
  host: 'honest',
  machineId: 'a'.repeat(32),
  bootId: 'b',
  system: 'x86_64-linux',
  signature: 'AAAA',
  observed: { current: null, booted: null, profile: null },
  state: 'IDLE',
  toplevel: null,
  epoch: 0,
  sequence: 0,
  reportSeq: 0,
  capabilities: [],
};
const message = fc
  .oneof(
    fc.constantFrom<unknown>(hello, { ...hello, host: 'nobody' }, { ...hello, protocol: 99 }, { ...hello, epoch: Number.MAX_SAFE_INTEGER }),
    fc.record({ type: fc.constantFrom('hello', 'report', 'ready', 'progress', 'go', 'x') }),
    fc.constantFrom<unknown>({ type: 'ready', epoch: 1 }, { ...hello, capabilities: Array(5_000).fill(0) }, null, [], 0),
    fc.json({ maxDepth: 3 }).map((text) => JSON.parse(text) as unknown),
  )
  .map((value) => bytes(JSON.stringify(value)));
const closing = fc.nat(5_000).map((code) => Buffer.from([code >> 8, code & 255]));

/** A WebSocket frame, as RFC 6455 has it or not. */
const frame = fc
  .record({
    opcode: fc.oneof(fc.constantFrom(0, 1, 1, 1, 2, 8, 9, 10), fc.nat(15)),
    isLast: fc.constantFrom(true, true, true, false),
    reserved: fc.constantFrom(0, 0, 0, 0, 1, 4, 7),
    isMasked: fc.constantFrom(true, true, true, false),
    length: fc.constantFrom<'true' | 'long' | 'longest' | 'lie'>('true', 'true', 'true', 'long', 'longest', 'lie'),
    payload: fc.oneof(message, message, noise, closing, fc.constant(Buffer.alloc(0)), fc.constant(Buffer.alloc(20_000, 'x'))),
    repeat: fc.constantFrom(1, 1, 1, 2, 40, 400),
  })
  .map(({ opcode, isLast, reserved, isMasked, length, payload, repeat }) => {
    const first = (isLast ? 0x80 : 0) | (reserved << 4) | opcode;
    const mask = isMasked ? 0x80 : 0;
    const size = payload.length;
    const head =
      length === 'lie'
        ? Buffer.from([first, mask | 127, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff])
        : length === 'longest' || size > 0xffff
          ? Buffer.from([first, mask | 127, 0, 0, 0, 0, 0, size >> 16, (size >> 8) & 255, size & 255])
          : length === 'long' || size > 125
            ? Buffer.from([first, mask | 126, size >> 8, size & 255])
            : Buffer.from([first, mask | size]);
    // The key is zero, so that a payload is as it reads.
    const one = Buffer.concat([head, Buffer.alloc(isMasked ? 4 : 0), payload]);
    return Buffer.concat(Array<Buffer>(size > 1_000 ? 1 : repeat).fill(one));
  });

const ending = fc.constantFrom<Step>({ kind: 'half-close' }, { kind: 'reset' }, { kind: 'close' }, { kind: 'reset' });
const between: fc.Arbitrary<Step> = fc.oneof(
  fc.nat(3).map((ms): Step => ({ kind: 'wait', ms })),
  fc.constant<Step>({ kind: 'read', ms: 200 }),
  fc.constant<Step>({ kind: 'stop-reading' }),
  ending,
);
const write = (content: Buffer): Step => ({ kind: 'write', bytes: content });

const http = fc.array(fc.oneof(request, request, request, chunked, pipelined, preface, noise), { minLength: 1, maxLength: 6 });
const sockets = fc
  .tuple(fc.boolean(), fc.array(frame, { minLength: 1, maxLength: 6 }))
  .map(([isTogether, frames]) => (isTogether ? [Buffer.concat([UPGRADE, ...frames])] : [UPGRADE, ...frames]));

/** Cut anywhere, or with one byte changed: what a parser has seen of it is then no whole of anything. */
const damage = fc.oneof(
  fc.constant((content: Buffer) => content),
  fc.constant((content: Buffer) => content),
  fc.nat().map((at) => (content: Buffer) => content.subarray(0, at % (content.length + 1))),
  fc.tuple(fc.nat(), fc.nat(255)).map(([at, value]) => (content: Buffer) => {
    const changed = Buffer.from(content);
    if (changed.length > 0) changed[at % changed.length] = value;
    return changed;
  }),
);

/** A connection of somebody who means no good, or whose network does not. */
export const connectionScript: fc.Arbitrary<readonly Step[]> = fc
  .tuple(
    fc.oneof(http, sockets, sockets),
    fc.array(fc.tuple(damage, fc.option(between, { nil: undefined })), { minLength: 1, maxLength: 7 }),
    fc.boolean(),
    ending,
  )
  .map(([contents, treatments, isRead, end]) => [
    ...contents.flatMap((content, index): Step[] => {
      const [change, then] = treatments[index % treatments.length] ?? [(same: Buffer) => same, undefined];
      return [write(change(content)), ...(then === undefined ? [] : [then])];
    }),
    ...(isRead ? [{ kind: 'read', ms: 200 } as const] : []),
    end,
  ]);
