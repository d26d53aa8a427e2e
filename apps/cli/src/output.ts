import { printable } from '@floe/model';
import { escapeSteering } from '@floe/runtime';
import type { CliDeps, Output } from './cli.ts';
import { inColours, markStyle, plainStyle } from './view/terminal.ts';

/**
 * The only code that writes to the terminal (a test enforces it). All text is made printable here, so that no command can forget
 * it. Colours only on a terminal, and not with NO_COLOR (no-color.org).
 */
export function createOutput(deps: Pick<CliDeps, 'env' | 'stdout' | 'stderr'>): Output {
  const { env, stdout, stderr } = deps;
  const isColoured = stdout.isTTY === true && (env['NO_COLOR'] ?? '') === '' && env['TERM'] !== 'dumb';
  return {
    style: isColoured ? markStyle : plainStyle,
    columns: stdout.isTTY === true ? stdout.columns : undefined,
    errorColumns: stderr.columns,
    print: (text) => void stdout.write(`${isColoured ? inColours(text) : printable(text)}\n`),
    json: (value, isLine = false) => void stdout.write(`${escapeSteering(JSON.stringify(value, undefined, isLine ? undefined : 2))}\n`),
    // Further lines are indented, so that none can be mistaken for another message.
    note: (text) => void stderr.write(`floe: ${printable(text).trimEnd().replaceAll('\n', '\n  ')}\n`),
    help: (text) => void stdout.write(printable(text)),
    usage: (text) => void stderr.write(printable(text)),
    ask: (text) => void stderr.write(printable(text)),
  };
}
