/** The lock of NixOS's `switch-to-configuration`. */
export const SWITCH_LOCK = '/run/nixos/switch-to-configuration.lock';

/** Of a file that nobody but root could ever open. NixOS makes it 0644, and the agent's module this. */
export const CLOSED = 0o600;
/** Of one that others may have open from before, while a program of root has it, too. */
export const LEFT_OPEN = 0o700;

/**
 * `close_lock`, for scripts of a POSIX shell: from then on only root can open the lock. Who can read a file can lock it, and lock it
 * again for as long as they have it open. So one that others could open is replaced, and what they hold counts for nothing. It is not
 * replaced while a program of root has it open, since that may be a switch; with `close_lock anyway` it is. Succeeds when it is closed.
 */
export function closeLockScript(file = SWITCH_LOCK): string {
  return `lock=${file}
is_closed() { [ "$(stat --format=%a "$lock")" = ${CLOSED.toString(8)} ]; }
close_lock() {
  mkdir -p -m 755 "\${lock%/*}"
  # With -C, a file that is there stays as it is.
  (umask 077 && set -C && : >"$lock") 2>/dev/null
  ! is_closed || return 0
  chmod ${LEFT_OPEN.toString(8)} "$lock"
  fresh=$(mktemp "$lock.XXXXXX") || return
  # Under the lock no switch begins on the old file, and nobody else replaces it.
  { flock --nonblock 9 && { is_closed || mv -f "$fresh" "$lock"; }; } 9>>"$lock" ||
    { [ "$*" != anyway ] && own_program_has_it; } || is_closed || mv -f "$fresh" "$lock"
  rm -f "$fresh"
  is_closed
}
# By the real user: what a user started with the file open is not root's, also if it is setuid. Only root's are looked into, since users may
# have very many.
own_program_has_it() {
  user=$(id -u) own=
  for process in /proc/[0-9]*; do
    while read -r key real _; do
      [ "$key" = Uid: ] || continue
      [ "$real" != "$user" ] || own="$own $process/fd"
      break
    done 2>/dev/null <"$process/status"
  done
  ls -l $own 2>/dev/null | {
    while read -r line; do
      case $line in
        /proc/*) folder=\${line%:} ;;
        *" -> $lock")
          fd=\${line% -> *}
          # Of the same name in a container, it is another file.
          [ ! "$folder/\${fd##* }" -ef "$lock" ] || exit 0
          ;;
      esac
    done
    exit 1
  }
}
`;
}
