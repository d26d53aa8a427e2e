export * from './git-http-server.ts';
export * from './git-origin.ts';
export * from './local-forge.ts';
export * from './nix-fleet.ts';
export * from './pg-server.ts';
export * from './service-process.ts';
export * from './test-fleet.ts';
export { LabGuest } from './lab/guest.ts';
export { isLabReady, LabNetwork, labRootfs, type LabSuite } from './lab/network.ts';
