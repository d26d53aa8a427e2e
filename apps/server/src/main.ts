import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { describeError, isFloeError, stderrLogger, systemClock } from '@floe/runtime';
import { parseConfig, type Config } from './config.ts';
import { createServerContext } from './context.ts';
import { listen } from './listen.ts';
import { USAGE } from './usage.ts';

const USAGE_ERROR = 2;

async function serve(config: Config): Promise<void> {
  const stopping = new AbortController();
  process.once('SIGTERM', () => stopping.abort());
  process.once('SIGINT', () => stopping.abort());
  const logger = stderrLogger(config.logLevel);
  const system = { clock: systemClock, random: Math.random, env: process.env, rootDir: join(import.meta.dirname, '../../..') };
  await using context = await createServerContext(config, logger, system, stopping.signal);
  await using _listening = await listen(context, config, logger);
  await context.run(stopping.signal);
  logger.info('stopped');
}

try {
  const { values } = parseArgs({ options: { help: { type: 'boolean', short: 'h', default: false } } });
  if (values.help) process.stdout.write(USAGE);
  else await serve(parseConfig(process.env));
} catch (error) {
  const isUsage = isFloeError(error, 'CONFIG_INVALID') || (error as NodeJS.ErrnoException).code?.startsWith('ERR_PARSE_ARGS') === true;
  const isExpected = isUsage || isFloeError(error);
  process.stderr.write(`${isExpected ? describeError(error) : String((error as Error).stack)}\n`);
  process.exitCode = isUsage ? USAGE_ERROR : 1;
}
