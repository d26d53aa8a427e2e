/** What of a commit is evaluated, by the server's settings. */
export interface EvaluateSource {
  /**
   * `commit`: all of it, with its id and date. `tree`: its files without those that a pattern ignores, by their hash: the same files are the same,
   * whatever the commit.
   */
  readonly kind: 'commit' | 'tree';
  /** Patterns of files that no system needs. A commit that changes nothing else is not evaluated. */
  readonly ignored: readonly string[];
  /** Where its flake has the hosts. Default: `nixosConfigurations`. */
  readonly attribute?: string | undefined;
  /** The file that gives the hosts, where the repository is no flake. Default: it is one. */
  readonly hostsFile?: string | undefined;
}
