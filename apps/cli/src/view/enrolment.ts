import type { EnrolmentTokenResponse } from '@floe/protocol';
import { printable, printableLine } from '@floe/model';
import { nixString } from '@floe/runtime';
import { indent, type View } from './terminal.ts';
import { duration } from '@floe/views';

/** Where the token is put on the machine: in memory, gone with the next boot. */
const TOKEN_PATH = '/run/floe-enrolment-token';

function nixList(texts: readonly string[]): string {
  return texts.length === 0 ? '[ ]' : `[ ${texts.map(nixString).join(' ')} ]`;
}

/** A word for a POSIX shell. */
export function shellWord(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", String.raw`'\''`)}'`;
}

/** What a host's configuration must hold to be looked after by this server. */
export function nixosSettings(made: EnrolmentTokenResponse): string {
  return `{ inputs, ... }: # with specialArgs = { inherit inputs; } in the flake
{
  imports = [ inputs.floe.nixosModules.agent ];
  services.floe.agent = {
    enable = true;
    host = ${nixString(made.host)};
    serverUrl = ${nixString(made.serverUrl)};
    enrolmentTokenFile = ${nixString(TOKEN_PATH)};
    trustedReleaseKeys = ${nixList(made.releaseKeys)};
    trustedServerKeys = ${nixList(made.serverKeys)};
    substituters = ${nixList([made.substituter])};
    trustedPublicKeys = ${nixList(made.cachePublicKeys)};
  };
}`;
}

/** The command by which a folder plays the machine, for a trial without root and NixOS. */
export function folderMachineCommand(made: EnrolmentTokenResponse, tokenFile: string): string {
  const settings = {
    FLOE_SERVER_URL: made.serverUrl,
    FLOE_HOST: made.host,
    FLOE_ENROLMENT_TOKEN_FILE: tokenFile,
    FLOE_TRUSTED_RELEASE_KEYS: made.releaseKeys.join(' '),
    FLOE_TRUSTED_SERVER_KEYS: made.serverKeys.join(' '),
    FLOE_SUBSTITUTERS: made.substituter,
    FLOE_TRUSTED_PUBLIC_KEYS: made.cachePublicKeys.join(' '),
  };
  const words = Object.entries(settings).map(([name, value]) => `${name}=${shellWord(value)}`);
  return [...words, `floe-agent run --root ${shellWord(`./${made.host}`)}`].join(' \\\n');
}

/** What an administrator does to bring a host in, ready to be copied. */
export function formatEnrolment(made: EnrolmentTokenResponse, tokenFile: string | undefined, { now, style }: View): string {
  const { host } = made;
  const handOver =
    tokenFile === undefined
      ? `1. As root on ${host}, type this, paste the token, and press Enter and Ctrl-D:

  install -m 600 /dev/stdin ${TOKEN_PATH}

  ${style('strong', printableLine(made.token))}`
      : `1. Bring the token to ${host}:

  scp ${shellWord(printableLine(tokenFile))} root@${host}:${TOKEN_PATH}`;
  return `${style('strong', `Enrol ${host}`)}

${handOver}

2. Put this into the configuration of ${host} (floe is the flake input of Floe), and switch to it once by hand:

${indent(printable(nixosSettings(made)))}

The token works once, and for ${duration(Math.max(0, made.expiresAt - now))} from now. ${host} will trust the keys above: check that they
are your server's.

For a trial without root and NixOS, a folder can play ${host}${tokenFile === undefined ? `, with the token in ./${host}.token` : ''}:

${indent(printable(folderMachineCommand(made, tokenFile ?? `./${host}.token`)))}`;
}
