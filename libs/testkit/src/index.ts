export * from './git-http-server.ts';
export * from './git-origin.ts';
