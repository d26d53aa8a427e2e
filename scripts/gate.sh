# Sourced by run.sh. gate: the checks that need no test run, all of them even when one fails; sets gate_failed.

gate() {
  gate_failed=
  gate_step format oxfmt --check .
  gate_step lint oxlint --type-aware --deny-warnings
  gate_step types tsc -p . --incremental --tsBuildInfoFile .tools/types.tsbuildinfo
  if [ -f apps/dashboard/tsconfig.json ]; then gate_step dashboard-types tsc -p apps/dashboard --incremental --tsBuildInfoFile .tools/dashboard-types.tsbuildinfo; fi
  gate_step unused knip --no-progress
  gate_step unused-methods node scripts/gate-methods.ts
}

# gate_step NAME COMMAND...: its output only when it fails.
gate_step() {
  name=$1
  shift
  "$@" >"$root/.tools/gate.log" 2>&1 </dev/null && return
  cat "$root/.tools/gate.log" >&2
  say "$name failed: $*"
  gate_failed="$gate_failed $name"
}
