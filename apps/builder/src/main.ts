import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { dataPaths, nameSettings, readOrMakePublicKeys } from '@floe/pipeline';
import { exec, failService, FloeError, stderrLogger, surviveRejections, systemClock, untilStopped } from '@floe/runtime';
import { parseConfig, parseKeySettings } from './config.ts';
import { runBuilder } from './context.ts';
import { USAGE } from './usage.ts';

async function work(): Promise<void> {
  const config = parseConfig(process.env);
  const logger = stderrLogger(config.logLevel);
  surviveRejections(logger);
  const stopping = untilStopped();
  const system = { clock: systemClock, random: Math.random, exec, env: process.env, rootDir: join(import.meta.dirname, '../../..') };
  await runBuilder(config, logger, system, stopping);
  logger.info('stopped');
}

async function printKeys(): Promise<void> {
  const { dataDir, keyFiles, signCommand } = parseKeySettings(process.env);
  await mkdir(dataPaths(dataDir).keys, { recursive: true, mode: 0o700 });
  process.stdout.write(await readOrMakePublicKeys(dataDir, keyFiles, { command: signCommand, exec, env: process.env }));
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
  failService(error, (message) => nameSettings(message, process.env['FLOE_CONFIGURED_BY'], 'floe-builder'));
}
