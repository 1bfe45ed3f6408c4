#!/usr/bin/env bash
# `make scale`: the operator with many VoiceTrunks on a real API server, measured; README.md says what and how. Arguments go to the program:
# `run.sh --trunks 100` is a short run.
#
# Everything runs in a network, a process table and a file system of its own: it takes no port and no name of the machine, and when its first
# process ends, for whatever reason, the kernel ends all of it and nothing is left.
set -euo pipefail

SCALE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
REPOSITORY=$(cd "$SCALE/../.." && pwd)
CARGO=${CARGO:-cargo}
# The API server is built from the same sources, and kept in the same place, as that of the cluster for the end-to-end tests.
CLUSTER_SOURCE=$REPOSITORY/e2e/cluster
# shellcheck source-path=SCRIPTDIR/../cluster source=../cluster/lib/common.sh
. "$CLUSTER_SOURCE/lib/common.sh"
# shellcheck source-path=SCRIPTDIR/../cluster source=../cluster/lib/packages.sh
. "$CLUSTER_SOURCE/lib/packages.sh"
# shellcheck source-path=SCRIPTDIR/../cluster source=../cluster/lib/tools.sh
. "$CLUSTER_SOURCE/lib/tools.sh"

packages_need etcd:etcd-server ip:iproute2 unshare:util-linux
tool_build helm kubernetes
# What is measured as it is released, what measures as `make test` builds it.
(cd "$REPOSITORY" && "$CARGO" build --release --locked --bin sofia-operator && "$CARGO" build --locked --bin operator-scale)
built=$(cd "$REPOSITORY" && "$CARGO" metadata --format-version 1 --no-deps | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')

place=$(mktemp -d "${TMPDIR:-/tmp}/sofia-scale.XXXXXX")
# shellcheck disable=SC2329 # The trap calls it.
finish() {
  local status=$?
  trap '' INT TERM
  trap - EXIT
  [ -z "${sandbox:-}" ] || kill -KILL "$sandbox" 2> /dev/null || true
  # Its contents lie on a file system that is gone with the last process.
  rmdir "$place"
  exit "$status"
}
trap finish EXIT
trap 'exit 130' INT TERM

# Thousands of pods are asked, each over its own connection.
ulimit -n "$(ulimit -H -n)"
root=()
[ "$(id -u)" = 0 ] || root=(--map-root-user)
# shellcheck disable=SC2016 # expanded in the sandbox
unshare "${root[@]}" --net --pid --mount-proc --fork --kill-child -- bash -c '
  ip link set lo up
  # The addresses of pods that are not there: all of them are this machine.
  ip route add local 10.64.0.0/10 dev lo
  mount -t tmpfs -o mode=700 tmpfs "$0"
  exec "$@"' "$place" "$built/debug/operator-scale" --place "$place" --operator "$built/release/sofia-operator" --tools "$CLUSTER_BIN" \
  --chart "$REPOSITORY/charts/sofia-phone" "$@" &
sandbox=$!
wait "$sandbox" && status=0 || status=$?
sandbox=
exit "$status"
