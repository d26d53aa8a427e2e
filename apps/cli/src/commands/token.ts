import { ACTIONS, ROLES, roleFor, type Action, type Role } from '@floe/model';
import { NewTokenResponse, TokenViews, type NewTokenRequest } from '@floe/protocol';
import { FloeError } from '@floe/runtime';
import type { Command } from 'commander';
import { viewOf, type Cli } from '../cli.ts';
import { formatNewToken, formatTokens } from '../view/tokens.ts';
import { forgeLoginArgument, lifetimeArgument, REASON, roleArgument, signerArgument, tokenNameArgument } from './arguments.ts';

/** An action without words does not compile: the help names all that a role may. */
const ACTION_WORDS: Readonly<Record<Action, string>> = {
  read: 'read everything: the fleet, its history, the log of decisions',
  retry: 'retry',
  resume: 'resume',
  deploy: 'deploy',
  evaluate: 'evaluate',
  pin: 'pin, hold',
  quarantine: 'quarantine',
  try: 'try',
  'pause-rollout': 'pause rollouts',
  'resume-rollout': 'resume rollouts',
  'abort-rollout': 'abort rollouts',
  accept: 'accept commits that are held',
  'approve-rollout': 'approve rings',
  'hotfix-rollout': 'hotfix',
  'break-glass': 'break the glass',
  submit: 'pin to a store path',
  'submit-release': 'release submit',
  enrol: 'enrol',
  revoke: 'revoke',
  forget: 'forget',
  rename: 'rename',
  'accept-clock': 'accept clock',
  'collect-cache': 'cache gc',
  'manage-tokens': 'token',
  'test-notification': 'notify test',
  'test-probe': 'probe test',
};
const LEAD_WORDS: Readonly<Record<Role, string>> = {
  submitter: 'for a CI: release submit, and reading what comes of it; nothing else',
  viewer: '',
  operator: 'also ',
  approver: 'also ',
  administrator: 'everything: also ',
};

function roleInWords(role: Role): string {
  const actions = ACTIONS.filter((action) => roleFor(action) === role).map((action) => ACTION_WORDS[action]);
  return `  ${role.padEnd(15)}${LEAD_WORDS[role]}${actions.join(', ')}`;
}

const PERSON = ['--person <name>', 'whose it is, if the person has several tokens: the same name for each', tokenNameArgument] as const;
const FORGE_LOGIN = ['--forge-login <login>', "the person's login at the forge, to know who pushed a commit", forgeLoginArgument] as const;
const SIGNER = ['--signer <who>', "the person's name among the allowed SSH signers, or OpenPGP fingerprint", signerArgument] as const;

interface Whose {
  readonly person?: string;
  readonly forgeLogin?: string;
  readonly signer?: string;
}
/** False: `--no-…` */
type Changed<T> = { readonly [Key in keyof T]: T[Key] | false };

export function addToken(program: Command, cli: Cli): void {
  const token = program
    .command('token')
    .description('who may use the API and the page: tokens with a name and a role')
    .addHelpText(
      'after',
      `
A role of people may do all that the ones before it may:
${ROLES.map(roleInWords).join('\n')}`,
    );

  token
    .command('create')
    .description('make a token, and show it once')
    .argument('<name>', 'whose it is: a person or a program, as the log is to name them', tokenNameArgument)
    .requiredOption('--role <role>', 'submitter, viewer, operator, approver or administrator', roleArgument)
    .option(...PERSON)
    .option(...FORGE_LOGIN)
    .option(...SIGNER)
    .option('--expires <duration>', 'its end, from now on: 90m, 12h, 30d, 4w, 1y; it has none by default', lifetimeArgument)
    .addHelpText(
      'after',
      `
The server keeps only its hash, so it cannot be shown again. A name is given once: to replace a token, revoke it first, or
choose another name.

Examples:
  $ floe token create ada --role administrator
  $ floe token create ci --role submitter --expires 30d --json | jq -r .token`,
    )
    .action((name: string, { role, expires, ...whose }: { role: Role; expires?: number } & Whose) =>
      create(cli, { name, role, expiresInMs: expires, ...whose }),
    );

  token
    .command('set')
    .description('say whose a token is')
    .argument('<name>', 'the name of the token', tokenNameArgument)
    .option(...PERSON)
    .option('--no-person', 'it belongs to a person of its own name')
    .option(...FORGE_LOGIN)
    .option('--no-forge-login', 'no login at the forge is known')
    .option(...SIGNER)
    .option('--no-signer', 'it is nobody who signs commits')
    .requiredOption(...REASON)
    .addHelpText(
      'after',
      `
Approvals count people: two tokens of one person count once. Who pushed a commit is known by the login at the forge, who signed
it by the signature, where the server's settings name signers. Neither approves what the policy wants somebody else for (notAuthor). Case
does not matter in a login. A token has one login and one signer: for more of them, make tokens of the role viewer with the same person.

Examples:
  $ floe token set ada-phone --person ada --reason "the same person"
  $ floe token set ada --forge-login AdaL --reason "her account at GitHub"
  $ floe token set ada --signer ada@example.org --reason "her key"
  $ floe token set renovate --forge-login "renovate[bot]" --reason "pushes updates"`,
    )
    .action((name: string, { reason, ...whose }: { reason: string } & Changed<Whose>) => set(cli, name, reason, whose));

  token
    .command('list')
    .description('all tokens, with their roles, last uses and ends')
    .addHelpText(
      'after',
      `
USED is right to the minute, and counts the page, too. A token that ended stays in the list for 90 days.

Example:
  $ floe token list`,
    )
    .action(() => list(cli));

  token
    .command('revoke')
    .description('end a token, and all sessions that were made with it')
    .argument('<name>', 'the name of the token', tokenNameArgument)
    .requiredOption(...REASON)
    .addHelpText(
      'after',
      `
A token of an administrator without an end always stays: the last one is not revoked. Tokens that it made stay, too:
"floe token list" says which.

Example:
  $ floe token revoke ada --reason "left the company"`,
    )
    .action((name: string, { reason }: { reason: string }) => revoke(cli, name, reason));
}

async function create(cli: Cli, request: NewTokenRequest): Promise<void> {
  const { out } = cli;
  const api = await cli.api();
  const made = await api.post('/api/tokens', request, NewTokenResponse);
  if (cli.options().json === true) out.json(made);
  else out.print(formatNewToken(made, api.serverUrl, viewOf(cli)));
}

async function set(cli: Cli, name: string, reason: string, { person, forgeLogin, signer }: Changed<Whose>): Promise<void> {
  const { out } = cli;
  if (person === undefined && forgeLogin === undefined && signer === undefined)
    throw new FloeError('USAGE', 'say --person, --forge-login or --signer, or take one away with --no-person, --no-forge-login or --no-signer');
  const body = {
    reason,
    ...(person === undefined ? {} : { person: person || null }),
    ...(forgeLogin === undefined ? {} : { forgeLogin: forgeLogin || null }),
    ...(signer === undefined ? {} : { signer: signer || null }),
  };
  await (await cli.api()).send('POST', `/api/tokens/${encodeURIComponent(name)}`, body);
  if (cli.options().json === true) out.json({ done: true });
  else out.print(`The token ${name} is changed.`);
}

async function list(cli: Cli): Promise<void> {
  const { out } = cli;
  const tokens = await (await cli.api()).get('/api/tokens', TokenViews);
  if (cli.options().json === true) out.json(tokens);
  else out.print(formatTokens(tokens, viewOf(cli)));
}

async function revoke(cli: Cli, name: string, reason: string): Promise<void> {
  const { out } = cli;
  await (await cli.api()).send('DELETE', `/api/tokens/${encodeURIComponent(name)}`, { reason });
  if (cli.options().json === true) out.json({ done: true });
  else out.print(`The token of ${name} is revoked.`);
}
