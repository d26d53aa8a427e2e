set -eu
mkdir -p "$out/bin" "$out/etc" "$out/sw/bin" "$out/specialisation"
echo lab >"$out/nixos-version"
echo "kernel $kernel" >"$out/kernel"
echo "initrd $kernel" >"$out/initrd"
echo "loglevel=4" >"$out/kernel-params"
printf '%s\n' "$etcFiles" | while read -r name file; do
  mkdir -p "$out/etc/$(dirname "$name")"
  ln -s "$file" "$out/etc/$name"
done
printf '%s\n' "$specialisations" | while read -r name system; do
  [ -z "$name" ] || ln -s "$system" "$out/specialisation/$name"
done
# The same bytes every time, and hardly compressible.
[ "$ballast" = 0 ] || seq 1 "$ballast" | sha512sum >/dev/null
[ "$ballast" = 0 ] || awk -v n="$ballast" 'BEGIN { srand(7); for (i = 0; i < n / 8; i++) printf "%08x", int(rand() * 4294967295) }' >"$out/ballast"
for script in activate switch-to-configuration; do
  sed "s|@out@|$out|g" "$scripts/$script.sh" >"$out/$script"
  chmod +x "$out/$script"
done
mv "$out/switch-to-configuration" "$out/bin/"
