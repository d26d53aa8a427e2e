#!/bin/sh
# run.sh TASK [ARGS]: sets up what the task needs, then runs it. Called by the npm scripts.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
task=${1:?usage: run.sh demo|test|check|bench|fuzz|explore|simulate|format|floe|dashboard|bundle|options|node-modules [ARGS]}
shift
. "$root/scripts/bootstrap.sh"
. "$root/scripts/gate.sh"

lock
use_git
use_node
use_packages
case $task in
  demo | bench) use_nix && use_sandbox optional ;;
  options | node-modules) use_nix ;;
  simulate) case "$*" in *postgres*) use_postgres ;; esac ;;
  fuzz) use_nix && use_sandbox && use_postgres && use_nginx && use_sshd && use_lab ;;
  test)
    use_nix && use_sandbox && use_postgres && use_pgbouncer && use_chromium && use_nginx && use_signing && use_sshd
    case "$*" in '' | *lab* | *thieves*) use_lab ;; esac
    ;;
esac
case $task in demo | test | fuzz | bench | bundle) use_dashboard ;; esac
unlock

cd "$root"
# Of one commit every run of the tests generates the same; `npm run fuzz` tries others.
case $task in
  test | check)
    tree=$(git rev-parse 'HEAD^{tree}' 2>/dev/null | cut -c1-7)
    FLOE_TEST_SEED=${FLOE_TEST_SEED:-$((0x${tree:-1}))}
    export FLOE_TEST_SEED
    ;;
esac
PATH=$root/node_modules/.bin:$PATH
export PATH
case $task in
  demo) exec node scripts/demo/main.ts "$@" ;;
  bench) exec node bench/main.ts "$@" ;;
  simulate) exec node scripts/simulate/main.ts "$@" ;;
  explore) exec node scripts/explore/main.ts "$@" ;;
  fuzz) exec node scripts/fuzz/main.ts "$@" ;;
  floe) exec node apps/cli/src/main.ts "$@" ;;
  format) exec oxfmt "$@" ;;
  dashboard) exec vite build apps/dashboard "$@" ;;
  bundle) exec node scripts/bundle.ts "$@" ;;
  options) exec node scripts/agent-options.ts ;;
  node-modules) exec node scripts/node-modules.ts ;;
  check)
    gate
    [ -z "$gate_failed" ] || say "check failed:$gate_failed"
    vitest run --project unit "$@" && [ -z "$gate_failed" ]
    ;;
  test)
    # With arguments (a file, -t NAME) only these tests; without, the gate and everything.
    [ $# -gt 0 ] && exec vitest run "$@"
    gate whole
    status=0
    vitest run || status=$?
    if [ -n "$gate_failed" ]; then
      say "the tests' summary is above, but the gate failed:$gate_failed (npm run check shows why)"
      status=1
    fi
    exit "$status"
    ;;
  *) fail "unknown task $task" ;;
esac
