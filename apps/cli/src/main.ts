#!/usr/bin/env node
import { exec, systemClock } from '@floe/runtime';
import { runCli } from './program.ts';

const stop = new AbortController();
for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => stop.abort());
// `floe hosts | head`: the reader has closed the pipe, so nothing can be written any more.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
  stop.abort();
});

process.exitCode = await runCli(process.argv.slice(2), {
  env: process.env,
  stdin: process.stdin,
  stdout: process.stdout,
  stderr: process.stderr,
  fetch,
  clock: systemClock,
  random: Math.random,
  exec,
  signal: stop.signal,
});
