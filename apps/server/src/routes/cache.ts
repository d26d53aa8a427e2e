import { constants } from 'node:fs';
import { lstat, open, type FileHandle } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { background, Crowd } from '@floe/runtime';
import type { HttpBindings } from '@hono/node-server';
import { Hono, type Context } from 'hono';
import { trustProxies, type ClientAddresses } from '../http/client-address.ts';

/** Maximum number of downloads. Beyond it the oldest of the busiest address is cut: Nix resumes. */
const MAX_DOWNLOADS = 512;
const CHUNK_BYTES = 64 * 1024;

// Names that `nix copy` writes (nixos.org, "Binary cache"); no other file is served.
const SERVED = /^(nix-cache-info|[0-9a-z]{32}\.narinfo|nar\/[0-9a-z]{52}\.nar(\.(zst|xz))?)$/;

interface Download {
  readonly cut: () => void;
}

/**
 * Serves the folder to which the builder publishes, as a Nix binary cache. Public by design: whoever knows a hash may read the
 * path; secrets do not belong into the Nix store.
 */
export function cacheRoutes(
  dir: string,
  addresses: ClientAddresses = trustProxies([]),
  maxDownloads = MAX_DOWNLOADS,
): Hono<{ Bindings: Partial<HttpBindings> }> {
  const app = new Hono<{ Bindings: Partial<HttpBindings> }>();
  const downloads = new Crowd<Download>(maxDownloads);

  app.get('/:path{.+}', async (c) => {
    const path = c.req.param('path');
    const file = SERVED.test(path) ? await openRegular(join(dir, path)) : undefined;
    if (file === undefined) return c.text('no such file', 404);
    let isStreamed = false;
    try {
      const { size } = await file.stat();
      const isNar = path.startsWith('nar/');
      const type = isNar ? 'application/x-nix-nar' : path.endsWith('.narinfo') ? 'text/x-nix-narinfo' : 'text/x-nix-cache-info';
      c.header('content-type', type);
      if (isNar) c.header('cache-control', 'public, max-age=31536000, immutable');
      c.header('accept-ranges', 'bytes');
      const range = /^bytes=(\d{1,15})-(\d{0,15})$/.exec(c.req.header('range') ?? '');
      const start = range === null ? 0 : Number(range[1]);
      const end = range === null || range[2] === '' ? size - 1 : Math.min(Number(range[2]), size - 1);
      if (range !== null && (start > end || start >= size)) {
        c.header('content-range', `bytes */${size}`);
        return c.body(null, 416);
      }
      c.header('content-length', String(Math.max(0, end - start + 1)));
      if (range !== null) c.header('content-range', `bytes ${start}-${end}/${size}`);
      const status = range === null ? 200 : 206;
      if (c.req.method === 'HEAD' || size === 0) return c.body(null, status);
      isStreamed = true;
      return c.body(stream(c, file, [start, end], { downloads, address: addresses.ofRequest(c) }), status);
    } finally {
      if (!isStreamed) await file.close();
    }
  });
  return app;
}

/** A link, a folder, a pipe or a device in place of a file counts as missing; so does a link in place of its folder. */
async function openRegular(path: string): Promise<FileHandle | undefined> {
  try {
    if (!(await lstat(dirname(path))).isDirectory()) return undefined;
    // Opening a pipe would block.
    const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    if ((await file.stat()).isFile()) return file;
    await file.close();
  } catch {
    // Missing, or not readable.
  }
  return undefined;
}

/** The bytes from `start` to `end`, both included. The file is closed at the end, whoever ends it. */
function stream(
  c: Context<{ Bindings: Partial<HttpBindings> }>,
  file: FileHandle,
  [start, end]: readonly [number, number],
  { downloads, address }: { readonly downloads: Crowd<Download>; readonly address: string },
): ReadableStream<Uint8Array> {
  // Without a port (`app.request`) there is no connection.
  const outgoing = (c.env as Partial<HttpBindings> | undefined)?.outgoing;
  let at = start;
  let isOver = false;
  const download: Download = { cut: () => (outgoing === undefined ? finish() : outgoing.destroy()) };
  function finish(): void {
    if (isOver) return;
    isOver = true;
    downloads.leave(download);
    background(file.close(), () => undefined);
  }
  outgoing?.once('close', finish);
  downloads.join(download, address)?.cut();
  // The client disconnected while the file was opened, before anything listened.
  if (outgoing?.destroyed === true) finish();
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        const buffer = Buffer.allocUnsafeSlow(Math.min(CHUNK_BYTES, end - at + 1));
        const { bytesRead } = isOver ? { bytesRead: 0 } : await file.read(buffer, 0, buffer.length, at);
        at += bytesRead;
        // The file became shorter: the announced length cannot be sent, so the connection is cut.
        if (bytesRead === 0) controller.error(new Error('the file ended early'));
        else controller.enqueue(buffer.subarray(0, bytesRead));
        if (bytesRead > 0 && at <= end) return;
        if (bytesRead > 0) controller.close();
        finish();
      },
      cancel: finish,
    },
    { highWaterMark: 0 },
  );
}
