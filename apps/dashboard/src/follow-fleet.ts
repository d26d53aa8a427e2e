import { printableValue } from '@floe/model';
import { FleetEvent, FleetView, readEvents, type ServerEvent } from '@floe/protocol';
import * as v from 'valibot';
import type { Api } from './api.ts';

/** The server pings every 15 s: after three missed ones the connection is dead, whatever the network says. */
export const SILENCE_MS = 45_000;
const BACKOFF_BASE_MS = 500;
const BACKOFF_CAP_MS = 15_000;

export type FleetMessage = { readonly type: 'snapshot'; readonly fleet: FleetView } | { readonly type: 'change'; readonly event: FleetEvent };

export interface FollowDeps {
  readonly api: Api;
  readonly random: () => number;
  /** Waits, but may end early when a person or the browser knows that it is worth a try. Never throws. */
  readonly pause: (ms: number, signal: AbortSignal) => Promise<void>;
  readonly onMessage: (message: FleetMessage) => void;
  /** Something arrived, if only a ping: what is shown was true at this moment. */
  readonly onAlive: () => void;
  /** Told why, each time a connection was lost or could not be made. */
  readonly onLost: (reason: string, retryInMs: number) => void;
}

/** Follows the fleet over as many connections as it takes, until `signal` aborts or the session ends. */
export async function followFleet(deps: FollowDeps, signal: AbortSignal): Promise<'stopped' | 'signed-out'> {
  let attempt = 0;
  while (!signal.aborted) {
    const end = await followOnce(deps, signal);
    if (end.kind === 'signed-out') return 'signed-out';
    if (signal.aborted) break;
    if (end.wasLive) attempt = 0;
    // Full jitter: after a restart of the server its pages do not come back all at once.
    const retryInMs = Math.round(deps.random() * Math.min(BACKOFF_CAP_MS, BACKOFF_BASE_MS * 2 ** attempt));
    attempt += 1;
    deps.onLost(end.reason, retryInMs);
    await deps.pause(retryInMs, signal);
  }
  return 'stopped';
}

type End = { readonly kind: 'signed-out' } | { readonly kind: 'lost'; readonly reason: string; readonly wasLive: boolean };

async function followOnce(deps: FollowDeps, outer: AbortSignal): Promise<End> {
  const silence = new AbortController();
  const signal = AbortSignal.any([outer, silence.signal]);
  const start = () => setTimeout(() => silence.abort(), SILENCE_MS);
  let timer = start();
  let wasLive = false;
  try {
    const answer = await deps.api.openEvents(signal);
    if (answer.kind === 'signed-out') return { kind: 'signed-out' };
    if (answer.kind === 'failed') return { kind: 'lost', reason: answer.message, wasLive };
    const events = readEvents(answer.value, () => {
      clearTimeout(timer);
      timer = start();
      deps.onAlive();
    });
    for await (const event of events) {
      const message = parse(event);
      if (message === 'unknown') continue;
      if (message === 'malformed') return { kind: 'lost', reason: 'The server speaks another version than this page. Reload the page.', wasLive };
      wasLive = true;
      deps.onMessage(message);
    }
    return { kind: 'lost', reason: 'The server closed the connection.', wasLive };
  } catch {
    return { kind: 'lost', reason: silence.signal.aborted ? 'The server fell silent.' : 'The connection broke.', wasLive };
  } finally {
    clearTimeout(timer);
  }
}

function parse({ name, data }: ServerEvent): FleetMessage | 'malformed' | 'unknown' {
  // A newer server may tell of more than this page knows.
  if (name !== 'snapshot' && name !== 'change') return 'unknown';
  let json: unknown;
  try {
    json = JSON.parse(data);
  } catch {
    return 'malformed';
  }
  if (name === 'snapshot') {
    const parsed = v.safeParse(FleetView, json, { abortEarly: true });
    return parsed.success ? { type: 'snapshot', fleet: printableValue(parsed.output) } : 'malformed';
  }
  const parsed = v.safeParse(FleetEvent, json, { abortEarly: true });
  return parsed.success ? { type: 'change', event: printableValue(parsed.output) } : 'malformed';
}
