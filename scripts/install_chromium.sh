#!/usr/bin/env bash
# Find or install a Chromium for the browser tests: scripts/install_chromium.sh [PYTHON]
#
# Installs Debian's package where that is possible (root and apt-get), else the Chromium that Playwright downloads.
# Does nothing if a working one is installed. If none can be installed, it says why and exits with 1.
set -euo pipefail

python=${1:-.venv/bin/python}

chromium_works() {
    # Asking for the version tells a browser from the stub some systems put in its place.
    command -v chromium >/dev/null && timeout 60 chromium --version >/dev/null 2>&1
}

playwright_chromium_works() {
    "$python" - >/dev/null 2>&1 <<'PYTHON'
from playwright.sync_api import sync_playwright

with sync_playwright() as playwright:
    playwright.chromium.launch(args=["--no-sandbox"]).close()
PYTHON
}

may_use_apt() {
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null
}

install_by_apt() {
    apt-get update || echo "warning: apt-get update failed; going on with the package lists at hand." >&2
    DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends chromium fonts-liberation \
        && chromium_works
}

install_by_playwright() {
    if may_use_apt; then
        # --with-deps asks apt for the libraries; where apt fails, they may be there already.
        "$python" -m playwright install --with-deps chromium || "$python" -m playwright install chromium
    else
        "$python" -m playwright install chromium
    fi
}

if chromium_works || playwright_chromium_works; then
    exit 0
fi

if may_use_apt; then
    echo "Installing Debian's chromium for the browser tests." >&2
    if install_by_apt; then
        exit 0
    fi
    echo "warning: apt-get gave no working chromium (see above); trying the one Playwright downloads." >&2
fi

echo "Installing Playwright's Chromium for the browser tests." >&2
if install_by_playwright; then
    exit 0
fi

echo "error: no browser could be installed (see above); put a working 'chromium' on the PATH and try again." >&2
exit 1
