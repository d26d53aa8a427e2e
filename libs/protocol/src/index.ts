export * from './agent-policy.ts';
export * from './api.ts';
export * from './bounds.ts';
export * from './envelope.ts';
export * from './ids.ts';
export * from './messages.ts';
export * from './statements.ts';
export * from './version.ts';
