import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { dataPaths, nameSettings, readOrMakePublicKeys } from '@floe/pipeline';
import { describeError, FloeError, isFloeError, stderrLogger, systemClock } from '@floe/runtime';
import { DEFAULT_DATA_DIR, parseConfig } from './config.ts';
import { runBuilder } from './context.ts';
import { USAGE } from './usage.ts';

const USAGE_ERROR = 2;

async function work(): Promise<void> {
  const config = parseConfig(process.env);
  const stopping = new AbortController();
  process.once('SIGTERM', () => stopping.abort());
  process.once('SIGINT', () => stopping.abort());
  const logger = stderrLogger(config.logLevel);
  // An unhandled rejection is a bug, but nothing waits for it: it ends one task, not the builder.
  process.on('unhandledRejection', (error) => logger.error('a promise was rejected without a handler: this is a bug', { error }));
  const system = { clock: systemClock, random: Math.random, env: process.env, rootDir: join(import.meta.dirname, '../../..') };
  await runBuilder(config, logger, system, stopping.signal);
  logger.info('stopped');
}

async function printKeys(): Promise<void> {
  const dataDir = process.env['FLOE_DATA_DIR'] ?? DEFAULT_DATA_DIR;
  await mkdir(dataPaths(dataDir).keys, { recursive: true, mode: 0o700 });
  process.stdout.write(await readOrMakePublicKeys(dataDir));
}

try {
  const { values, positionals } = parseArgs({ options: { help: { type: 'boolean', short: 'h', default: false } }, allowPositionals: true });
  const [command, ...others] = positionals;
  if (values.help) process.stdout.write(USAGE);
  else if (others.length > 0 || (command !== undefined && command !== 'keys'))
    throw new FloeError('CONFIG_INVALID', `there is no "${positionals.join(' ')}": see floe-builder --help`);
  else if (command === 'keys') await printKeys();
  else await work();
} catch (error) {
  const isUsage = isFloeError(error, 'CONFIG_INVALID') || (error as NodeJS.ErrnoException).code?.startsWith('ERR_PARSE_ARGS') === true;
  const isExpected = isUsage || isFloeError(error);
  // Includes the code, by which the manual can be searched.
  const code = isFloeError(error) && !isUsage ? `${error.code}: ` : '';
  process.stderr.write(
    `${isExpected ? `${code}${nameSettings(describeError(error), process.env['FLOE_CONFIGURED_BY'])}` : String((error as Error).stack)}\n`,
  );
  process.exitCode = isUsage ? USAGE_ERROR : 1;
}
