import { escapeSteering } from '@floe/runtime';
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
    json: (value, isLine = false) => stdout.write(`${escapeSteering(JSON.stringify(value, undefined, isLine ? undefined : 2))}\n`),
    note: (text) => stderr.write(`floe: ${harmless(text)}\n`),
  };
}
