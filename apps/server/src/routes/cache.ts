import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { Hono } from 'hono';

// Names that `nix copy` writes (nixos.org, "Binary cache"): nothing else in the folder is served.
const SERVED = /^(nix-cache-info|[0-9a-z]{32}\.narinfo|nar\/[0-9a-z]{52}\.nar(\.(zst|xz))?)$/;

/**
 * The embedded default's binary cache: the folder that the builder publishes to, over HTTP. Public by design: what is
 * signed may be read by who knows its hash; secrets never belong into the Nix store.
 */
export function cacheRoutes(dir: string): Hono {
  const app = new Hono();
  app.get('/:path{.+}', async (c) => {
    const path = c.req.param('path');
    if (!SERVED.test(path)) return c.text('no such file', 404);
    const file = join(dir, path);
    const info = await stat(file).catch(() => undefined);
    if (info === undefined) return c.text('no such file', 404);
    const isNar = path.startsWith('nar/');
    const type = isNar ? 'application/x-nix-nar' : path.endsWith('.narinfo') ? 'text/x-nix-narinfo' : 'text/x-nix-cache-info';
    c.header('content-type', type);
    if (isNar) c.header('cache-control', 'public, max-age=31536000, immutable');
    c.header('accept-ranges', 'bytes');
    const range = /^bytes=(\d+)-(\d*)$/.exec(c.req.header('range') ?? '');
    const start = range === null ? 0 : Number(range[1]);
    const end = range === null || range[2] === '' ? info.size - 1 : Math.min(Number(range[2]), info.size - 1);
    if (range !== null && (start > end || start >= info.size)) {
      c.header('content-range', `bytes */${info.size}`);
      return c.body(null, 416);
    }
    c.header('content-length', String(Math.max(0, end - start + 1)));
    if (range !== null) c.header('content-range', `bytes ${start}-${end}/${info.size}`);
    const status = range === null ? 200 : 206;
    if (c.req.method === 'HEAD' || info.size === 0) return c.body(null, status);
    return c.body(Readable.toWeb(createReadStream(file, { start, end })) as ReadableStream, status);
  });
  return app;
}
