import { FloeError } from '@floe/runtime';

/** One event of a `text/event-stream`. A comment (the server's ping) is an event named `comment`, so that silence can be told. */
export interface StreamEvent {
  readonly name: string;
  readonly data: string;
}

/** A snapshot of ten thousand hosts is about 10 MB; a stream that never ends a line, or an event, must not eat the memory. */
const MAX_EVENT_CHARS = 64 * 1024 * 1024;

/**
 * Cuts a stream of bytes into its events, as the HTML standard has it ("Server-sent events", 9.2.6) without the parts
 * that Floe does not use (`id`, `retry`). Throws `FloeError('STREAM_TOO_LONG')`.
 */
export async function* readEvents(body: AsyncIterable<Uint8Array>): AsyncGenerator<StreamEvent> {
  const decoder = new TextDecoder();
  let pending: string[] = [];
  let pendingChars = 0;
  let name = 'message';
  let data: string[] = [];
  let dataChars = 0;
  for await (const chunk of body) {
    const text = decoder.decode(chunk, { stream: true });
    const lines = text.split('\n');
    const rest = lines.pop() ?? '';
    for (const part of lines) {
      const line = (pending.join('') + part).replace(/\r$/, '');
      pending = [];
      pendingChars = 0;
      if (line === '') {
        if (data.length > 0) yield { name, data: data.join('\n') };
        name = 'message';
        data = [];
        dataChars = 0;
      } else if (line.startsWith(':')) {
        yield { name: 'comment', data: line.slice(1).trim() };
      } else {
        const [field, value] = cut(line);
        if (field === 'event') name = value;
        if (field === 'data') {
          data.push(value);
          // What a line costs beside its characters: a server can send many that are empty.
          dataChars += value.length + 32;
        }
      }
    }
    if (rest !== '') pending.push(rest);
    pendingChars += rest.length;
    if (pendingChars + dataChars > MAX_EVENT_CHARS) throw new FloeError('STREAM_TOO_LONG', 'an event of the server is too long');
  }
}

function cut(line: string): readonly [field: string, value: string] {
  const colon = line.indexOf(':');
  if (colon === -1) return [line, ''];
  return [line.slice(0, colon), line.slice(colon + 1).replace(/^ /, '')];
}
