export * from './attention.ts';
export * from './describe-revision.ts';
export * from './describe-rollout.ts';
export * from './stages.ts';
export * from './standing.ts';
export * from './text.ts';
export { duration } from '@floe/model';
