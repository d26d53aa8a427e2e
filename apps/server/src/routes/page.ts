import { serveStatic } from '@hono/node-server/serve-static';
import { Hono } from 'hono';
import { secureHeaders } from 'hono/secure-headers';

/** The built dashboard: its files are small, of this server alone, and compressed when it was built (apps/dashboard/compress.ts). */
export function pageRoutes(dashboardDir: string): Hono {
  const app = new Hono();
  const headers = secureHeaders({
    contentSecurityPolicy: {
      defaultSrc: ["'self'"],
      styleSrc: ["'self'"],
      imgSrc: ["'self'", 'data:'],
      frameAncestors: ["'none'"],
      baseUri: ["'none'"],
    },
  });
  app.get(
    '*',
    headers,
    // Not in serveStatic's onFound: it is called when the answer is made already, and what it sets is lost.
    async (c, next) => {
      await next();
      if (!c.res.ok) return;
      // Files of a build are named after their content; the page that names them is asked for each time.
      c.header('cache-control', c.req.path.startsWith('/assets/') ? 'public, max-age=31536000, immutable' : 'no-cache');
      // Also of what came uncompressed: a cache on the way must not keep that for everybody.
      c.header('vary', 'Accept-Encoding');
    },
    serveStatic({ root: dashboardDir, precompressed: true }),
  );
  return app;
}
