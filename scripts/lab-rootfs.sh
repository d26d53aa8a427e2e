#!/bin/sh
# lab-rootfs.sh SUITE...: root file systems that the lab's guests share, in .tools/lab/SUITE. Needs root and mmdebstrap.
# bookworm has Nix 2.8, trixie Nix 2.26; the guests' programs are Debian's, their systems are the tests' own.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
suite=${1:?usage: lab-rootfs.sh bookworm|trixie ...}
if [ $# -gt 1 ]; then
  # At the same time: they wait for the network and the disk in turns.
  running=
  for suite in "$@"; do
    sh "$0" "$suite" &
    running="$running $!"
  done
  status=0
  for pid in $running; do wait "$pid" || status=1; done
  exit "$status"
fi
target=$root/.tools/lab/$suite
want=$(cksum <"$0")
[ "$(cat "$target/.floe-stamp" 2>/dev/null)" != "$want" ] || exit 0
rm -rf "$target" "$target.new"
mkdir -p "$root/.tools/lab"
mmdebstrap --quiet --variant=minbase \
  --include=systemd,systemd-sysv,dbus,iproute2,nix-bin,ca-certificates,procps,libfaketime \
  --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
  "$suite" "$target.new"
cd "$target.new"
mkdir -p etc/nix var/lib/lab
printf '%s\n' 'build-users-group =' 'sandbox = false' 'experimental-features = nix-command flakes' 'substituters =' >etc/nix/nix.conf
# What the boot loader and stage 2 do on NixOS: start the system that is the default.
cat >etc/systemd/system/lab-boot.service <<'UNIT'
[Unit]
ConditionPathExists=/boot/loader/default
After=systemd-tmpfiles-setup.service
[Service]
Type=oneshot
Environment=PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
ExecStart=/bin/sh -euc '[ ! -e /boot/loader/once ] || mv /boot/loader/once /run/lab-once; system=$(sed -n "s|^init=\\(.*\\)/init$|\\1|p" "$([ -e /run/lab-once ] && echo /run/lab-once || echo /boot/loader/default)"); exec "$system/activate" boot'
[Install]
WantedBy=multi-user.target
UNIT
mkdir -p etc/systemd/system/multi-user.target.wants
ln -sf ../lab-boot.service etc/systemd/system/multi-user.target.wants/
ln -sf /lib/systemd/system/systemd-networkd.service etc/systemd/system/multi-user.target.wants/
rm -f etc/machine-id
: >etc/machine-id
rm -rf var/cache/apt var/lib/apt/lists
echo "$want" >.floe-stamp
mv "$target.new" "$target"
