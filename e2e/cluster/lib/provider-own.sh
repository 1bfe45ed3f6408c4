# shellcheck shell=bash
# The self-built cluster: a control plane and two nodes, each a sandbox, with cables between them. Needs root, and nothing else on the machine.

CLUSTER_CGROUP=sofia-phone-e2e-$CLUSTER_ID
# shellcheck source-path=SCRIPTDIR source=sandbox.sh
. "$CLUSTER_SOURCE/lib/sandbox.sh"
# shellcheck source-path=SCRIPTDIR source=pki.sh
. "$CLUSTER_SOURCE/lib/pki.sh"
# shellcheck source-path=SCRIPTDIR source=components.sh
. "$CLUSTER_SOURCE/lib/components.sh"
# shellcheck source-path=SCRIPTDIR source=configure.sh
. "$CLUSTER_SOURCE/lib/configure.sh"

own_build() {
  packages_need containerd:containerd ctr:containerd runc:runc /usr/lib/cni/ptp:containernetworking-plugins etcd:etcd-server ip:iproute2 \
    iptables:iptables conntrack:conntrack openssl:openssl catatonit:catatonit
  tool_build coredns kubernetes
  [ -f "$CLUSTER_CACHE/pause.tar" ] \
    || "$CLUSTER_SOURCE/image.sh" "$CLUSTER_CACHE/pause.tar" localhost/pause:1 --base scratch "$(command -v catatonit)=/pause" --entrypoint /pause -P
}

own_up() {
  local name node
  [ "$(id -u)" = 0 ] || die "needs root: it makes namespaces and control groups (or a Docker engine for kind, or E2E_USE_CURRENT=1)"
  case $CLUSTER_DIR/ in
    /run/* | /var/run/* | /var/lib/* | /var/log/* | /proc/*) die "SOFIA_E2E_DIR=$CLUSTER_DIR is hidden in the sandboxes; choose a folder outside /run, /var/lib and /var/log" ;;
  esac
  chmod 755 "$CLUSTER_DIR" # pods that do not run as root read their volumes below it
  pki_authority
  own_machines
  configure_control
  component_start etcd
  component_start apiserver
  for node in "${NODES[@]}"; do
    configure_node "$node"
    component_start "$node/containerd"
  done
  component_ready apiserver
  # The bootstrap roles come after readiness, and a controller manager that starts before them exits.
  until_ok 30 "the bootstrap roles" own_kubectl -n kube-system get rolebinding system::extension-apiserver-authentication-reader
  component_start controller-manager
  component_start scheduler
  component_start dns
  for node in "${NODES[@]}"; do
    component_ready "$node/containerd"
    own_import "$node" < "$CLUSTER_CACHE/pause.tar"
    component_start "$node/kubelet"
    component_start "$node/proxy"
  done
  for name in $(component_names); do component_ready "$name"; done
  # Pods are refused before it exists.
  until_ok 30 "the default service account" own_kubectl -n default get serviceaccount default
}

# Three machines and a switch between them; pods' addresses are routed, never translated, so that RTP and SIP come from where they say.
own_machines() {
  local node other
  sandbox_create control
  sandbox_run control sh -c 'mkdir -m 700 /var/lib/etcd && mount -t tmpfs -o mode=700 tmpfs /var/lib/etcd'
  sandbox_network control ip link add lan type bridge
  sandbox_network control ip address add "$CONTROL_IP/24" dev lan
  sandbox_network control ip link set lan up
  for node in "${NODES[@]}"; do
    cgroup_create "$CLUSTER_CGROUP/$node"
    sandbox_create "$node"
    own_tunables "$node"
    sandbox_network control ip link add "$node" type veth peer name eth0 netns "$(sandbox_pid "$node")"
    sandbox_network control ip link set "$node" master lan up
    sandbox_network "$node" ip address add "$(node_ip "$node")/24" dev eth0
    sandbox_network "$node" ip link set eth0 up
    sandbox_network "$node" ip route add default via "$CONTROL_IP"
    for other in "${NODES[@]}"; do
      [ "$other" = "$node" ] || sandbox_network "$node" ip route add "$(node_pods "$other")" via "$(node_ip "$other")"
    done
    sandbox_network control ip route add "$(node_pods "$node")" via "$(node_ip "$node")"
  done
  # Tests run beside the control plane, which has no Service rules: the first node does that for them.
  sandbox_network control ip route add "$SERVICE_CIDR" via "$(node_ip node1)"
}

# The kubelet sets these for the whole kernel. Here it finds files that say they are set already, and the host's stay as they were.
own_tunables() {
  local folder=$CLUSTER_DIR/$1/tunables setting
  mkdir -p "$folder"
  for setting in vm/overcommit_memory=1 vm/panic_on_oom=0 kernel/panic=10 kernel/panic_on_oops=1 kernel/keys/root_maxkeys=1000000 kernel/keys/root_maxbytes=25000000; do
    echo "${setting#*=}" > "$folder/${setting//[\/=]/-}"
    sandbox_run "$1" mount --bind "$folder/${setting//[\/=]/-}" "/proc/sys/${setting%=*}"
  done
}

own_down() {
  local name
  : > "$CLUSTER_DIR/ending"
  for name in "${NODES[@]}" control; do sandbox_kill "$name"; done
  until_ok 10 "end of the control groups" cgroup_gone "$CLUSTER_CGROUP"
}

own_import() { sandbox_run "$1" ctr --namespace k8s.io images import - > /dev/null; }

own_load() {
  local node job jobs=()
  for node in "${NODES[@]}"; do
    own_import "$node" < "$1" &
    jobs+=($!)
  done
  for job in "${jobs[@]}"; do wait "$job" || die "$1 could not be imported"; done
}

own_exec() { KUBECONFIG=$CLUSTER_KUBECONFIG PATH=$CLUSTER_BIN:$PATH sandbox_network control "$@"; }
own_kubectl() { own_exec kubectl "$@"; }
own_node() { sandbox_run "$@"; }
own_stop() { component_stop "$1"; }
own_signal() { component_signal "$@"; }
own_start() {
  component_start "$1"
  component_ready "$1"
}

own_components() { component_names; }

own_logs() {
  local name
  for name in control "${NODES[@]}"; do
    [ -d "$CLUSTER_DIR/$name" ] || continue
    mkdir -p "$1/$name"
    cp -r "$CLUSTER_DIR/$name/log/." "$CLUSTER_DIR/$name/sandbox.log" "$1/$name/" 2> /dev/null || true
  done
}
