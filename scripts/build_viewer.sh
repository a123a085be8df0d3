#!/usr/bin/env bash
# Bundle scripts/viewer/viewer.js with three.js into the page's static files. Needs Node.js 18 or newer with npm.
# The versions, with their checksums, are those of scripts/viewer/package-lock.json.
set -euo pipefail

root="$(cd "$(dirname "$0")/.." && pwd)"
target="${1:-$root/styletransfer/page/tabs/static/viewer.js}"
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT

cp "$root"/scripts/viewer/{viewer.js,package.json,package-lock.json} "$work"
cd "$work"
npm ci --no-audit --no-fund --silent
note="/*! Built by scripts/build_viewer.sh from scripts/viewer/viewer.js and three.js $(node -p 'require("./node_modules/three/package.json").version')
$(sed 's/\*\///' node_modules/three/LICENSE)
*/"
npx esbuild viewer.js --bundle --minify --format=esm --target=es2020 --legal-comments=none --banner:js="$note" \
  --outfile="$target" --log-level=warning
echo "$target: $(wc -c <"$target") bytes"
