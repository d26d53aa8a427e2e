import { MAX_FRAME_BYTES, parseFrame, ServerMessage } from '@floe/protocol';
import type { Clock } from '@floe/runtime';
import { agentSocketUrl } from './connection.ts';

/** One try may take so long, in ms, and never longer than what is left. */
const TRY_MS = 5_000;
const PAUSE_MS = 500;

/**
 * Whether the server answers on a new connection: name look-up, route, TLS and proxy are all gone through again, as an
 * old socket does not. Tries until `timeoutMs` have passed.
 */
export async function hasContact(
  deps: { readonly serverUrl: string; readonly clock: Clock },
  timeoutMs: number,
  signal: AbortSignal,
): Promise<boolean> {
  const { clock } = deps;
  const deadline = clock.monotonic() + timeoutMs;
  while (!signal.aborted) {
    const leftMs = Math.min(TRY_MS, deadline - clock.monotonic());
    if (leftMs > 0 && (await isChallenged(agentSocketUrl(deps.serverUrl), leftMs, signal))) return true;
    if (clock.monotonic() >= deadline) return false;
    await clock.sleep(PAUSE_MS, signal);
  }
  return false;
}

/** Opens a socket; true when the server's first message, a challenge, came. */
async function isChallenged(url: string, timeoutMs: number, signal: AbortSignal): Promise<boolean> {
  const { WebSocket } = await import('ws');
  const socket = new WebSocket(url, { maxPayload: MAX_FRAME_BYTES, perMessageDeflate: false, handshakeTimeout: timeoutMs });
  const stop = (): void => socket.terminate();
  const late = setTimeout(stop, timeoutMs);
  signal.addEventListener('abort', stop, { once: true });
  let isChallenge = false;
  await new Promise<void>((resolve) => {
    socket.on('error', () => undefined);
    socket.on('close', () => resolve());
    socket.on('message', (data) => {
      const parsed = parseFrame(ServerMessage, Buffer.isBuffer(data) ? data.toString('utf8') : '');
      isChallenge = parsed.kind === 'parsed' && parsed.message.type === 'challenge';
      socket.close(1000);
      setTimeout(stop, 500).unref();
    });
  });
  clearTimeout(late);
  signal.removeEventListener('abort', stop);
  return isChallenge;
}
