import { buildingSettings, repositorySettings } from '@floe/pipeline';

/** What `floe-builder --help` prints. Docs: docs/configuration.md. */
export const USAGE = `floe-builder: evaluates, builds and signs what is committed to a fleet's repository, beside a floe-server without the release key

Usage: floe-builder         works until it is stopped
       floe-builder keys    prints the public keys for the server's FLOE_BUILDER_KEYS_FILE; makes the keys when there are none

It listens on no port. It takes its work from the database of the server, and writes what it did there.

Settings (environment; files hold one secret each; FLOE_REPOSITORY_URL, _BRANCH, _TESTING_BRANCHES and FLOE_FORGE as the server has
them, tokens only here)
  DATABASE_URL                     postgres:// URL of the server's database (required), or FLOE_DATABASE_URL_FILE
  FLOE_PUBLIC_URL                  where agents and people reach the server (required)
  FLOE_DATA_DIR                    keys, clone, statements; default: /var/lib/floe-builder
  FLOE_RELEASE_KEY_FILE            key that signs releases, PEM; default: keys/release.pem in the data folder, which is made when it is missing
  FLOE_CACHE_KEY_FILE              key that signs what is published, as nix key generate-secret writes it; default: keys/cache.secret there, likewise
  FLOE_CACHE_DIR                   where closures are published to; default: cache in the data folder
  FLOE_CACHE_URL                   where agents download from; required with FLOE_PUBLISH_TO and FLOE_PUBLISH_COMMAND
  FLOE_CACHE_KEEP_DAYS             what nobody has needed for so long leaves the cache; default: nothing does
  FLOE_CACHE_MAX_GIB               above that the oldest that nobody needs leaves the cache; default: nothing does
${repositorySettings('the branch that is followed (required)')}
  FLOE_TRUST_SERVER_WITH_SUBMISSIONS
                                   yes: sign what the server says a CI or an administrator submitted, without an evaluation; default: no
${buildingSettings('builder')}`;
