import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { nameSettings } from '@floe/pipeline';
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
  // An unhandled rejection is a bug, but nothing waits for it: it ends one task, not the server. (An uncaught exception is
  // different: the state is unknown then, and the process ends.)
  process.on('unhandledRejection', (error) =>
    logger.error('a promise was rejected without a handler: this is a bug', { error, stack: stackOf(error) }),
  );
  const system = { clock: systemClock, random: Math.random, env: process.env, rootDir: join(import.meta.dirname, '../../..') };
  await using context = await createServerContext(config, logger, system, stopping.signal);
  await using _listening = await listen(context, config, logger);
  await context.run(stopping.signal);
  logger.info('stopped');
}

function stackOf(error: unknown): string | undefined {
  return error instanceof Error ? error.stack : undefined;
}

try {
  const { values } = parseArgs({ options: { help: { type: 'boolean', short: 'h', default: false } } });
  if (values.help) process.stdout.write(USAGE);
  else await serve(parseConfig(process.env));
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
