import { FORGES, WEBHOOKS, type Forge, type Push } from '@floe/forge';
import { TESTING_FOLDER } from '@floe/pipeline';
import type { Clock, Logger, SecretSource } from '@floe/runtime';
import type { Repository, StorePart } from '@floe/store';
import { Hono } from 'hono';
import { createMiddleware } from 'hono/factory';
import { strangersBody, type BodyBudget } from '../http/bodies.ts';
import { refuse } from '../http-error.ts';
import { isSameRepository } from './same-repository.ts';

/** GitHub's own limit for a delivery (docs.github.com, "Webhook events and payloads"). */
const MAX_BODY_BYTES = 25 * 1024 * 1024;

export interface WebhookDeps {
  readonly store: StorePart<{ deliveries: 'record'; repositories: 'get' }>;
  /** As it was at the start: its branch may have been unknown then. */
  readonly repository: Repository;
  readonly secrets: readonly SecretSource[];
  readonly nameSettings: (message: string) => string;
  /** Whether branches `testing/<host>` are followed. */
  readonly followsTesting: boolean;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Where the repository is. A webhook of another forge is refused: whoever has a login there is somebody else. */
  readonly forge: Forge;
  /** What the repository is called there; undefined: it is known by the clone URL only. */
  readonly nameAtForge: string | undefined;
  readonly bodies: BodyBudget;
}

/**
 * `POST /webhooks/<forge>`: a push says "look again", and nothing more. Answered 202 once it is stored; a repeated
 * delivery is answered 200; after five seconds it asks for another look.
 */
export function webhookRoutes(deps: WebhookDeps): Hono {
  const { store, repository, clock, logger } = deps;
  const app = new Hono();
  const headersFirst = (kind: Forge) =>
    createMiddleware(async (c, next) => {
      if (kind !== deps.forge) {
        const what = `webhooks of ${kind} are refused: this server's repository is at ${deps.forge}; if it is not, set FLOE_FORGE`;
        logger.warn(deps.nameSettings(what), { code: 'FORGE_UNKNOWN' });
        return refuse(c, 404, 'FORGE_UNKNOWN', deps.nameSettings(what));
      }
      if (deps.secrets.length === 0) {
        return refuse(
          c,
          403,
          'WEBHOOKS_NOT_CONFIGURED',
          deps.nameSettings('this server has no webhook secret: set FLOE_WEBHOOK_SECRET_FILE, and give the forge the same secret'),
        );
      }
      const refusal = WEBHOOKS[kind].judgeHeaders({ get: (name) => c.req.header(name) ?? null });
      if (refusal === undefined) return await next();
      logger.warn('a webhook was refused', { code: refusal.code });
      return refuse(c, refusal.status, refusal.code, refusal.message);
    });

  for (const kind of FORGES)
    app.post(`/${kind}`, headersFirst(kind), strangersBody(MAX_BODY_BYTES, deps.bodies), async (c) => {
      const rawBody = new Uint8Array(await c.req.arrayBuffer());
      const outcome = await WEBHOOKS[kind].parse({
        secret: await Promise.all(deps.secrets.map(async (each) => await each.read())),
        headers: { get: (name) => c.req.header(name) ?? null },
        rawBody,
      });
      switch (outcome.kind) {
        case 'refused':
          logger.warn('a webhook was refused', { code: outcome.code });
          return refuse(c, outcome.status, outcome.code, outcome.message);
        case 'ping':
          return c.json({ message: 'pong: the webhook reaches this server and its secret is right' });
        case 'ignored':
          return c.json({ message: `nothing to do for ${outcome.event}` });
        case 'push': {
          if (!isOurs(outcome.repository, deps)) {
            return refuse(c, 404, 'REPOSITORY_UNKNOWN', `this server does not track ${outcome.repository.fullName}; it tracks ${repository.url}`);
          }
          const { branch, ref } = repository.branch === '' ? await store.repositories.get(repository.id) : repository;
          // While the default branch is not known, a push may have made it.
          const isTracked = (outcome.ref === ref || branch === '') && !outcome.isDeleted;
          // Also of a deletion: that ends what the host tries.
          const isTesting = deps.followsTesting && outcome.ref.startsWith(`refs/heads/${TESTING_FOLDER}`);
          const stored = await store.deliveries.record({
            id: outcome.repeatKey,
            forge: kind,
            event: 'push',
            repositoryId: repository.id,
            ref: outcome.ref,
            before: outcome.before,
            after: outcome.after,
            pusher: outcome.pusher,
            outcome: isTracked ? 'accepted' : isTesting ? 'testing-branch' : outcome.isDeleted ? 'branch-deleted' : 'other-branch',
            receivedAt: clock.now(),
          });
          if (stored === 'duplicate') return c.json({ message: 'this delivery was already taken; the repository is looked at again' });
          if (!isTracked && !isTesting) {
            if (outcome.isDeleted && outcome.ref === ref) logger.warn('the tracked branch was deleted at the forge', { ref: outcome.ref });
            const why = outcome.isDeleted ? `${outcome.ref} was deleted` : `this server tracks ${ref}`;
            return c.json({ message: `nothing to do: ${why}` }, 202);
          }
          logger.info('push received', { deliveryId: outcome.deliveryId, after: outcome.after });
          return c.json({ message: 'taken' }, 202);
        }
      }
    });
  for (const kind of FORGES) {
    app.all(`/${kind}`, (c) => {
      c.header('allow', 'POST');
      return refuse(c, 405, 'METHOD_NOT_ALLOWED', 'webhooks are sent by POST');
    });
  }
  return app;
}

function isOurs(pushed: Push['repository'], deps: WebhookDeps): boolean {
  if (deps.nameAtForge !== undefined) return pushed.fullName.toLowerCase() === deps.nameAtForge.toLowerCase();
  return isSameRepository(deps.repository.url, pushed);
}
