# shellcheck shell=bash
# What a test does to a pod behind Kubernetes' back: signals to its process, and the loss of its network. Works on any node that can be entered;
# the pod needs nothing in its image for it, and nothing in the API tells of it.

pod_field() { "${PROVIDER}_exec" kubectl -n "$1" get pod "$2" -o jsonpath="$3"; }

# pod_signal NAMESPACE POD SIGNAL [CONTAINER]: to the first process of the container, by default of the only or first one.
pod_signal() {
  local node id
  node=$(pod_field "$1" "$2" '{.spec.nodeName}')
  if [ -n "${4:-}" ]; then
    id=$(pod_field "$1" "$2" "{.status.containerStatuses[?(@.name==\"$4\")].containerID}")
  else
    id=$(pod_field "$1" "$2" '{.status.containerStatuses[0].containerID}')
  fi
  [ -n "$id" ] || die "pod $1/$2 has no running container ${4:-}"
  "${PROVIDER}_node" "$node" ctr --namespace k8s.io task kill --signal "SIG${3#SIG}" "${id#containerd://}"
}

# pod_network NAMESPACE POD off|on: what goes to it or comes from it is dropped on its node; its processes and connections do not learn why.
pod_network() {
  local node address chain direction
  node=$(pod_field "$1" "$2" '{.spec.nodeName}')
  address=$(pod_field "$1" "$2" '{.status.podIP}')
  for chain in FORWARD INPUT OUTPUT; do
    for direction in --source --destination; do
      case $3:$chain$direction in *:INPUT--destination | *:OUTPUT--source) continue ;; esac
      case $3 in
        off) "${PROVIDER}_node" "$node" iptables --wait --insert "$chain" "$direction" "$address" --jump DROP ;;
        on) while "${PROVIDER}_node" "$node" iptables --wait --delete "$chain" "$direction" "$address" --jump DROP 2> /dev/null; do :; done ;;
        *) die "a pod's network is switched on or off, not '$3'" ;;
      esac
    done
  done
}
