import { EXPORT_MEDIA_TYPE, MAX_EXPORT_LINE } from '@floe/protocol';
import { FloeError, isAbort, isFloeError } from '@floe/runtime';
import type { Command } from 'commander';
import type { Cli } from '../cli.ts';
import { openWhole } from '../verify/whole-file.ts';
import { linesOf } from '../verify/lines.ts';

/** So long the server may be silent: it reads a page of rows, or some files, between two pieces. */
const SILENCE_MS = 60_000;

export function addExport(program: Command, cli: Cli): void {
  program
    .command('export')
    .description('the history of the fleet in one file, to be checked without the server by floe verify')
    .option('--out <file>', 'where to write it; else it goes to the standard output')
    .addHelpText(
      'after',
      `
JSON Lines: what was signed about releases and hosts, what hosts signed themselves, which commits were taken in, and the audit
log. Each line is chained to the one before by a hash, and the server signs the end. It has no secrets: what a viewer may read.
The server sends one export at a time to each token. FILE appears when all of it has come.

Examples:
  $ floe export --out fleet.jsonl
  $ floe verify fleet.jsonl --key keys.txt`,
    )
    .action((options: { out?: string }) => exportFleet(cli, options.out));
}

async function exportFleet(cli: Cli, path: string | undefined): Promise<void> {
  const { deps, out } = cli;
  const api = await cli.api();
  const silence = new AbortController();
  const heard = setTimeout(() => silence.abort(new Error('silent')), SILENCE_MS);
  try {
    const body = await api.openStream('/api/export', AbortSignal.any([deps.signal, silence.signal]), EXPORT_MEDIA_TYPE);
    await using file = path === undefined ? undefined : await openWhole(path);
    let lines = 0;
    let isWhole = false;
    for await (const { text, isLong } of linesOf(body, MAX_EXPORT_LINE)) {
      heard.refresh();
      if (isLong) throw new FloeError('ANSWER_MALFORMED', `line ${lines + 1} of the export is longer than ${MAX_EXPORT_LINE} characters`);
      lines += 1;
      isWhole = text.startsWith('{"kind":"end",');
      if (file === undefined) out.print(text);
      else await file.append(`${text}\n`);
    }
    if (!isWhole) throw new FloeError('SERVER_FAILED', `the export ended early, after ${lines} lines: look at the log of the server, and try again`);
    await file?.keep();
    if (path !== undefined) out.note(`${lines} lines are in ${path}`);
  } catch (error) {
    if (deps.signal.aborted) throw new FloeError('INTERRUPTED', 'stopped', { cause: error });
    if (silence.signal.aborted || (!isFloeError(error) && (isAbort(error) || error instanceof TypeError)))
      throw new FloeError('SERVER_UNREACHABLE', `the connection to ${api.serverUrl} ended before the export did: try again`, { cause: error });
    throw error;
  } finally {
    clearTimeout(heard);
  }
}
