/**
 * Requests of which two readers may see different ends, with a second one in what may be their body: whoever answers the
 * second one can be used to send requests past the proxy in front.
 */
export function ambiguousRequests(inner: string): readonly { readonly name: string; readonly bytes: string }[] {
  const length = `Content-Length: ${Buffer.byteLength(inner) + 5}`;
  const framings: readonly string[] = [
    `${length}\r\nTransfer-Encoding: chunked`,
    `Transfer-Encoding: chunked\r\n${length}`,
    `${length}\r\nContent-Length: 5`,
    `Content-Length: 5\r\n${length}`,
    `${length}, 5`,
    'Content-Length: +5',
    'Content-Length: 0x5',
    'Content-Length: 5 5',
    'Content-Length: 5\r\n\t0',
    'Content-Length: -0',
    `${length}\r\nTransfer-Encoding: identity`,
    'Transfer-Encoding: xchunked',
    'Transfer-Encoding: chunked, identity',
    'Transfer-Encoding: identity, chunked, identity',
    'Transfer-Encoding: chunked\r\nTransfer-Encoding: identity',
    `${length}\r\nTransfer-Encoding : chunked`,
    `${length}\r\n Transfer-Encoding: chunked`,
    `${length}\r\nTransfer-Encoding:\r\n chunked`,
    `${length}\r\nTransfer-Encoding: \x0bchunked`,
    `${length}\r\nTransfer-Encoding: chunked\x00`,
    `${length}\nTransfer-Encoding: chunked`,
    `${length}\rTransfer-Encoding: chunked`,
  ];
  const bodies: Readonly<Record<string, string>> = {
    chunked: '0\r\n\r\n',
    'a bare LF': '0\n\n',
    'a bare CR': '0\r\r\n',
    'an extension with a line end': '0;x=\n\r\n\r\n',
  };
  const head = 'POST /webhooks/github HTTP/1.1\r\nHost: x\r\n';
  return [
    ...framings.map((framing) => ({ name: framing, bytes: `${head}${framing}\r\n\r\n0\r\n\r\n${inner}` })),
    ...Object.entries(bodies).flatMap(([name, body]) =>
      name === 'chunked' ? [] : [{ name, bytes: `${head}Transfer-Encoding: chunked\r\n\r\n${body}${inner}` }],
    ),
    { name: 'headers that end with bare LFs', bytes: `${head.replaceAll('\r\n', '\n')}Content-Length: 5\n\n0\r\n\r\n${inner}` },
  ];
}
