import type { HttpBindings } from '@hono/node-server';
import type { Context } from 'hono';

/** Ends the connection under an answer, whether its reader takes anything or not. Without a port (`app.request`) there is none. */
export function cutAnswer(c: Context): void {
  (c.env as Partial<HttpBindings> | undefined)?.outgoing?.destroy();
}
