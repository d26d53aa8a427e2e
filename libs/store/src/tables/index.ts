export * from './access.ts';
export * from './hosts.ts';
export * from './notifications.ts';
export * from './outbox.ts';
export * from './pipeline.ts';
export * from './quarantine-orders.ts';
export * from './releases.ts';
export * from './server.ts';
