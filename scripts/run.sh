#!/bin/sh
# run.sh TASK [ARGS]: sets up what the task needs, then runs it. Called by the npm scripts.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
task=${1:?usage: run.sh demo|test|check|bench|format [ARGS]}
shift
mkdir -p "$root/.tools"
. "$root/scripts/bootstrap.sh"
use_node
use_packages
cd "$root"
PATH=$root/node_modules/.bin:$PATH
case $task in
  demo) use_nix; exec node scripts/demo/main.ts "$@" ;;
  test) use_nix; use_postgres; exec vitest run "$@" ;;
  check) tsc -p . && exec vitest run --project unit "$@" ;;
  bench) use_nix; exec node bench/main.ts "$@" ;;
  format) exec oxfmt "$@" ;;
  *) fail "unknown task $task" ;;
esac
