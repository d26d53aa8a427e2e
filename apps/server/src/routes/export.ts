import { EXPORT_MEDIA_TYPE, ExportLine } from '@floe/protocol';
import type { Clock, Logger } from '@floe/runtime';
import { Hono } from 'hono';
import type { Auth, AuthEnv } from '../auth.ts';
import { refuse } from '../http-error.ts';
import { answers } from '../openapi/described.ts';

/** Lines go out in pieces of about this many characters. */
const PIECE_CHARS = 64 * 1024;
/** A reader that takes nothing for so long gives its turn to the next who asks. */
const STALLED_MS = 60_000;

export interface ExportRouteDeps {
  readonly auth: Auth;
  /** The lines of an export, as they are now. */
  readonly exportLines: () => AsyncIterable<string>;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** The fleet's history in one file, for people who want to check it without this server. One is made at a time: it reads all that there is. */
export function exportRoutes({ auth, exportLines, clock, logger }: ExportRouteDeps): Hono<AuthEnv> {
  const app = new Hono<AuthEnv>();
  let turn: { movedAt: number } | undefined;

  async function* pieces(mine: { movedAt: number }): AsyncGenerator<Uint8Array> {
    const encoder = new TextEncoder();
    let piece = '';
    try {
      for await (const line of exportLines()) {
        piece += `${line}\n`;
        if (piece.length < PIECE_CHARS) continue;
        yield encoder.encode(piece);
        piece = '';
        if (turn !== mine) throw new Error('its reader took nothing for a minute, and somebody else asked for one');
        mine.movedAt = clock.monotonic();
      }
      yield encoder.encode(piece);
    } catch (error) {
      // The answer has begun: that it ends without its last line says that it is not whole.
      logger.warn('an export ended early', { error });
      throw error;
    } finally {
      if (turn === mine) turn = undefined;
    }
  }

  app.get(
    '/',
    auth.requireAction('read'),
    answers('the history of the fleet as JSON Lines, which `floe verify` checks: what was signed, and the audit log', ExportLine, {
      mediaType: EXPORT_MEDIA_TYPE,
    }),
    (c) => {
      if (turn !== undefined && clock.monotonic() - turn.movedAt < STALLED_MS) {
        c.header('retry-after', '60');
        return refuse(c, 429, 'EXPORT_RUNNING', 'somebody is being sent an export, and there is one at a time: try again in a minute');
      }
      turn = { movedAt: clock.monotonic() };
      return c.body(ReadableStream.from(pieces(turn)), 200, { 'content-type': EXPORT_MEDIA_TYPE, 'cache-control': 'no-store' });
    },
  );
  return app;
}
