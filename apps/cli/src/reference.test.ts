import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { EXIT_CODES } from './exit-codes.ts';
import { commandsIn, helpOf } from './test/help.ts';

const REFERENCE = join(import.meta.dirname, '../../../docs/cli.md');
const MARK = '<!-- From here on this is the output of --help: npx vitest run apps/cli/src/reference.test.ts -u -->';

/** What all commands share is told once. */
function withoutGlobalOptions(help: string): string {
  return help
    .replace(/^ +-h, --help +.*\n/m, '')
    .replace(/(Options:\n)?\nGlobal Options:\n( .*\n)+/, '')
    .replaceAll(/\n{3,}/g, '\n\n');
}

/** The help of a command, and of the commands below it. */
async function sectionOf(...path: string[]): Promise<string> {
  const help = await helpOf(...path);
  const own = `${'#'.repeat(path.length + 1)} floe ${path.join(' ')}\n\n\`\`\`text\n${withoutGlobalOptions(help).trim()}\n\`\`\`\n`;
  const below = await Promise.all(commandsIn(help).map(async (name) => await sectionOf(...path, name)));
  return [own, ...below].join('\n');
}

test('docs/cli.md holds the help of every command', async () => {
  const whole = await helpOf();
  const commands = commandsIn(whole);
  expect(commands).toContain('status');
  const sections = await Promise.all(commands.map(async (name) => await sectionOf(name)));
  const contents = `Commands: ${commands.map((name) => `[${name}](#floe-${name})`).join(' · ')}\n`;
  const [prose = ''] = (await readFile(REFERENCE, 'utf8')).split(MARK);
  await expect([`${prose}${MARK}\n`, contents, `## floe\n\n\`\`\`text\n${whole.trim()}\n\`\`\`\n`, ...sections].join('\n')).toMatchFileSnapshot(
    REFERENCE,
  );
});

test('the help names every exit status', async () => {
  const list = (await helpOf()).split('Exit status:\n')[1]?.split('\n\n')[0] ?? '';
  const told = [...list.matchAll(/^ +(\d+) /gm)].map(([, code]) => Number(code));
  expect(told.toSorted((a, b) => a - b)).toEqual(Object.values(EXIT_CODES).toSorted((a, b) => a - b));
});
