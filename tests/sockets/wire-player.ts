import { connect } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import fc from 'fast-check';
import { connectionScript, type Step } from './wire-script.ts';

const CONCURRENT = 16;
/** A connection that is still open when its script is over is left open for so long. */
const LINGER_MS = 50;

/** Opens a connection, does what the script says, and leaves nothing behind. */
export async function playScript(port: number, script: readonly Step[]): Promise<void> {
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
  socket.on('error', () => undefined);
  socket.resume();
  let arrived = (): void => undefined;
  socket.on('data', () => arrived());
  const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()));
  socket.on('close', () => arrived());
  await Promise.race([new Promise<void>((resolve) => socket.once('connect', () => resolve())), closed]);
  for (const step of script) {
    if (socket.destroyed) break;
    if (step.kind === 'write') socket.write(step.bytes);
    else if (step.kind === 'wait') await delay(step.ms);
    else if (step.kind === 'stop-reading') socket.pause();
    else if (step.kind === 'half-close') socket.end();
    // Node never closes a socket that is reset while its half-close is on its way.
    else if (step.kind === 'reset' && !socket.writableEnded) socket.resetAndDestroy();
    else if (step.kind === 'reset' || step.kind === 'close') socket.destroy();
    else {
      socket.resume();
      await Promise.race([new Promise<void>((resolve) => (arrived = resolve)), delay(step.ms)]);
    }
  }
  if (!socket.destroyed) await delay(LINGER_MS);
  socket.destroy();
  await closed;
}

/** Plays `runs` scripts that follow from the seed, some at a time. */
export async function playMany(port: number, seed: number, runs: number): Promise<void> {
  const scripts = fc.sample(connectionScript, { seed, numRuns: runs });
  const next = scripts.values();
  await Promise.all(
    Array.from({ length: CONCURRENT }, async () => {
      for (const script of next) await playScript(port, script);
    }),
  );
}
