#!/usr/bin/env bash
# A Kubernetes cluster for the end-to-end tests, with or without a container engine.
#
#   cluster.sh tools               builds helm and kubeconform where they are missing; prints the folder they are in
#   cluster.sh build               builds all that `up` needs
#   cluster.sh up                  starts a cluster with two nodes for pods
#   cluster.sh down                ends it and removes what it left; right at any time, also twice
#   cluster.sh load IMAGE.tar…     brings images to every node
#   cluster.sh kubectl ARGUMENT…
#   cluster.sh exec COMMAND…       runs a command with KUBECONFIG set and kubectl and helm at hand, where the cluster's addresses can be reached
#   cluster.sh kubeconfig          prints the path of the kubeconfig
#   cluster.sh stop|start|restart COMPONENT
#   cluster.sh signal COMPONENT SIGNAL      STOP makes it hang, CONT lets it go on
#   cluster.sh components          prints their names
#   cluster.sh node NODE COMMAND…  runs a command on a node
#   cluster.sh pod NAMESPACE POD signal SIGNAL [CONTAINER]
#   cluster.sh pod NAMESPACE POD network off|on
#   cluster.sh logs FOLDER         copies the components' and the pods' logs, the events and the objects there
#
# E2E_USE_CURRENT=1 takes the cluster of the current KUBECONFIG instead. SOFIA_E2E_DIR is the folder of the run; with another one, another cluster
# runs beside it.
set -euo pipefail

CLUSTER_SOURCE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source-path=SCRIPTDIR source=lib/common.sh
. "$CLUSTER_SOURCE/lib/common.sh"
# shellcheck source-path=SCRIPTDIR source=lib/packages.sh
. "$CLUSTER_SOURCE/lib/packages.sh"
# shellcheck source-path=SCRIPTDIR source=lib/tools.sh
. "$CLUSTER_SOURCE/lib/tools.sh"

# A run keeps the provider that it began with.
choose_provider() {
  if [ "${E2E_USE_CURRENT:-}" = 1 ]; then echo current
  elif [ -f "$CLUSTER_DIR/provider" ]; then cat "$CLUSTER_DIR/provider"
  elif docker info > /dev/null 2>&1; then echo kind
  else echo own
  fi
}

usage() { sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}"; }

build() {
  tool_build helm
  "${PROVIDER}_build"
}

up() {
  if [ "$PROVIDER" != current ]; then
    mkdir -p "$(dirname "$CLUSTER_DIR")"
    # Making the folder is the lock between two runs.
    mkdir -m 755 "$CLUSTER_DIR" 2> /dev/null \
      || die "$CLUSTER_DIR is there: a cluster is up, or was left behind. 'cluster.sh down' ends it; another SOFIA_E2E_DIR makes another"
    echo "$PROVIDER" > "$CLUSTER_DIR/provider"
    trap 'trap "" INT TERM; trap - EXIT; say "interrupted"; down; exit 130' INT TERM
    trap '[ $? = 0 ] || say "not up. What it left is kept: cluster.sh logs FOLDER shows it, cluster.sh down removes it"' EXIT
  fi
  build
  "${PROVIDER}_up"
  say "up in $SECONDS s ($PROVIDER); kubeconfig: $(kubeconfig)"
}

down() {
  [ "$PROVIDER" != current ] && [ -d "$CLUSTER_DIR" ] || return 0
  "${PROVIDER}_down"
  rm -rf --one-file-system "$CLUSTER_DIR"
  say "down"
}

kubeconfig() {
  if [ "$PROVIDER" = current ]; then echo "${KUBECONFIG:-$HOME/.kube/config}"; else echo "$CLUSTER_KUBECONFIG"; fi
}

# What can be had is copied: a component that is broken must not keep the others' logs from being seen.
logs() {
  local folder=$1 namespace pod
  mkdir -p "$folder/pods"
  "${PROVIDER}_logs" "$folder" || say "no logs of the components"
  ask() { timeout 20 "$0" kubectl --request-timeout=5s "$@" 2>&1 || true; }
  ask get events -A --sort-by=.metadata.creationTimestamp -o wide > "$folder/events.txt"
  ask get nodes,all,endpointslices,configmaps,poddisruptionbudgets,horizontalpodautoscalers,apiservices,crds -A -o wide > "$folder/objects.txt"
  ask get pods,deployments,statefulsets,services,horizontalpodautoscalers,poddisruptionbudgets -A -o yaml > "$folder/objects.yaml"
  ask describe pods,nodes -A > "$folder/describe.txt"
  while read -r namespace pod; do
    ask -n "$namespace" logs "$pod" --all-containers --prefix --tail=20000 > "$folder/pods/$namespace.$pod.log"
    ask -n "$namespace" logs "$pod" --all-containers --prefix --tail=20000 --previous > "$folder/pods/$namespace.$pod.previous.log"
  done < <(ask get pods -A --no-headers -o custom-columns=:.metadata.namespace,:.metadata.name | grep -v '^Unable\|^error\|^The connection')
  say "logs are in $folder"
}

PROVIDER=$(choose_provider)
# shellcheck source-path=SCRIPTDIR source=lib/provider-own.sh
. "$CLUSTER_SOURCE/lib/provider-$PROVIDER.sh"
# shellcheck source-path=SCRIPTDIR source=lib/pods.sh
. "$CLUSTER_SOURCE/lib/pods.sh"

command=${1:-}
[ $# = 0 ] || shift
case $command:$# in
  tools:0)
    tool_build helm kubeconform
    echo "$CLUSTER_BIN"
    ;;
  build:0)
    build
    echo "$CLUSTER_BIN"
    ;;
  up:0) up ;;
  down:0) down ;;
  load:[1-9]*) for image in "$@"; do [ -r "$image" ] || die "no image archive $image"; "${PROVIDER}_load" "$image"; done ;;
  kubectl:*) "${PROVIDER}_exec" kubectl "$@" ;;
  exec:[1-9]*) "${PROVIDER}_exec" "$@" ;;
  kubeconfig:0) kubeconfig ;;
  stop:1) "${PROVIDER}_stop" "$1" ;;
  start:1) "${PROVIDER}_start" "$1" ;;
  restart:1)
    "${PROVIDER}_stop" "$1"
    "${PROVIDER}_start" "$1"
    ;;
  signal:2) "${PROVIDER}_signal" "$1" "$2" ;;
  node:[2-9]* | node:1?*) "${PROVIDER}_node" "$@" ;;
  pod:4 | pod:5) case $3 in signal) pod_signal "$1" "$2" "${@:4}" ;; network) pod_network "$1" "$2" "$4" ;; *) usage >&2; exit 64 ;; esac ;;
  components:0) "${PROVIDER}_components" ;;
  logs:1) logs "$1" ;;
  *) usage >&2; exit 64 ;;
esac
