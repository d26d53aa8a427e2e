/** What `floe-server --help` prints. Docs: docs/configuration.md. */
export const USAGE = `floe-server: follows a fleet's repository, and brings its machines to what is committed there

Usage: floe-server

Settings (environment; files hold one secret each)
  FLOE_REPOSITORY_URL              https:// URL of the fleet repository (required)
  FLOE_REPOSITORY_BRANCH           default: the one that the repository's HEAD names at the first fetch
  FLOE_REPOSITORY_DIRECTORY        the folder of it that has the flake.nix; default: its root
  FLOE_REPOSITORY_TOKEN_FILE       token that may read the repository
  FLOE_REPOSITORY_MAX_MIB          of one download; default: 512
  FLOE_REPOSITORY_MAX_FILE_MIB     of one file in its history; default: 100
  FLOE_REPOSITORY_SILENCE_SECONDS  how long its server may send nothing; default: 120
  FLOE_REPOSITORY_TESTING_BRANCHES how many branches testing/HOST are followed, 100 at most; default: 0, none
  FLOE_EVALUATE_SOURCE             commit (default), or tree: the files alone, so that self has no commit (docs/configuration.md)
  FLOE_EVALUATE_IGNORE             with tree: files that are not evaluated, such as docs/**,.github/**,**/*.md; default: none
  FLOE_FORGE                       where the repository is: github (default), gitlab or forgejo (Gitea, too)
  FLOE_WEBHOOK_SECRET_FILE         secret of the forge's webhook; FLOE_WEBHOOK_PREVIOUS_SECRET_FILE while it is changed
  FLOE_GITHUB_REPOSITORY           owner/name, to show the rollout on the commit; with FLOE_GITHUB_TOKEN_FILE, or
                                   FLOE_GITHUB_APP_ID, FLOE_GITHUB_APP_KEY_FILE and FLOE_GITHUB_INSTALLATION_ID
  FLOE_GITHUB_API_URL              default: https://api.github.com
  FLOE_NOTIFY_FILE                 JSON: who is told when a rollout pauses or ends, a commit or host fails (docs/notifications.md)
  FLOE_PROBES_FILE                 JSON: what is asked outside while a ring changes and soaks (docs/probes.md)
  FLOE_INPUTS_FILE                 JSON: tokens and SSH keys for private inputs of the flake, by git host (docs/configuration.md)
  FLOE_LISTEN                      default: 127.0.0.1:8420
  FLOE_PUBLIC_URL                  where agents and people reach this server; default: http:// and FLOE_LISTEN
  FLOE_DATA_DIR                    default: /var/lib/floe
  DATABASE_URL                     postgres:// URL, or FLOE_DATABASE_URL_FILE; default: embedded, in the data folder
  FLOE_TAKE_OVER_FROM              release key of another server whose database this one is to take over with its own keys
  FLOE_BUILDER_KEYS_FILE           public-keys.json of a floe-builder beside this server, which then holds no release key and no
                                   credentials of the repository; default: the builder is inside the server
  FLOE_CACHE_URL                   Nix cache that agents download from; default: the server's own, FLOE_PUBLIC_URL/cache
  FLOE_CACHE_DIR                   folder of the cache that is served; default: cache in the data folder
  FLOE_CACHE_KEEP_DAYS             what nobody has needed for so long leaves the server's own cache; default: nothing does
  FLOE_CACHE_MAX_GIB               above that the oldest that nobody needs leaves the cache; default: nothing does
  FLOE_POLICY_FLOOR                what every rollout policy must have at least, as JSON; default: nothing
  FLOE_SSH_SIGNERS_FILE            who may sign commits, as in an allowed_signers file; default: nobody has to
  FLOE_OPENPGP_SIGNERS_FILE        the same with OpenPGP: public keys, as gpg --armor --export writes them
  FLOE_POLL_SECONDS                how often to look without a webhook; default: 180
  FLOE_EVALUATION_TIMEOUT_SECONDS  of one host; default: 600
  FLOE_EVALUATION_MEMORY_MIB       of one host; default: 8192
  FLOE_BUILD_TIMEOUT_SECONDS       of one host; default: 7200
  FLOE_BUILD_MEMORY_MIB            of one host, without Nix's daemon; default: 80 % of the machine's
  FLOE_UNSAFE_RUN_REPOSITORY_CODE_WITH_ACCESS_TO_KEYS
                                   yes: do without the sandbox; whoever may push can then read every key of the server
  FLOE_UNSAFE_LET_BUILDS_CHANGE_THE_STORE
                                   yes: do without Nix's daemon; what a commit builds can then change what later ones contain
  FLOE_LOG_LEVEL                   debug, info (default), warn or error

Exit status: 0 stopped as asked, 1 a failure, 2 wrong usage or settings.
`;
