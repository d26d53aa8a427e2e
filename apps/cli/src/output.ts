import type { CliDeps, Output } from './cli.ts';
import { colourStyle, harmless, plainStyle } from './view/terminal.ts';

/** Colours only on a terminal, and not where NO_COLOR asks for none (no-color.org). */
export function createOutput(deps: Pick<CliDeps, 'env' | 'stdout' | 'stderr'>): Output {
  const { env, stdout, stderr } = deps;
  const isColoured = stdout.isTTY === true && (env['NO_COLOR'] ?? '') === '' && env['TERM'] !== 'dumb';
  return {
    style: isColoured ? colourStyle : plainStyle,
    columns: stdout.isTTY === true ? stdout.columns : undefined,
    print: (text) => stdout.write(`${text}\n`),
    json: (value, isLine = false) => stdout.write(`${escapeC1(JSON.stringify(value, undefined, isLine ? undefined : 2))}\n`),
    note: (text) => stderr.write(`floe: ${harmless(text)}\n`),
  };
}

/** JSON may hold C1 control characters as they are; some terminals obey them. */
function escapeC1(json: string): string {
  return json.replaceAll(/[\u007f-\u009f]/g, (char) => `\\u00${char.charCodeAt(0).toString(16)}`);
}
