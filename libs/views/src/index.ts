export * from './attention.ts';
export * from './describe-revision.ts';
export * from './describe-rollout.ts';
export { nameMany } from './hosts-in-words.ts';
export * from './stages.ts';
export * from './standing.ts';
export * from './text.ts';
export * from './todo.ts';
export { duration } from '@floe/model';
