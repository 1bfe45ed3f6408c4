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
# By its interface, which goes with it: its address may be another pod's later.
pod_network() {
  local node interface direction rule
  node=$(pod_field "$1" "$2" '{.spec.nodeName}')
  interface=$("${PROVIDER}_node" "$node" ip -oneline route get "$(pod_field "$1" "$2" '{.status.podIP}')" | sed -n 's/.* dev \([^ ]*\).*/\1/p')
  [ -n "$interface" ] || die "pod $1/$2 has no interface on $node"
  for rule in 'INPUT --in-interface' 'OUTPUT --out-interface' 'FORWARD --in-interface' 'FORWARD --out-interface'; do
    read -ra direction <<< "$rule"
    case $3 in
      off) "${PROVIDER}_node" "$node" iptables --wait --insert "${direction[@]}" "$interface" --jump DROP ;;
      on) while "${PROVIDER}_node" "$node" iptables --wait --delete "${direction[@]}" "$interface" --jump DROP 2> /dev/null; do :; done ;;
      *) die "a pod's network is switched on or off, not '$3'" ;;
    esac
  done
}
