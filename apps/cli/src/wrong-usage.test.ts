import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { everyCommand, type CommandHelp } from './test/help.ts';
import { makeHome, run, startServer } from './test/harness.ts';

// Whatever somebody types, a command that does not do it says why.

let home: Awaited<ReturnType<typeof makeHome>>;
let server: Awaited<ReturnType<typeof startServer>>;
beforeAll(async () => {
  home = await makeHome();
  server = await startServer({});
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
  await home[Symbol.asyncDispose]();
});

const COMMANDS = await everyCommand();
const word = fc.constantFrom(
  'ada',
  'c0ffee1',
  'c0ffee1c0ffee1c0ffee1c0ffee1c0ffee1c0ffee1',
  '2h',
  '2020-01-01',
  'viewer',
  'boss',
  '-1',
  '',
  'A B',
  '/nix/store/x',
  '-',
);

/** A command line of this command: some of its options, and any words. */
function argvOf({ path, options }: CommandHelp): fc.Arbitrary<string[]> {
  const given = options.map((option) => {
    const [name = '', value] = option.split(' ');
    return value === undefined ? fc.constant([name]) : word.map((text) => [name, text]);
  });
  // What follows goes on until somebody stops it.
  const some = fc
    .subarray(given.filter((_, index) => options[index] !== '--follow' && options[index] !== '--watch'))
    .chain((each) => fc.tuple(...each));
  return fc.tuple(fc.array(word, { maxLength: 3 }), some).map(([words, flags]) => [...path, ...words, ...flags.flat()]);
}

test('every command is tried', () => {
  const names = COMMANDS.map(({ path }) => path.join(' '));
  expect(names).toEqual(expect.arrayContaining(['pin', 'try', 'quarantine', 'rollout approve', 'policy check']));
  expect(COMMANDS.find(({ path }) => path.join(' ') === 'quarantine')?.options).toEqual([
    '--reason <text>',
    '--all <commit>',
    '--until <when>',
    '--lift',
  ]);
});

test.each(COMMANDS.map((command) => ({ ...command, name: command.path.join(' ') })))('floe $name', async (command) => {
  const env = { XDG_CONFIG_HOME: home.folder, FLOE_SERVER_URL: server.url, FLOE_TOKEN_FILE: home.tokenFile };
  await fc.assert(
    fc.asyncProperty(argvOf(command), async (argv) => {
      const { code, stdout, stderr } = await run(argv, env, {
        exec: async () => await Promise.reject(Object.assign(new Error('no'), { code: 'ENOENT' })),
      });
      expect(stderr, argv.join(' ')).not.toMatch(/this is a bug|undefined|\[object/);
      if (code !== 0) expect(stderr + stdout, argv.join(' ')).toMatch(/\w{2}/);
    }),
    { numRuns: 30, examples: [[[...command.path]], [[...command.path, 'ada', '--reason', 'x']]] },
  );
});

test.each([
  [['quarantine', 'ada'], 'name a host and a commit, or give --all COMMIT'],
  [['try', 'ada'], 'name a commit to try, or give --end'],
  [['pin', 'ada', 'c0ffee1', '--store-path', `/nix/store/${'a'.repeat(32)}-x`], 'name a commit, or give --store-path'],
])('%j says what is missing', async (argv, said) => {
  expect(await run([...argv, '--reason', 'x'], {})).toMatchObject({ code: 2, stdout: '', stderr: `floe: ${said}\n` });
});
