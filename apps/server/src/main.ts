import { describeError, isFloeError, stderrLogger } from '@floe/runtime';
import { parseConfig } from './config.ts';
import { createServerContext } from './context.ts';
import { listen } from './listen.ts';

const stopping = new AbortController();
process.once('SIGTERM', () => stopping.abort());
process.once('SIGINT', () => stopping.abort());

try {
  const config = parseConfig(process.env);
  const logger = stderrLogger(config.logLevel);
  await using context = await createServerContext(config, logger, stopping.signal);
  await using _listening = await listen(context, config, logger);
  await context.run(stopping.signal);
  logger.info('stopped');
} catch (error) {
  process.stderr.write(`${isFloeError(error) ? describeError(error) : String((error as Error).stack)}\n`);
  process.exitCode = 1;
}
