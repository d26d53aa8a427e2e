#!/bin/sh
# node-modules.sh OUT CPU: what npm installs here (package.json, its workspaces and the lock file) for Linux on CPU, into OUT.
# The same tree whoever runs it: Nix knows it by its hash, which scripts/node-modules.ts writes into node-modules.json.
set -eu
out=$1
cpu=$2
# Versions of npm differ in which optional packages of other platforms they leave out.
npm=npm@11.6.0
# No scripts of packages: what they would fetch or build has no hash in the lock file.
npm exec --yes --package="$npm" -- npm ci --ignore-scripts --no-audit --no-fund --os=linux --cpu="$cpu" --libc=glibc
# npm's own notes.
rm -rf node_modules/.package-lock.json node_modules/.cache
mkdir -p "$out"
mv node_modules "$out/"
