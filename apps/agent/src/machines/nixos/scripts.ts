import type { ActivationPlan } from '../machine.ts';
import { closeLockScript, SWITCH_LOCK } from './close-lock.ts';

export const SYSTEM_PROFILE = '/nix/var/nix/profiles/system';
export const WATCHDOG_SCRIPT = 'watchdog.sh';
export const TRIAL_SCRIPT = 'trial.sh';
export const HOLD_SCRIPT = 'hold.sh';
export const AFTER_SWITCH_SCRIPT = 'after-switch.sh';
export const GUARD_SCRIPT = 'guard.sh';
export const WATCHDOG_RESULT = 'watchdog.result';
export const FELL_BACK = 'fell-back';
/** How often the staged system was started. */
export const TRIES = 'tries';
/** How often the boot guard went back. */
export const UNDONE = 'undone';
/** Exists when a one-time boot entry may be set. */
export const ONE_SHOT = 'one-shot';
export const BOOT_ID = 'boot-id';
export const RAN_BEFORE = 'ran-before';
/** The agent's name in the list of what blocks a shutdown. */
export const INHIBITOR_NAME = 'floe-agent';
export const REBOOTED_BACK = 'rebooted-back';
/** The boot guard's unit in a system (nix/modules/agent/boot-guard.nix). */
export const GUARD_UNIT_FILE = 'etc/systemd/system/floe-boot-guard.service';

/**
 * Restarts the machine, also where a program blocks that (`systemd-inhibit`): a restart that may wait for those has waited before, and a way
 * back waits for nobody. Since systemd 257 logind refuses root, too, unless polkit is there to allow it; systemd itself never does.
 */
export const REBOOT = 'systemctl --no-block --check-inhibitors=no reboot || systemctl --no-block --job-mode=replace-irreversibly start reboot.target';

export const watchdogUnit = (activation: number | '*'): string => `floe-watchdog-${activation}`;
/** Started when the switch ends: the first watchdog's time includes the limit of the switch, and would end too late for the verdict. */
export const postSwitchWatchdogUnit = (activation: number | '*'): string => `floe-verdict-${activation}`;
/** Ends a trial. */
export const trialUnit = (activation: number | '*'): string => `floe-trial-${activation}`;
/** Keeps the machine from shutting down and sleeping in the middle of a change. */
export const holdUnit = (activation: number | '*'): string => `floe-hold-${activation}`;
export const switchUnits = (activation: number): string => `floe-switch-${activation}-*`;

/**
 * The limit of a rollback, in s: enough to wait for another switch and for two tries. It is ended then, so that what waits for it,
 * e.g. the agent, does not hang with it.
 */
export function rollbackLimitSeconds({ switchMs }: Pick<ActivationPlan, 'switchMs'>): number {
  return Math.ceil((4 * switchMs) / 1000) + 60;
}

/** Ends a command after the limit of a switch. */
function timeoutOf({ switchMs }: ActivationPlan): string {
  return `timeout --kill-after=10 ${Math.ceil(switchMs / 1000)}`;
}

/** The beginning of every script. PATH has the old system's programs first, since the new one's may not work. */
function preamble(plan: ActivationPlan, dir: string): string {
  const { activation, toplevel, before, beforeProfile } = plan;
  const timeout = timeoutOf(plan);
  return `#!/bin/sh
# Written by floe-agent for activation ${activation}. It works without an agent.
set -u
dir=${dir}
target=${toplevel}
before=${before}
before_profile=${beforeProfile}
PATH=$before/sw/bin:$target/sw/bin:/run/current-system/sw/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export PATH

# The first verdict on disk counts: a link to an existing name fails.
claim_undo() {
  echo undo >"$dir/verdict.script" && sync "$dir/verdict.script"
  ln "$dir/verdict.script" "$dir/verdict" 2>/dev/null
  sync "$dir"
}
${closeLockScript()}has_passed() { [ "$(cat "$dir/verdict" 2>/dev/null)" = passed ]; }
finish_commit() {
  close_lock
  nix-env --profile ${SYSTEM_PROFILE} --set "$target" && ${timeout} "$target/bin/switch-to-configuration" boot
}
# Whether $1 or a specialisation of it runs.
runs() {
  current=$(readlink -f /run/current-system)
  for system in "$1" "$1"/specialisation/*; do
    [ "$(readlink -f "$system")" != "$current" ] || return 0
  done
  return 1
}
# What ran before: the old system, or a specialisation of it.
as_it_ran() {
  ran=$(cat "$dir/${RAN_BEFORE}" 2>/dev/null)
  for system in "$before"/specialisation/*; do
    if [ -n "$ran" ] && [ "$(readlink -f "$system")" = "$ran" ]; then echo "$ran" && return; fi
  done
  echo "$before"
}
# Waits for other switches up to the limit of a switch; then ends them as stuck.
others_ended() {
  for _ in $(seq ${Math.ceil(plan.switchMs / 1000)}); do
    close_lock
    flock --timeout 1 ${SWITCH_LOCK} true && return
  done
  lslocks --noheadings --notruncate --output PID,PATH | while read -r pid path; do
    [ "$path" != ${SWITCH_LOCK} ] || { echo "ending process $pid, which holds ${SWITCH_LOCK}" >&2; kill -KILL "$pid"; }
  done
  close_lock anyway
  flock --timeout 10 ${SWITCH_LOCK} true
}
# The rollback may hang at a unit that does not stop, as the switch did.
go_back() {
  way_back=$(as_it_ran)
  others_ended
  ${timeout} "$way_back/bin/switch-to-configuration" test && return
  systemctl list-jobs --plain --no-legend | while read -r _ unit kind state; do
    case $kind-$state in stop-running | restart-running) systemctl kill --signal=SIGKILL "$unit" ;; esac
  done
  ${timeout} "$way_back/bin/switch-to-configuration" test
}
# Without an agent that could try again, restart the machine: it boots the old system.
reboot_if_left_on_target() {
  if [ "$1" -ne 0 ] && runs "$target" && ! systemctl --quiet is-active floe-agent.service && [ "$(readlink -f ${SYSTEM_PROFILE})" != "$target" ]; then
    echo "the rollback failed, and no agent runs: restarting the machine" >&2
    ${REBOOT}
    exit
  fi
}
done_with() {
  echo "$1 $2" >"$dir/${WATCHDOG_RESULT}.tmp" && sync "$dir/${WATCHDOG_RESULT}.tmp"
  mv "$dir/${WATCHDOG_RESULT}.tmp" "$dir/${WATCHDOG_RESULT}"
}
`;
}

/**
 * Run at the deadline by a systemd timer: commits a system with a passed verdict, and rolls back any other. One that is only tried it
 * leaves to {@link trialScript}.
 */
export function watchdogScript(plan: ActivationPlan, dir: string): string {
  return `${preamble(plan, dir)}
claim_undo
if has_passed; then
  ${plan.isTrial ? 'exit' : 'finish_commit\n  done_with committed $?'}
elif ! runs "$target" && ! runs "$before"; then
  echo "somebody switched to a third system by hand: leaving it in place" >&2
  done_with left 0
else
  echo "no verdict about $target: rolling back to $before" >&2
  systemctl kill --signal=SIGKILL '${switchUnits(plan.activation)}' 2>/dev/null
  systemctl stop '${switchUnits(plan.activation)}' 2>/dev/null
  go_back
  status=$?
  done_with undone "$status"
  reboot_if_left_on_target "$status"
fi
# In any case, the agent of the running system checks the result.
systemctl --no-block restart floe-agent.service
`;
}

/** Run by a systemd timer after the end of a trial that the agent should have ended: goes back, whatever the verdict was. */
export function trialScript(plan: ActivationPlan, dir: string): string {
  return `${preamble(plan, dir)}
if runs "$target"; then
  echo "the trial of $target is over: going back to $before" >&2
  go_back
  reboot_if_left_on_target $?
fi
systemctl --no-block restart floe-agent.service
`;
}

/** Run from the beginning of a change to its verdict, for so long at most. Without logind it does nothing. */
export function holdScript(plan: ActivationPlan, dir: string): string {
  const seconds = Math.ceil((plan.switchMs + plan.verdictMs) / 1000);
  return `${preamble(plan, dir)}
systemd-inhibit --what=shutdown:sleep:handle-lid-switch --mode=block --who=${INHIBITOR_NAME} --why="This computer is being updated" sleep ${seconds} ||
  echo "nothing keeps the machine from shutting down in the middle of the change" >&2
`;
}

/** Run when the switch has ended in any way: starts the time for the agent's verdict. */
export function afterSwitchScript(plan: ActivationPlan, dir: string): string {
  return `${preamble(plan, dir)}
systemd-run --quiet --collect --unit=${postSwitchWatchdogUnit(plan.activation)} --on-active=${Math.ceil(plan.verdictMs / 1000)} \\
  --timer-property=AccuracySec=1s --property=Type=oneshot --property=TimeoutStartSec=${rollbackLimitSeconds(plan)} /bin/sh "$dir/${WATCHDOG_SCRIPT}"
`;
}

/**
 * Run early at every start of the machine while a system is staged, by a unit that both systems have. It gives the new system
 * `bootMs` for a passed verdict. Without one, or after two failed starts, it goes back to the old system.
 */
export function guardScript(plan: ActivationPlan, dir: string): string {
  const timeout = timeoutOf(plan);
  return `${preamble(plan, dir)}
undo() {
  claim_undo
  if has_passed; then
    finish_commit
    exit
  fi
  echo "no passed verdict about $target: going back to $before_profile" >&2
  # "echo", as ":" with a failing redirection would end this script.
  echo >"$dir/${FELL_BACK}" && sync "$dir/${FELL_BACK}" "$dir"
  undone=$(counted ${UNDONE})
  count ${UNDONE}
  others_ended
  # A full disk may prevent setting the profile; the boot loader decides what starts.
  nix-env --profile ${SYSTEM_PROFILE} --set "$before_profile"
  if ${timeout} "$before_profile/bin/switch-to-configuration" boot && [ "$undone" -lt 1 ]; then
    ${REBOOT}
  else
    # Another restart would bring the same system again: switch to the old one on this kernel.
    go_back
  fi
}
counted() { cat "$dir/$1" 2>/dev/null || echo 0; }
count() {
  echo $(($(counted "$1") + 1)) >"$dir/$1.tmp" && sync "$dir/$1.tmp"
  mv "$dir/$1.tmp" "$dir/$1"
  sync "$dir"
}
[ "\${1:-}" != undo ] || { undo; exit; }
! has_passed || exit 0
# A switch by hand starts this unit, too: that is no start of the machine.
[ "$(cat "$dir/${BOOT_ID}")" != "$(cat /proc/sys/kernel/random/boot_id && cut -d ' ' -f 22 /proc/1/stat)" ] || exit 0
# Another system was chosen, or the one-time entry was used up: the agent stages the system again, a few times.
runs "$target" || exit 0
undo_in() {
  systemd-run --quiet --collect --unit=${watchdogUnit(plan.activation)} --on-active="$1" \\
    --property=DefaultDependencies=no --property=RuntimeMaxSec=${rollbackLimitSeconds(plan)} --timer-property=DefaultDependencies=no --timer-property=AccuracySec=1s \\
    /bin/sh "$dir/${GUARD_SCRIPT}" undo
}
# This early, a switch may lack what it needs: try again later.
[ "$(counted ${TRIES})" -lt 2 ] || { undo || undo_in 60; exit; }
count ${TRIES}
undo_in ${Math.ceil(plan.bootMs / 1000)}
`;
}
