#!/bin/sh
# The Debian packages that some tests need and no Python package brings. As root, on a machine with apt-get, what
# is missing is installed; otherwise it is said which tests will not run. Never fails: the rest is worth running.
set -u

rtsp="python3-gi gir1.2-gst-rtsp-server-1.0 gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-ugly gstreamer1.0-x"
browser="chromium"

say() { printf 'system packages: %s\n' "$*"; }

missing_of() {
    for package in "$@"; do
        [ "$(dpkg-query -W -f '${Status}' "$package" 2>/dev/null)" = "install ok installed" ] || printf '%s ' "$package"
    done
}

tell() { # what-it-is-for packages...
    what=$1
    shift
    missing=$(missing_of "$@")
    [ -z "$missing" ] || say "not here: ${missing}-> the tests of $what will not run"
}

if ! command -v dpkg-query >/dev/null 2>&1; then
    say "not a Debian: install these or their like: $rtsp (tests of RTSP cameras), $browser (tests of the page)"
    exit 0
fi

# shellcheck disable=SC2086
missing=$(missing_of $rtsp $browser)
[ -n "$missing" ] || exit 0

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    say "installing ${missing}(once)"
    log=$(mktemp)
    # shellcheck disable=SC2086
    if ! { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing; } >"$log" 2>&1; then
        say "apt-get could not install them:"
        tail -n 3 "$log"
    fi
    rm -f "$log"
else
    # shellcheck disable=SC2086
    say "as root: apt-get install $missing"
fi
# shellcheck disable=SC2086
tell "RTSP cameras" $rtsp
# shellcheck disable=SC2086
tell "the page in a browser" $browser
exit 0
