export { fitDescription } from './fit-description.ts';
export { FORGES, STATUS_FORGES, WEBHOOKS, type Forge, type StatusForge } from './forges.ts';
export { createGithubStatuses, type GithubStatusesOptions } from './github-statuses.ts';
export type { GithubAuth } from './github-sign-in.ts';
export { runStatusOutbox, type StatusOutboxDeps } from './run-status-outbox.ts';
export * from './status.ts';
export type * from './status-outbox.ts';
export type * from './webhook.ts';
