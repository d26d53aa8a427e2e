export * from './deps.ts';
export * from './pipeline.ts';
export * from './rebuild.ts';
export * from './statement-log.ts';
