export { factsOf, lastWordOf } from './host-facts.ts';
export { rolloutHosts, type RolloutFacts } from './rollout-hosts.ts';
export { openStore, type StoreDeps } from './open.ts';
export type * from './notification-contract.ts';
export type * from './outbox-contract.ts';
export type * from './records.ts';
export type * from './server-contract.ts';
export type * from './store.ts';
export { TABLE_NAMES, type TableName } from './table-names.ts';
