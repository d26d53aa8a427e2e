interface Hosts {
  /** Where its flake has the hosts. Default: `nixosConfigurations`. */
  readonly attribute?: string | undefined;
}

/** What of a commit is evaluated, by the server's settings. */
export type EvaluateSource = Hosts &
  /** All of it, with its id and date. */
  (
    | { readonly kind: 'commit' }
    /** Its files without those that a pattern ignores, by their hash: the same files are the same, whatever the commit. */
    | { readonly kind: 'tree'; readonly ignored: readonly string[] }
  );
