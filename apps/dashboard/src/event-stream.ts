/** One event of a `text/event-stream`. */
export interface ServerEvent {
  readonly name: string;
  readonly data: string;
}

/**
 * Reads a `text/event-stream` piece by piece (WHATWG HTML, "Server-sent events"; ids and retry times are not used).
 * Each call takes the next piece of text, cut anywhere, and returns the events that it completed. Only the new piece
 * is searched for line ends: the snapshot of a large fleet is one line of many megabytes.
 */
export function createEventParser(): (text: string) => readonly ServerEvent[] {
  let unfinished: string[] = [];
  let name = 'message';
  let data: string[] = [];

  return (text) => {
    const events: ServerEvent[] = [];
    let start = 0;
    for (let end = text.indexOf('\n'); end !== -1; end = text.indexOf('\n', start)) {
      unfinished.push(text.slice(start, end));
      start = end + 1;
      const line = unfinished.join('').replace(/\r$/, '');
      unfinished = [];
      if (line === '') {
        if (data.length > 0) events.push({ name, data: data.join('\n') });
        name = 'message';
        data = [];
        continue;
      }
      // A comment (": ping") has an empty field name, and is nothing.
      const colon = line.indexOf(':');
      const field = colon === -1 ? line : line.slice(0, colon);
      const value = colon === -1 ? '' : line.slice(colon + 1).replace(/^ /, '');
      if (field === 'event') name = value;
      if (field === 'data') data.push(value);
    }
    unfinished.push(text.slice(start));
    return events;
  };
}

/** The events of a body until it ends; `onBytes` is called for every piece, also for pings. */
export async function* readEvents(body: ReadableStream<Uint8Array>, onBytes: () => void): AsyncGenerator<ServerEvent> {
  const parse = createEventParser();
  const decoder = new TextDecoder();
  // Not `for await`: Safari iterates no streams.
  const reader = body.getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      onBytes();
      yield* parse(decoder.decode(value, { stream: true }));
    }
  } finally {
    await reader.cancel().catch(() => undefined);
  }
}
