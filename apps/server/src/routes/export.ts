import { EXPORT_MEDIA_TYPE, ExportLine } from '@floe/protocol';
import type { Clock, Logger } from '@floe/runtime';
import { Hono } from 'hono';
import type { Auth, AuthEnv } from '../auth.ts';
import { ExportTurns, type ExportTurn } from '../export/export-turns.ts';
import { cutAnswer } from '../http/cut-answer.ts';
import { refuse } from '../http-error.ts';
import { answers } from '../openapi/described.ts';

/** Lines go out in pieces of about this many characters. */
const PIECE_CHARS = 64 * 1024;
export interface ExportRouteDeps {
  readonly auth: Auth;
  /** The lines of an export, as they are now. */
  readonly exportLines: () => AsyncIterable<string>;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** The fleet's history in one file, for people who want to check it without this server. */
export function exportRoutes({ auth, exportLines, clock, logger }: ExportRouteDeps): Hono<AuthEnv> {
  const app = new Hono<AuthEnv>();
  const turns = new ExportTurns(clock);

  async function* pieces(turn: ExportTurn): AsyncGenerator<Uint8Array> {
    using _turn = turn;
    const encoder = new TextEncoder();
    async function* handOver(text: string): AsyncGenerator<Uint8Array> {
      const bytes = encoder.encode(text);
      turn.offer(bytes.length);
      yield bytes;
      turn.taken();
      if (turn.isOver) throw new Error('its reader was too slow, and somebody else asked for one');
    }
    let piece = '';
    turn.taken();
    try {
      for await (const line of exportLines()) {
        piece += `${line}\n`;
        if (piece.length < PIECE_CHARS) continue;
        yield* handOver(piece);
        piece = '';
      }
      yield* handOver(piece);
    } catch (error) {
      // The answer has begun: that it ends without its last line says that it is not whole.
      logger.warn('an export ended early', { error });
      throw error;
    }
  }

  app.get(
    '/',
    auth.requireAction('read', { isStream: true }),
    answers('the history of the fleet as JSON Lines, which `floe verify` checks: what was signed, and the audit log', ExportLine, {
      mediaType: EXPORT_MEDIA_TYPE,
    }),
    (c) => {
      const turn = turns.take(c.var.actor.name, () => cutAnswer(c));
      if (typeof turn === 'string') {
        c.header('retry-after', '60');
        return refuse(c, 429, 'EXPORT_RUNNING', turn);
      }
      return c.body(ReadableStream.from(pieces(turn)), 200, { 'content-type': EXPORT_MEDIA_TYPE, 'cache-control': 'no-store' });
    },
  );
  return app;
}
