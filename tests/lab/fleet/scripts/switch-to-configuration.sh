#!/bin/sh
# Behaves as NixOS's: 1 for wrong usage, a held lock or a failed activation; 4 when units failed to start. At named
# points it waits while /var/lib/lab/pause-POINT is there: tests cut the power, or the agent, exactly there.
set -u
# NixOS's names its programs in full.
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin; export PATH
new=@out@ action=${1:-} units=/run/systemd/system
case $action in
  switch | boot | test | dry-activate) ;;
  *)
    echo "Usage: $0 [switch|boot|test|dry-activate]" >&2
    exit 1
    ;;
esac
point() {
  pause=/var/lib/lab/pause-$action-$1
  [ -e "$pause" ] || return 0
  touch "/var/lib/lab/at-$action-$1"
  while [ -e "$pause" ]; do sleep 0.02; done
}
if [ "$action" != dry-activate ] && [ -z "${LAB_LOCKED:-}" ]; then
  mkdir -p /run/nixos
  # Held by this very process, as NixOS's does.
  export LAB_LOCKED=yes
  flock --nonblock --no-fork --conflict-exit-code 75 /run/nixos/switch-to-configuration.lock "$0" "$@" && exit
  status=$?
  [ "$status" -ne 75 ] || echo "Could not acquire lock" >&2
  [ "$status" -ne 75 ] || status=1
  exit "$status"
fi
if [ -e "/var/lib/lab/refuse-$action" ]; then
  echo "this machine is out of order" >&2
  exit 1
fi
point start
old=$(readlink -f /run/current-system 2>/dev/null)
# As when systemd's own interface changed: nothing is done, and only a restart will do, there and back.
has() { [ -e "$1/etc/only-by-restart" ] && echo yes; }
if [ "$action" = test ] && [ "$(has "$new")" != "$(has "$old")" ]; then exit 100; fi
changed= gone=
for unit in "$new"/etc/systemd/system/*; do
  name=${unit##*/}
  cmp -s "$unit" "$old/etc/systemd/system/$name" || changed="$changed $name"
done
for unit in "$old"/etc/systemd/system/*; do
  name=${unit##*/}
  if [ -e "$unit" ] && [ ! -e "$new/etc/systemd/system/$name" ]; then gone="$gone $name"; fi
done
if [ "$action" = dry-activate ]; then
  [ -z "$gone" ] || echo "would stop the following units:$gone" >&2
  [ -z "$changed" ] || echo "would restart the following units:$changed" >&2
  exit 0
fi
if [ "$action" = switch ] || [ "$action" = boot ]; then
  mkdir -p /boot/loader
  if [ -e /boot/full ]; then
    echo "cannot write /boot/loader/default: No space left on device" >&2
    exit 1
  fi
  echo "init=$new/init" >/boot/loader/default.tmp && sync /boot/loader/default.tmp && mv /boot/loader/default.tmp /boot/loader/default
  mkdir -p /boot/loader/entries
  # As systemd-boot's: an entry for each generation of the profile.
  for generation in "$new" /nix/var/nix/profiles/system-*-link; do
    system=$(readlink -f "$generation") && echo "init=$system/init" >"/boot/loader/entries/${system##*/}.conf"
  done
  point written
  [ "$action" = switch ] || exit 0
fi
for unit in $gone; do
  echo "stopping $unit" >&2
  systemctl stop "$unit"
  rm -f "$units/$unit"
done
point stopped
echo "activating the configuration..." >&2
"$new/activate" || exit 1
point activated
for unit in $changed; do ln -sfn "/etc/static/systemd/system/$unit" "$units/$unit"; done
systemctl daemon-reload
status=0
for unit in $changed; do
  grep -q '^WantedBy=.*multi-user.target' "$new/etc/systemd/system/$unit" || continue
  ! grep -q '^X-RestartIfChanged=false' "$new/etc/systemd/system/$unit" || continue
  echo "restarting $unit" >&2
  systemctl restart "$unit" </dev/null || {
    echo "warning: the following units failed: $unit" >&2
    status=4
  }
done
point end
exit $status
