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
[ -z "$ballast" ] || echo "$ballast" >"$out/ballast"
for script in activate switch-to-configuration; do
  sed "s|@out@|$out|g" "$scripts/$script.sh" >"$out/$script"
  chmod +x "$out/$script"
done
mv "$out/switch-to-configuration" "$out/bin/"
