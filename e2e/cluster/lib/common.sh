# shellcheck shell=bash
# shellcheck disable=SC2034 # the sourcing scripts use what is set here
# Words, waiting and places that every part of the cluster script shares. It starts nothing and changes nothing.

say() { printf 'cluster: %s\n' "$*" >&2; }
die() { say "$@"; exit 1; }

# The version that a build module asks for, without its v: `pinned helm helm.sh/helm/v3` prints 3.x.y.
pinned() { sed -n "s|^\(require \)\?[[:space:]]*$2 v\([^ ]*\).*|\2|p" "$CLUSTER_SOURCE/build/$1/go.mod"; }

# until_ok SECONDS WHAT COMMAND…: tries the command until it succeeds; its last complaint is told when it never does.
until_ok() {
  local seconds=$1 what=$2 complaint deadline
  shift 2
  deadline=$((SECONDS + seconds))
  until complaint=$("$@" 2>&1); do
    [ "$SECONDS" -lt "$deadline" ] || { say "$what: not there after $seconds s: ${complaint:-no output}"; return 1; }
    sleep 0.2
  done
}

KUBERNETES_VERSION=$(pinned kubernetes k8s.io/kubernetes)
# What is built is kept here between runs and between checkouts.
CLUSTER_CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/sofia-phone/cluster/$KUBERNETES_VERSION
CLUSTER_BIN=$CLUSTER_CACHE/bin
# All that a run leaves on the disk while it lasts; another value is another cluster, and several may run side by side.
CLUSTER_DIR=$(realpath -m "${SOFIA_E2E_DIR:-${TMPDIR:-/tmp}/sofia-phone-cluster-$(id -u)}")
CLUSTER_ID=$(printf '%s' "$CLUSTER_DIR" | sha256sum | cut -c1-8)
CLUSTER_KUBECONFIG=$CLUSTER_DIR/kubeconfig
