export * from './attention.ts';
export * from './stages.ts';
export * from './standing.ts';
export * from './text.ts';
export { duration } from '@floe/model';
