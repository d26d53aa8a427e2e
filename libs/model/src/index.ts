export * from './agent-state.ts';
export * from './brands.ts';
export * from './evaluation.ts';
export * from './observed.ts';
export * from './resolve.ts';
export * from './revision-state.ts';
export * from './rollout-state.ts';
