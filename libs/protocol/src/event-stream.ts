import { createParser } from 'eventsource-parser';

/** One event of a `text/event-stream`. */
export interface ServerEvent {
  readonly name: string;
  readonly data: string;
}

/** A snapshot of ten thousand hosts is about 10 MB. The limit keeps an endless event from filling the memory. */
const MAX_EVENT_CHARS = 64 * 1024 * 1024;

/** Thrown by {@link readEvents} when an event has more characters than allowed. */
export class EventTooLongError extends Error {
  constructor() {
    super('an event of the server is too long');
  }
}

/**
 * The events of a body until it ends. `onBytes` is called for every chunk, also for pings, which are comments. Throws {@link
 * EventTooLongError}, and the errors of the body.
 */
export async function* readEvents(
  body: ReadableStream<Uint8Array>,
  onBytes: () => void,
  maxEventChars = MAX_EVENT_CHARS,
): AsyncGenerator<ServerEvent> {
  let events: ServerEvent[] = [];
  // Counted here because the parser counts only the text of an event, not the empty lines before it.
  let charsOfEvent = 0;
  const parser = createParser({
    onEvent: ({ event, data }) => {
      events.push({ name: event ?? 'message', data });
      charsOfEvent = 0;
    },
  });
  const decoder = new TextDecoder();
  // Not `for await`: Safari's streams are not async iterable.
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
