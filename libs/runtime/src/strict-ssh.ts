/** The key that ssh may use, and the keys of the hosts that it may speak to. */
export interface SshFiles {
  /** A private key without a passphrase. */
  readonly keyFile: string;
  /** A file of known_hosts. */
  readonly knownHostsFile: string;
}

/**
 * The arguments with which ssh uses this key alone, speaks to these hosts alone, learns none, asks nobody, and reads no configuration of a
 * user or the machine.
 */
export function strictSsh({ keyFile, knownHostsFile }: SshFiles): readonly string[] {
  const options = [
    'BatchMode=yes',
    'IdentitiesOnly=yes',
    'IdentityAgent=none',
    'StrictHostKeyChecking=yes',
    'UpdateHostKeys=no',
    'GlobalKnownHostsFile=/dev/null',
    `UserKnownHostsFile="${escaped(knownHostsFile)}"`,
    `IdentityFile="${escaped(keyFile)}"`,
    'ConnectTimeout=15',
    'ServerAliveInterval=15',
  ];
  return ['-F', 'none', ...options.flatMap((option) => ['-o', option])];
}

/** ssh reads % as the start of a name of its own, and " as the end of the path. */
function escaped(path: string): string {
  return path.replaceAll('%', '%%').replaceAll('"', String.raw`\"`);
}
