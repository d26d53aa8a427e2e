import type { EnrolmentTokenResponse } from '@floe/protocol';
import { harmless, indent, type Style } from './terminal.ts';
import { duration } from './text.ts';

/** Where the examples put the token on the machine: in memory, gone with the next boot. */
const TOKEN_PATH = '/run/floe-token';

/** A Nix string literal. `${` would start an antiquotation. */
export function nixString(text: string): string {
  return `"${text.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('${', '\\${').replaceAll('\n', '\\n')}"`;
}

function nixList(texts: readonly string[]): string {
  return texts.length === 0 ? '[ ]' : `[ ${texts.map(nixString).join(' ')} ]`;
}

/** What a host's configuration must hold to be looked after by this server. */
export function moduleSnippet(made: EnrolmentTokenResponse): string {
  return `{
  imports = [ floe.nixosModules.agent ];
  services.floe-agent = {
    enable = true;
    host = ${nixString(made.host)};
    server = ${nixString(made.serverUrl)};
    releaseKeys = ${nixList(made.releaseKeys)};
    serverKeys = ${nixList(made.serverKeys)};
  };
  nix.settings = {
    substituters = ${nixList([made.substituter])};
    trusted-public-keys = ${nixList(made.cachePublicKeys)};
  };
}`;
}

/** What an administrator does to bring a host in, ready to be copied. */
export function formatEnrolment(made: EnrolmentTokenResponse, options: { readonly now: number; readonly tokenFile: string | undefined }, style: Style): string {
  const { tokenFile } = options;
  const handOver =
    tokenFile === undefined
      ? `Then, as root on ${made.host}, type this and paste the token:\n\n${indent(`floe-agent enrol --token-file /dev/stdin`)}\n\n${indent(`${style('strong', made.token)}`)}`
      : `Then copy ${harmless(tokenFile)} to ${made.host} as ${TOKEN_PATH}, and as root there:\n\n${indent(`floe-agent enrol --token-file ${TOKEN_PATH}`)}`;
  return `${style('strong', `Enrol ${made.host}`)}

Put this into the configuration of ${made.host} (floe is the flake input of Floe), and switch to it once by hand:

${indent(moduleSnippet(made))}

${handOver}

The token works once, and for ${duration(Math.max(0, made.expiresAt - options.now))} from now. The keys above are what ${made.host} will trust: check that
they are your server's.`;
}
