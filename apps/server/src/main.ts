import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { nameSettings } from '@floe/pipeline';
import { failService, Spawner, stderrLogger, surviveRejections, systemClock, untilStopped } from '@floe/runtime';
import { parseConfig, type Config } from './config.ts';
import { createServerContext } from './context.ts';
import { listen } from './listen.ts';
import { USAGE } from './usage.ts';

async function serve(config: Config): Promise<void> {
  const logger = stderrLogger(config.logLevel);
  surviveRejections(logger);
  const stopping = untilStopped();
  // This process holds the fleet, and with the embedded database all its data.
  await using spawner = new Spawner();
  const system = { clock: systemClock, random: Math.random, exec: spawner.exec, env: process.env, rootDir: join(import.meta.dirname, '../../..') };
  await using context = await createServerContext(config, logger, system, stopping);
  await using _listening = await listen(context, config, logger);
  await context.run(stopping);
  logger.info('stopped');
}

try {
  const { values } = parseArgs({ options: { help: { type: 'boolean', short: 'h', default: false } } });
  if (values.help) process.stdout.write(USAGE);
  else await serve(parseConfig(process.env));
} catch (error) {
  failService(error, (message) => nameSettings(message, process.env['FLOE_CONFIGURED_BY'], 'floe-server'));
}
