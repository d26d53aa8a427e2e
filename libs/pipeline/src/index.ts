export * from './deps.ts';
export { loggedRef } from './newest-releases.ts';
export * from './pipeline.ts';
export * from './rebuild.ts';
export * from './statement-log.ts';
export { MAX_TRIAL_MS, sealTrial } from './trial-branches/seal-trial.ts';
export { TESTING_FOLDER } from './trial-branches/plan.ts';
export { trialFactsOf } from './trial-branches/testing-branches.ts';
export type { TestingDeps } from './trial-branches/testing-deps.ts';
