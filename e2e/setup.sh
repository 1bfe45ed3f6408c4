#!/usr/bin/env bash
# What the tests need beyond the Rust toolchain: a Python environment with a speech recogniser in .venv, and, from Debian, a speech synthesiser
# and an independent RTP decoder. Whatever cannot be had is said here, and the tests that need it say `skipped`; with CI set, its lack is an error.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source-path=SCRIPTDIR source=apt.sh
. e2e/apt.sh
missing() {
  echo "setup: $1: the tests that need it will say 'skipped'" >&2
  [ -z "${CI:-}" ] || { echo "setup: in CI nothing may be skipped" >&2; exit 1; }
}

packages=()
command -v espeak-ng > /dev/null || packages+=(espeak-ng)
command -v tshark > /dev/null || packages+=(tshark)
if [ ${#packages[@]} -gt 0 ]; then
  if command -v apt-get > /dev/null; then
    apt_install "${packages[@]}" || missing "could not install ${packages[*]} with apt-get"
  else
    missing "no ${packages[*]} here, and no apt-get to install them"
  fi
fi

stamp=.venv/$(sha256sum e2e/speech/requirements.txt | cut -c1-16)
if [ ! -f "$stamp" ]; then
  rm -rf .venv
  if python3 -m venv .venv 2> /dev/null && .venv/bin/pip install -q --disable-pip-version-check -r e2e/speech/requirements.txt; then
    touch "$stamp"
  else
    rm -rf .venv
    missing "could not make a Python environment with $(tr '\n' ' ' < e2e/speech/requirements.txt)"
  fi
fi
