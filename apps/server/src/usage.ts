import { buildingSettings, repositorySettings } from '@floe/pipeline';

/** What `floe-server --help` prints. Docs: docs/configuration.md. */
export const USAGE = `floe-server: follows a fleet's repository, and brings its machines to what is committed there

Usage: floe-server

Settings (environment; files hold one secret each)
${repositorySettings("default: the one that the repository's HEAD names at the first fetch")}
  FLOE_WEBHOOK_SECRET_FILE         secret of the forge's webhook; FLOE_WEBHOOK_PREVIOUS_SECRET_FILE while it is changed
  FLOE_GITHUB_REPOSITORY           owner/name, to show the rollout on the commit; with FLOE_GITHUB_TOKEN_FILE, or
                                   FLOE_GITHUB_APP_ID, FLOE_GITHUB_APP_KEY_FILE and FLOE_GITHUB_INSTALLATION_ID
  FLOE_GITHUB_API_URL              default: https://api.github.com
  FLOE_NOTIFY_FILE                 JSON: who is told when a rollout pauses or ends, a commit or host fails (docs/notifications.md)
  FLOE_PROBES_FILE                 JSON: what is asked outside while a ring changes and soaks (docs/probes.md)
  FLOE_LISTEN                      default: 127.0.0.1:8420
  FLOE_TRUSTED_PROXIES             proxies whose X-Forwarded-For is believed, e.g. 127.0.0.1,10.1.0.0/24; default: none
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
  FLOE_HISTORY_DAYS                how long past commits, reports and the like are kept; default: 90
${buildingSettings('server')}`;
