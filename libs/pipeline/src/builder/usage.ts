/** Lines of `--help`: the settings of the fleet's repository, and of what is evaluated of it. A server and its builder have the same, but for the branch. */
export function repositorySettings(branch: string): string {
  return `\
  FLOE_REPOSITORY_URL              https:// URL of the fleet repository (required), or an SSH address
  FLOE_REPOSITORY_BRANCH           ${branch}
  FLOE_REPOSITORY_DIRECTORY        the folder of it that has the flake.nix; default: its root
  FLOE_REPOSITORY_TOKEN_FILE       token that may read the repository
  FLOE_REPOSITORY_SSH_KEY_FILE     private key for an SSH address (needs ssh)
  FLOE_REPOSITORY_KNOWN_HOSTS_FILE known_hosts for it
  FLOE_REPOSITORY_MAX_MIB          of one download; default: 512
  FLOE_REPOSITORY_MAX_FILE_MIB     of one file in its history; default: 100
  FLOE_REPOSITORY_SILENCE_SECONDS  how long its server may send nothing; default: 120
  FLOE_REPOSITORY_SUBMODULES       yes: commits have the files of their submodules; default: no
  FLOE_REPOSITORY_TESTING_BRANCHES how many branches testing/HOST are followed, 100 at most; default: 0, none
  FLOE_EVALUATE_HOSTS_FILE         the Nix file that gives the hosts of a repository that is no flake (docs/configuration.md)
  FLOE_EVALUATE_SOURCE             commit (default), or tree: the files alone, so that self has no commit (docs/configuration.md)
  FLOE_EVALUATE_IGNORE             files that no system needs, such as docs/**,.github/**,**/*.md; default: none
  FLOE_EVALUATE_SKIP               footprint: hosts are not evaluated where a commit changes nothing that they looked at (needs strace); default: nothing
  FLOE_EVALUATE_ATTRIBUTE          where the flake has its hosts, such as colmenaHive.nodes; default: nixosConfigurations
  FLOE_INPUTS_FILE                 JSON: tokens and SSH keys for private inputs of the flake, by git host (docs/configuration.md)
  FLOE_FORGE                       where the repository is: github (default), gitlab or forgejo (Gitea, too)`;
}

/** Lines of `--help`: what a commit has to keep, and the limits of evaluating and building it. */
export function buildingSettings(keysOf: 'server' | 'builder'): string {
  return `\
  FLOE_POLICY_FLOOR                what every rollout policy must have at least, as JSON; default: nothing
  FLOE_SSH_SIGNERS_FILE            who may sign commits, as in an allowed_signers file; default: nobody has to
  FLOE_OPENPGP_SIGNERS_FILE        the same with OpenPGP: public keys, as gpg --armor --export writes them
  FLOE_OPERATOR_KEYS_FILE          whose SSH signature takes hosts back to what is not stable; default: nobody has to sign that
  FLOE_SIGN_COMMAND                signs releases in the place of the key file: a path, or a list with arguments as JSON (docs/operate.md)
  FLOE_SIGN_PUBLIC_KEY             of the key that it signs with: base64
  FLOE_PUBLISH_TO                  s3://, https:// (PUT) or ssh:// cache that closures go to from the folder; hosts download from FLOE_CACHE_URL
  FLOE_PUBLISH_COMMAND             publishes in the place of the folder: gets store paths on stdin (docs/operate.md)
  FLOE_PUBLISH_CREDENTIALS_FILE    login for that: as ~/.aws/credentials, netrc, an SSH key, or lines NAME=VALUE for the command
  FLOE_PUBLISH_KNOWN_HOSTS_FILE    known_hosts for ssh://
  FLOE_PUBLISH_TIMEOUT_SECONDS     of one run of the command, or of ssh; default: 3600
  FLOE_CACHE_PUBLIC_KEYS           keys that sign there besides the cache's own, as name:base64; default: none
  FLOE_CACHE_UPSTREAM_URLS         caches that may have what the cache lacks; default: none
  FLOE_POLL_SECONDS                how often to look without a webhook; default: 180
  FLOE_EVALUATION_TIMEOUT_SECONDS  of one host; default: 600
  FLOE_EVALUATION_MEMORY_MIB       of one host; default: 8192
  FLOE_BUILD_TIMEOUT_SECONDS       of one host, or check; default: 7200
  FLOE_BUILD_MEMORY_MIB            of one host, without Nix's daemon; default: 80 % of the machine's
  FLOE_UNSAFE_RUN_REPOSITORY_CODE_WITH_ACCESS_TO_KEYS
                                   yes: do without the sandbox; whoever may push can then read every key of the ${keysOf}
  FLOE_UNSAFE_LET_BUILDS_CHANGE_THE_STORE
                                   yes: do without Nix's daemon; what a commit builds can then change what later ones contain
  FLOE_LOG_LEVEL                   debug, info (default), warn or error

Exit status: 0 stopped as asked, 1 a failure, 2 wrong usage or settings.
`;
}
