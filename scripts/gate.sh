# Sourced by run.sh. gate: the checks that need no test run, all of them even when one fails; sets gate_failed.

# gate [whole]: what is kept of earlier checks of types is used, and with `whole` it is not.
gate() {
  gate_failed=
  [ "${1-}" != whole ] || rm -f "$root"/.tools/*types.tsbuildinfo
  gate_step format oxfmt --check .
  gate_step lint oxlint --type-aware --deny-warnings
  gate_types types .
  if [ -f apps/dashboard/tsconfig.json ]; then gate_types dashboard-types apps/dashboard; fi
  gate_step unused knip --no-progress
  gate_step unused-methods node scripts/gate-methods.ts
}

# gate_types NAME PROJECT: checks what a change can affect. tsc 7.0 does not see that the type of a global changed, as those of packages may:
# after an installation all is checked. So is all after an error, which is then not taken from a file that may be damaged.
gate_types() {
  info=.tools/$1.tsbuildinfo
  [ ! "$root/node_modules/.package-lock.json" -nt "$root/$info" ] || rm -f "$root/$info"
  gate_step "$1" tsc -p "$2" --incremental --tsBuildInfoFile "$info"
  case " $gate_failed " in *" $1 "*) rm -f "$root/$info" ;; esac
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
