#!/bin/sh
# As NixOS's: points the running system at this one. `activate boot` is what stage 2 does.
set -eu
# NixOS's name their programs in full.
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin; export PATH
mkdir -p /run/systemd/system
ln -sfn @out@ /run/current-system.new && mv -T /run/current-system.new /run/current-system
ln -sfn @out@/etc /etc/static
ln -sfn /etc/static/floe /etc/floe
if [ "${1:-}" = boot ]; then
  ln -sfn @out@ /run/booted-system
  for unit in @out@/etc/systemd/system/*; do ln -sfn "/etc/static/systemd/system/${unit##*/}" "/run/systemd/system/${unit##*/}"; done
  systemctl daemon-reload
  # Not waited for: this runs while the machine starts.
  wanted=
  for unit in @out@/etc/systemd/system/*; do
    if grep -q '^WantedBy=.*multi-user.target' "$unit"; then wanted="$wanted ${unit##*/}"; fi
  done
  # All at once, in their own order.
  systemctl start --no-block $wanted
fi
