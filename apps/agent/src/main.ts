#!/usr/bin/env node
import packageJson from '../package.json' with { type: 'json' };
import { runCli } from './cli.ts';

const stopping = new AbortController();
process.once('SIGTERM', () => stopping.abort());
process.once('SIGINT', () => stopping.abort());

process.exitCode = await runCli({
  args: process.argv.slice(2),
  env: process.env,
  version: packageJson.version,
  signal: stopping.signal,
  random: Math.random,
  // Asked for when it is needed: it loads what Node knows of the world's calendars.
  timeZone: () => Intl.DateTimeFormat().resolvedOptions().timeZone,
  stdin: process.stdin,
  stdout: (text) => process.stdout.write(text),
  stderr: (text) => process.stderr.write(text),
});
