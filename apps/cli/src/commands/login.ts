import { ActorView, FleetView } from '@floe/protocol';
import { branchInWords } from '@floe/views';
import { FloeError, isFloeError, isSentInClear } from '@floe/runtime';
import type { Command } from 'commander';
import { createApiClient, type ApiClient } from '../api-client.ts';
import type { Cli } from '../cli.ts';
import { checkToken, parseServerUrl, readTokenFile } from '../connect.ts';
import { readHidden } from '../prompt.ts';
import { saveLogin, serversFilePath } from '../servers-file.ts';

export function addLogin(program: Command, cli: Cli): void {
  program
    .command('login')
    .description('log in to a server and remember it')
    .argument('<url>', 'where the server is, e.g. https://floe.example.org')
    .addHelpText(
      'after',
      `
The token is read from --token-file, else asked for on the terminal, else read from stdin. It is tried first, and
then kept in $XDG_CONFIG_HOME/floe/config.json (by default under ~/.config), which only you can read. At its first
start the server writes the first token into its data folder, as "admin-token"; further ones are made with: floe token

Examples:
  $ floe login https://floe.example.org
  $ floe login https://floe.example.org --token-file ./token
  $ ssh root@floe.example.org cat /var/lib/floe/admin-token | floe login https://floe.example.org`,
    )
    .action((url: string) => login(cli, url));
}

async function login(cli: Cli, url: string): Promise<void> {
  const { deps, out } = cli;
  const serverUrl = parseServerUrl(url);
  const path = serversFilePath(deps.env);
  if (isSentInClear(serverUrl)) out.note('careful: over http:// everyone on the way can read the token');
  const tokenFile = cli.options().tokenFile ?? deps.env['FLOE_TOKEN_FILE'];
  const token =
    tokenFile !== undefined && tokenFile !== ''
      ? await readTokenFile(tokenFile)
      : checkToken(await readHidden(cli, `Token for ${serverUrl}: `), 'the token');
  const api = createApiClient({ ...deps, serverUrl, token });
  const fleet = await tryToken(api);
  const { name, role } = await api.get('/api/session', ActorView);
  await saveLogin(path, serverUrl, token.reveal());
  if (cli.options().json === true) out.json({ server: serverUrl, name, role, configFile: path });
  else
    out.print(
      `Logged in to ${serverUrl} as ${name} (${role}): ${fleet.hosts.length} hosts of ${fleet.repository.url} (${branchInWords(fleet.repository)}).`,
    );
}

/** Whoever logs in knows that command already; what they lack is a good token. */
async function tryToken(api: ApiClient): Promise<FleetView> {
  try {
    return await api.get('/api/fleet', FleetView);
  } catch (error) {
    if (!isFloeError(error, 'UNAUTHENTICATED')) throw error;
    throw new FloeError(
      'UNAUTHENTICATED',
      `${api.serverUrl} does not know this token, or it expired or was revoked: check that it is whole, or ask an administrator of the server for one (the first is in admin-token of its data folder)`,
      { data: error.data, cause: error },
    );
  }
}
