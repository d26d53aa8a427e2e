import { judgeGithubHeaders, parseGithubWebhook } from './github-webhook.ts';
import type { WebhookReader } from './webhook.ts';

/** The forges that Floe knows. A new one does not compile until the server has its settings, statuses and webhooks. */
export const FORGES = ['github'] as const;
export type ForgeKind = (typeof FORGES)[number];

/** Their webhooks: each forge's at `POST /webhooks/<kind>`. */
export const WEBHOOKS: Readonly<Record<ForgeKind, WebhookReader>> = {
  github: { judgeHeaders: judgeGithubHeaders, parse: parseGithubWebhook },
};
