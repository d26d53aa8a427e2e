import { chainedLine, describeError, lineHash, parseChained, readFileIfPresent, writeFileDurably, type Logger } from '@floe/runtime';
import * as v from 'valibot';

/** Keeps what is known of evaluations in a file of the builder, with its hash: with a part of it missing, a host would be taken for unchanged. */
export async function writeKept(file: string, value: object): Promise<void> {
  await writeFileDurably(file, chainedLine('', value).line);
}

/** What {@link writeKept} wrote. Undefined: there is none, or it cannot be used, which the log says. It is recorded again. */
export async function readKept<Schema extends v.GenericSchema>(
  file: string,
  schema: Schema,
  logger: Logger,
): Promise<v.InferOutput<Schema> | undefined> {
  try {
    const text = await readFileIfPresent(file);
    if (text === undefined) return undefined;
    const line = parseChained(text);
    if (line === undefined || lineHash('', line.body) !== line.hash) throw new Error('it is damaged');
    return v.parse(schema, JSON.parse(line.body));
  } catch (error) {
    logger.warn('what is known of earlier evaluations cannot be read; it is recorded again', { file, error: describeError(error) });
    return undefined;
  }
}
