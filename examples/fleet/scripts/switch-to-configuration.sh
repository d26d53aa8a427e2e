#!/bin/sh
# The interface of NixOS's script, for a machine that may be a folder: NIXOS_ROOT is where its files are ("" is the
# machine itself).
set -eu
root=${NIXOS_ROOT:-}
system=@out@

activate() {
  mkdir -p "$root/run" "$root/etc"
  ln -sfn "$system" "$root/run/current-system.new"
  mv -T "$root/run/current-system.new" "$root/run/current-system"
  ln -sfn "$system/etc" "$root/etc/static"
  echo "activated $system" >&2
}
make_default() {
  mkdir -p "$root/boot/loader"
  echo "init=$system/init" >"$root/boot/loader/default.new"
  mv "$root/boot/loader/default.new" "$root/boot/loader/default"
}

case ${1:-} in
  switch) activate && make_default ;;
  test) activate ;;
  boot) make_default ;;
  dry-activate) echo "would activate $system" >&2 ;;
  *)
    echo "usage: $0 switch|boot|test|dry-activate" >&2
    exit 1
    ;;
esac
