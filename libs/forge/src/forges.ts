import { forgejoWebhooks } from './forgejo-webhook.ts';
import { githubWebhooks } from './github-webhook.ts';
import { gitlabWebhooks } from './gitlab-webhook.ts';
import type { WebhookReader } from './webhook.ts';

/** The forges that are told the statuses of commits. A new one does not compile until the server has its settings and statuses. */
export const STATUS_FORGES = ['github'] as const;
export type StatusForge = (typeof STATUS_FORGES)[number];

/** The forges whose webhooks are understood, each at `POST /webhooks/<name>`. Gitea is a Forgejo. */
export const FORGES = ['github', 'gitlab', 'forgejo'] as const;
export type Forge = (typeof FORGES)[number];

/** Their webhooks. */
export const WEBHOOKS: Readonly<Record<Forge, WebhookReader>> = {
  github: githubWebhooks,
  gitlab: gitlabWebhooks,
  forgejo: forgejoWebhooks,
};
