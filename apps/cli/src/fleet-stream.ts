import { EventTooLongError, FleetEvent, FleetView, readEvents } from '@floe/protocol';
import { FloeError, fullJitter, isFloeError, type Clock } from '@floe/runtime';
import * as v from 'valibot';
import type { ApiClient } from './api-client.ts';

/** The server pings every 15 s: after three missed ones the connection is dead, whatever TCP believes. Longer than any pause between tries. */
export const SILENCE_MS = 45_000;
const BACKOFF = { baseMs: 500, capMs: 30_000 };

/** What the event stream brings: a snapshot at each connection, then changes. */
export type FleetMessage = { readonly type: 'snapshot'; readonly fleet: FleetView } | FleetEvent;

export interface FleetStreamDeps {
  readonly api: ApiClient;
  readonly clock: Clock;
  readonly random: () => number;
  readonly signal: AbortSignal;
  /** Called with the reason, each time a connection was lost. */
  readonly onLost: (reason: string, retryInMs: number) => void;
}

/** The messages of one connection. Ends when the server ends it; throws `FloeError` when it breaks. */
export async function* readFleet(deps: Pick<FleetStreamDeps, 'api' | 'clock' | 'signal'>): AsyncGenerator<FleetMessage> {
  const { api, clock, signal: outer } = deps;
  const silence = new AbortController();
  let heard = watchSilence(clock, () => silence.abort());
  try {
    const body = await api.openStream('/api/events', AbortSignal.any([outer, silence.signal]));
    const events = readEvents(body, () => {
      heard();
      heard = watchSilence(clock, () => silence.abort());
    });
    for await (const event of events) {
      if (event.name === 'snapshot') yield { type: 'snapshot', fleet: parse(FleetView, event.data) };
      if (event.name === 'change') yield parse(FleetEvent, event.data);
    }
  } catch (cause) {
    if (outer.aborted) throw new FloeError('INTERRUPTED', 'stopped', { cause });
    if (isFloeError(cause)) throw cause;
    if (cause instanceof EventTooLongError) throw new FloeError('STREAM_TOO_LONG', cause.message, { cause });
    throw new FloeError('SERVER_UNREACHABLE', silence.signal.aborted ? 'the server fell silent' : 'the connection broke', { retryable: true, cause });
  } finally {
    heard();
  }
}

/** Calls `onSilent` unless the function that it returns is called in time. */
function watchSilence(clock: Clock, onSilent: () => void): () => void {
  const heard = new AbortController();
  void clock.sleep(SILENCE_MS, heard.signal).then(() => {
    if (!heard.signal.aborted) onSilent();
  });
  return () => heard.abort();
}

function parse<Schema extends v.GenericSchema>(schema: Schema, data: string): v.InferOutput<Schema> {
  try {
    return v.parse(schema, JSON.parse(data));
  } catch (cause) {
    throw new FloeError('ANSWER_MALFORMED', 'an event of the server does not match its schema: is it of the same version as this command?', {
      cause,
    });
  }
}

/**
 * The messages until `signal` aborts. The first connection must work; later ones are made again with growing, jittered
 * pauses. A refusal (token revoked) ends it.
 */
export async function* followFleet(deps: FleetStreamDeps): AsyncGenerator<FleetMessage> {
  const { clock, random, signal } = deps;
  let hasConnected = false;
  let attempt = 0;
  while (!signal.aborted) {
    let reason = 'the server closed the connection';
    const connectedAt = clock.monotonic();
    try {
      for await (const message of readFleet(deps)) {
        hasConnected = true;
        yield message;
      }
    } catch (error) {
      if (signal.aborted) return;
      if (!hasConnected || !isFloeError(error) || !error.retryable) throw error;
      reason = error.message;
    }
    // A server that closes each connection immediately must not be asked for its whole snapshot in a loop.
    if (clock.monotonic() - connectedAt > BACKOFF.capMs) attempt = 0;
    const retryInMs = fullJitter(attempt, BACKOFF, random);
    attempt += 1;
    deps.onLost(reason, retryInMs);
    await clock.sleep(retryInMs, signal);
  }
}
