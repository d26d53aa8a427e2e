import { rm } from 'node:fs/promises';
import type { Logger } from '@floe/runtime';
import { Traces } from '../evaluation/traces.ts';
import type { BuilderConfig } from './builder-config.ts';
import { dataPaths } from './data-paths.ts';

/** Undefined without the setting. What was known is forgotten then, also that it was switched off. */
export async function openTraces(
  { dataDir, repository }: Pick<BuilderConfig, 'dataDir' | 'repository'>,
  logger: Logger,
): Promise<Traces | undefined> {
  const { traces } = dataPaths(dataDir);
  if (repository.skips) return await Traces.open(traces, logger);
  await rm(traces, { force: true });
  return undefined;
}
