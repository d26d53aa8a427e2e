export { fitDescription } from './fit-description.ts';
export { createGithubStatuses, type GithubStatusesOptions } from './github-statuses.ts';
export type { GithubAuth } from './github-sign-in.ts';
export {
  judgeGithubHeaders,
  parseGithubWebhook,
  type GithubDelivery,
  type GithubPush,
  type WebhookOutcome,
  type WebhookRefusal,
  type WebhookRefusalCode,
} from './github-webhook.ts';
export { runStatusOutbox, type StatusOutboxDeps } from './run-status-outbox.ts';
export * from './status.ts';
export type * from './status-outbox.ts';
