export * from './backoff.ts';
export * from './clock.ts';
export * from './errors.ts';
export * from './exec.ts';
export * from './files.ts';
export * from './logger.ts';
export * from './signing.ts';
export * from './wake.ts';
