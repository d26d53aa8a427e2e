# Builds a system: $out with etc/, activate and bin/switch-to-configuration.
set -eu
mkdir -p "$out/bin" "$out/etc"
echo "$label" >"$out/nixos-version"
printf '%s\n' "$etcFiles" | while read -r name file; do
  mkdir -p "$out/etc/$(dirname "$name")"
  ln -s "$file" "$out/etc/$name"
done
sed "s|@out@|$out|g" "$switchScript" >"$out/bin/switch-to-configuration"
chmod +x "$out/bin/switch-to-configuration"
