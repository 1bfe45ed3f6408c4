#!/usr/bin/env bash
# What the comparison needs beyond the Rust toolchain and a C compiler: others' resamplers and a speech synthesiser, from Debian, opened
# at run time, and Silero's detector in a Python environment of its own. Whatever cannot be had is said here, and its lines in the
# table say `not installed` or are missing.
set -euo pipefail
cd "$(dirname "$0")"
# shellcheck source-path=SCRIPTDIR source=../apt.sh
. ../apt.sh

silero() {
  local stamp
  stamp=.venv/$(sha256sum requirements.txt silero.txt | sha256sum | cut -c1-16)
  [ ! -f "$stamp" ] || return 0
  rm -rf .venv
  # Of Silero's package only the model: what it depends on is a whole machine learning framework.
  if python3 -m venv .venv 2> /dev/null && .venv/bin/pip install -q --disable-pip-version-check -r requirements.txt \
    && .venv/bin/pip install -q --disable-pip-version-check --no-deps -r silero.txt; then
    touch "$stamp"
  else
    rm -rf .venv
    echo "bench: no Python environment with onnxruntime and Silero's model could be made: its columns will be missing" >&2
  fi
}
silero

missing=()
command -v espeak-ng > /dev/null || missing+=(espeak-ng)
for library in libsoxr.so.0=libsoxr0 libspeexdsp.so.1=libspeexdsp1 libsamplerate.so.0=libsamplerate0; do
  ldconfig -p 2> /dev/null | grep -q "${library%%=*} " || missing+=("${library##*=}")
done
[ ${#missing[@]} -gt 0 ] || exit 0
if ! command -v apt-get > /dev/null; then
  echo "bench: no apt-get here to install ${missing[*]}: their lines in the table will be missing or say 'not installed'" >&2
elif ! apt_install "${missing[@]}"; then
  echo "bench: could not install ${missing[*]} with apt-get: their lines in the table will say 'not installed'" >&2
fi
