import { parseSshAddress } from '@floe/model';
import { createGitHttp } from './git-http.ts';
import { createGitSsh } from './git-ssh.ts';
import type { GitTransport, TransportOptions } from './git-transport.ts';

/** The way to the repository's server by its address. It asks nothing yet. */
export function openTransport(options: TransportOptions): GitTransport {
  const { url, ssh } = options;
  const address = parseSshAddress(url);
  return address === undefined || ssh === undefined ? createGitHttp(options) : createGitSsh({ ...options, ssh, address });
}
