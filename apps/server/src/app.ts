import type { ServerNotice } from '@floe/protocol';
import type { Logger } from '@floe/runtime';
import type { PlainStore } from '@floe/store';
import { Hono } from 'hono';
import { createAuth, type AuthDeps } from './auth.ts';
import { CredentialLooks, type CredentialLooksDeps } from './credential-looks.ts';
import { answerError, refuse } from './http-error.ts';
import { BodyBudget } from './http/bodies.ts';
import type { ClientAddresses } from './http/client-address.ts';
import { auditRoutes, type AuditRouteDeps } from './routes/audit.ts';
import { cacheGcRoutes, type CacheGcDeps } from './routes/cache-gc.ts';
import { cacheRoutes } from './routes/cache.ts';
import { decisionRoutes, type DecisionDeps } from './routes/decisions.ts';
import { deployRoutes, type DeployDeps } from './routes/deploys.ts';
import { enrolmentRoutes, type EnrolmentDeps } from './routes/enrolment.ts';
import { exportRoutes, type ExportRouteDeps } from './routes/export.ts';
import { fleetRoutes, type FleetRouteDeps } from './routes/fleet.ts';
import { notificationRoutes, type NotificationRouteDeps } from './routes/notifications.ts';
import { probeRoutes, type ProbeRouteDeps } from './routes/probes.ts';
import { openapiRoutes } from './routes/openapi.ts';
import { pageRoutes } from './routes/page.ts';
import { pinRoutes, type PinDeps } from './routes/pins.ts';
import { quarantineRoutes, type QuarantineDeps } from './routes/quarantines.ts';
import { releaseRoutes, type ReleaseRouteDeps } from './routes/releases.ts';
import { renameRoutes, type RenameDeps } from './routes/renames.ts';
import { rolloutRoutes, type RolloutRouteDeps } from './routes/rollout.ts';
import { serverRoutes, type ServerRouteDeps } from './routes/server.ts';
import { sessionRoutes } from './routes/session.ts';
import { submissionRoutes, type SubmissionDeps } from './routes/submissions.ts';
import { trialRoutes, type TrialDeps } from './routes/trials.ts';
import { tokenRoutes, type TokenRouteDeps } from './routes/tokens.ts';
import { webhookRoutes, type WebhookDeps } from './routes/webhooks.ts';

type Made = 'auth' | 'bodies' | 'looks';

interface OwnDeps {
  readonly store: AuthDeps['store'] & { readonly tokens: CredentialLooksDeps['tokens'] } & Pick<PlainStore, 'forPeople'>;
  readonly logger: Logger;
  /** Where people reach the page. */
  readonly publicUrl: string;
  readonly addresses: ClientAddresses;
  readonly webhooks: Omit<WebhookDeps, Made>;
  /** The folder of the cache to serve; undefined: the cache is elsewhere. */
  readonly cacheDir: string | undefined;
  /** The built dashboard. */
  readonly dashboardDir: string;
  /** What is not ready yet; empty when all is. */
  readonly notReady: () => Promise<readonly string[]>;
  readonly notices: () => readonly ServerNotice[];
}

/** All that the routes ask for together. */
export type AppDeps = OwnDeps &
  Omit<
    EnrolmentDeps &
      DecisionDeps &
      DeployDeps &
      PinDeps &
      QuarantineDeps &
      RenameDeps &
      TrialDeps &
      SubmissionDeps &
      ReleaseRouteDeps &
      FleetRouteDeps &
      RolloutRouteDeps &
      ServerRouteDeps &
      CacheGcDeps &
      TokenRouteDeps &
      AuditRouteDeps &
      ExportRouteDeps &
      NotificationRouteDeps &
      ProbeRouteDeps,
    Made
  >;

/** Deliveries whose signature is not judged yet, of all senders: two as large as GitHub sends any. */
const WEBHOOK_BYTES = 64 * 1024 * 1024;
/** Enrolments and sign-ins. */
const STRANGERS_BYTES = 4 * 1024 * 1024;

/** All of the server's HTTP, without a port. */
export function createApp(deps: AppDeps): Hono {
  const app = new Hono();
  app.onError((error, c) => answerError(deps.logger, error, c));
  app.notFound((c) => refuse(c, 404, 'NOT_FOUND', `there is nothing at ${c.req.path}`));

  app.get('/healthz', (c) => c.json({ status: 'alive' }));
  app.get('/readyz', async (c) => {
    const reasons = await deps.notReady();
    // For people who look: what is wrong without making it useless. Nothing of it is secret.
    const notices = deps.notices().map(({ message }) => message);
    return reasons.length === 0 ? c.json({ status: 'ready', notices }) : c.json({ status: 'not-ready', reasons, notices }, 503);
  });
  app.route('/webhooks', webhookRoutes({ ...deps.webhooks, bodies: new BodyBudget(WEBHOOK_BYTES) }));
  if (deps.cacheDir !== undefined) app.route('/cache', cacheRoutes(deps.cacheDir, deps.addresses));

  const api = new Hono();
  // Nobody who looks waits for thousands of agents that come back at once.
  api.use(async (_, next) => await deps.store.forPeople(next));
  const looks = new CredentialLooks({ tokens: deps.store.tokens, clock: deps.clock, addresses: deps.addresses });
  const auth = createAuth({ ...deps, looks });
  const routes = { ...deps, auth, looks, bodies: new BodyBudget(STRANGERS_BYTES) };
  api.route('/session', sessionRoutes(routes));
  api.route('/', enrolmentRoutes(routes));
  api.route('/', decisionRoutes(routes));
  api.route('/', deployRoutes(routes));
  api.route('/', pinRoutes(routes));
  api.route('/', renameRoutes(routes));
  api.route('/', submissionRoutes(routes));
  api.route('/', quarantineRoutes(routes));
  api.route('/', trialRoutes(routes));
  api.route('/releases', releaseRoutes(routes));
  api.route('/rollout', rolloutRoutes(routes));
  api.route('/server', serverRoutes(routes));
  api.route('/cache', cacheGcRoutes(routes));
  api.route('/tokens', tokenRoutes(routes));
  api.route('/audit', auditRoutes(routes));
  api.route('/export', exportRoutes(routes));
  api.route('/notifications', notificationRoutes(routes));
  api.route('/probes', probeRoutes(routes));
  api.route('/', fleetRoutes(routes));
  api.route('/openapi.json', openapiRoutes({ auth, listed: () => app.routes }));
  app.route('/api', api);

  app.route('/', pageRoutes(deps.dashboardDir));
  return app;
}
