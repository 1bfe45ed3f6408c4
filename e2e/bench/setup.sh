#!/usr/bin/env bash
# What the comparison needs beyond the Rust toolchain and a C compiler: others' resamplers, from Debian, opened at run time.
# Whatever cannot be had is said here, and its lines in the table say `not installed`.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=../apt.sh
. "$(dirname "$0")/../apt.sh"

missing=()
for library in libsoxr.so.0=libsoxr0 libspeexdsp.so.1=libspeexdsp1 libsamplerate.so.0=libsamplerate0; do
  ldconfig -p 2> /dev/null | grep -q "${library%%=*} " || missing+=("${library##*=}")
done
[ ${#missing[@]} -gt 0 ] || exit 0
if ! command -v apt-get > /dev/null; then
  echo "bench: no apt-get here to install ${missing[*]}: their lines in the table will say 'not installed'" >&2
elif ! apt_install "${missing[@]}"; then
  echo "bench: could not install ${missing[*]} with apt-get: their lines in the table will say 'not installed'" >&2
fi
