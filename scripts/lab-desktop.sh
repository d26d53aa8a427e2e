#!/bin/sh
# lab-desktop.sh: the root file system of guests with a desktop, in .tools/lab/desktop: that of trixie, with logind's sessions, polkit, NetworkManager,
# an X server and a notification daemon. Needs root, .tools/lab/trixie (lab-rootfs.sh) and Debian's packages.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
base=$root/.tools/lab/trixie
target=$root/.tools/lab/desktop
want="$(cksum <"$0") on $(cat "$base/.floe-stamp")"
[ "$(cat "$target/.floe-stamp" 2>/dev/null)" != "$want" ] || exit 0
rm -rf "$target" "$target.new"
cp -a "$base" "$target.new"
cd "$target.new"
rm .floe-stamp
rm -f etc/resolv.conf
cp /etc/resolv.conf etc/resolv.conf
chroot . sh -euc '
  export DEBIAN_FRONTEND=noninteractive
  apt-get -qq update
  apt-get -qq install --no-install-recommends \
    libpam-systemd dbus-user-session polkitd network-manager xvfb dunst libnotify-bin xdotool maim fonts-dejavu-core
  apt-get -qq clean
' >/dev/null 2>"$target.log" || {
  tail -5 "$target.log" >&2
  exit 1
}
rm -f etc/resolv.conf "$target.log"
rm -rf var/lib/apt/lists
# A login manager's, without a password.
printf '%s\n' 'auth required pam_permit.so' 'account required pam_permit.so' 'session required pam_systemd.so' >etc/pam.d/lab-desktop
chroot . useradd --create-home --uid 1000 ada
# NetworkManager leaves the cable to systemd-networkd.
printf '%s\n' '[keyfile]' 'unmanaged-devices=interface-name:host0' >etc/NetworkManager/conf.d/lab.conf
: >etc/machine-id
echo "$want" >.floe-stamp
cd /
mv "$target.new" "$target"
