import { createParser } from 'eventsource-parser';

/** One event of a `text/event-stream`. */
export interface ServerEvent {
  readonly name: string;
  readonly data: string;
}

/** A snapshot of ten thousand hosts is about 10 MB; an event that never ends must not fill the memory. */
const MAX_EVENT_CHARS = 64 * 1024 * 1024;

/** What {@link readEvents} throws when a server sends more characters than an event may have, without completing an event. */
export class EventTooLongError extends Error {
  constructor() {
    super('an event of the server is too long');
  }
}

/**
 * The events of a body until it ends. `onBytes` is called for every piece, also for pings, which are comments.
 * Throws {@link EventTooLongError}, and whatever the body fails with.
 */
export async function* readEvents(
  body: ReadableStream<Uint8Array>,
  onBytes: () => void,
  maxEventChars = MAX_EVENT_CHARS,
): AsyncGenerator<ServerEvent> {
  let events: ServerEvent[] = [];
  // Counted here, and not by the parser, which counts an event's text but not the millions of empty lines it may have.
  let charsOfEvent = 0;
  const parser = createParser({
    onEvent: ({ event, data }) => {
      events.push({ name: event ?? 'message', data });
      charsOfEvent = 0;
    },
  });
  const decoder = new TextDecoder();
  // Not `for await`: Safari iterates no streams.
  const reader = body.getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      onBytes();
      const text = decoder.decode(value, { stream: true });
      charsOfEvent += text.length;
      parser.feed(text);
      yield* events;
      events = [];
      if (charsOfEvent > maxEventChars) throw new EventTooLongError();
    }
  } finally {
    await reader.cancel().catch(() => undefined);
  }
}
