# shellcheck shell=bash
# shellcheck disable=SC2034 # the sourcing scripts use what is set here
# The components of the self-built cluster: where each runs, its command line, its start and its stop. It decides nothing about their order.

CONTROL_IP=172.30.0.1
SERVICE_CIDR=10.96.0.0/16
POD_CIDR=10.244.0.0/16
NODES=(node1 node2)
CONTROL_COMPONENTS=(etcd apiserver controller-manager scheduler dns)
NODE_COMPONENTS=(containerd kubelet proxy)

node_ip() { echo "172.30.0.1${1#node}"; }
node_pods() { echo "10.244.${1#node}.0/24"; }

# A component of a node is named node1/kubelet; all others live in the control sandbox.
component_sandbox() { case $1 in */*) echo "${1%%/*}" ;; *) echo control ;; esac; }

component_names() {
  local node component
  printf '%s\n' "${CONTROL_COMPONENTS[@]}"
  for node in "${NODES[@]}"; do
    for component in "${NODE_COMPONENTS[@]}"; do echo "$node/$component"; done
  done
}

# Sets COMMAND to the command line of the component.
# shellcheck disable=SC2054 # the commas are the flags' own
component_command() {
  local name=$1 sandbox etc
  sandbox=$(component_sandbox "$name")
  etc=$CLUSTER_DIR/$sandbox/etc
  case ${name#*/} in
    etcd)
      # On a tmpfs, so that no write waits for a disk; nothing here outlives a run.
      COMMAND=(etcd --data-dir=/var/lib/etcd --listen-client-urls=http://127.0.0.1:2379 --advertise-client-urls=http://127.0.0.1:2379
        --listen-peer-urls=http://127.0.0.1:2380 --auto-compaction-retention=10m) ;;
    apiserver)
      COMMAND=("$CLUSTER_BIN/kube-apiserver" --etcd-servers=http://127.0.0.1:2379 --advertise-address="$CONTROL_IP" --service-cluster-ip-range="$SERVICE_CIDR"
        --tls-cert-file="$PKI/apiserver.crt" --tls-private-key-file="$PKI/apiserver.key" --client-ca-file="$PKI/ca.crt"
        --service-account-key-file="$PKI/service-accounts.key" --service-account-signing-key-file="$PKI/service-accounts.key"
        --service-account-issuer=https://kubernetes.default.svc --authorization-mode=Node,RBAC --enable-admission-plugins=NodeRestriction
        --allow-privileged=true --profiling=false
        # Nothing resolves a node's name, so logs and exec go to its address.
        --kubelet-preferred-address-types=InternalIP --kubelet-certificate-authority="$PKI/ca.crt"
        --kubelet-client-certificate="$PKI/apiserver.crt" --kubelet-client-key="$PKI/apiserver.key"
        # The aggregation layer, straight to the pods: custom.metrics.k8s.io is served from one.
        --enable-aggregator-routing=true --proxy-client-cert-file="$PKI/front-proxy.crt" --proxy-client-key-file="$PKI/front-proxy.key"
        --requestheader-client-ca-file="$PKI/ca.crt" --requestheader-allowed-names=front-proxy --requestheader-username-headers=X-Remote-User
        --requestheader-group-headers=X-Remote-Group --requestheader-extra-headers-prefix=X-Remote-Extra-
        # A lost node's pods are replaced after half a minute, not after five.
        --default-not-ready-toleration-seconds=30 --default-unreachable-toleration-seconds=30) ;;
    controller-manager)
      COMMAND=("$CLUSTER_BIN/kube-controller-manager" --kubeconfig="$etc/controller-manager.kubeconfig"
        --authentication-kubeconfig="$etc/controller-manager.kubeconfig" --authorization-kubeconfig="$etc/controller-manager.kubeconfig"
        --service-account-private-key-file="$PKI/service-accounts.key" --root-ca-file="$PKI/ca.crt" --use-service-account-credentials=true --leader-elect=false
        # Its default is a folder of the host, which would be created.
        --flex-volume-plugin-dir=/var/lib/volume-plugins
        --horizontal-pod-autoscaler-sync-period=3s --horizontal-pod-autoscaler-downscale-stabilization=10s
        # Loose enough for a busy machine with two cores: a kubelet renews its lease every 3 s.
        --node-monitor-period=2s --node-monitor-grace-period=20s) ;;
    scheduler)
      COMMAND=("$CLUSTER_BIN/kube-scheduler" --kubeconfig="$etc/scheduler.kubeconfig" --authentication-kubeconfig="$etc/scheduler.kubeconfig"
        --authorization-kubeconfig="$etc/scheduler.kubeconfig" --leader-elect=false) ;;
    dns) COMMAND=("$CLUSTER_BIN/coredns" -conf "$etc/Corefile") ;;
    containerd) COMMAND=(containerd --config "$etc/containerd.toml") ;;
    kubelet)
      COMMAND=("$CLUSTER_BIN/kubelet" --config="$etc/kubelet.yaml" --kubeconfig="$etc/kubelet.kubeconfig" --hostname-override="$sandbox"
        --node-ip="$(node_ip "$sandbox")" --root-dir=/var/lib/kubelet) ;;
    proxy) COMMAND=("$CLUSTER_BIN/kube-proxy" --config="$etc/proxy.yaml" --hostname-override="$sandbox") ;;
    *) die "no component '$name'; there are: $(component_names | tr '\n' ' ')" ;;
  esac
}

component_running() {
  # shellcheck disable=SC2016 # expanded in the sandbox
  sandbox_run "$(component_sandbox "$1")" sh -c 'kill -0 "$(cat "/run/$1.pid")"' - "${1#*/}" 2> /dev/null
}

component_stopped() { ! component_running "$1"; }

component_start() {
  local name=$1 COMMAND sandbox
  sandbox=$(component_sandbox "$name")
  component_command "$name"
  ! component_running "$name" || { say "$name runs already"; return 0; }
  # Left to the sandbox's first process: nsenter, as a parent, would stop for good with a component that is stopped, and never collect it.
  # shellcheck disable=SC2016 # expanded in the sandbox
  sandbox_run "$sandbox" sh -c 'setsid "$@" & echo $! > "/run/$0.pid"' "${name#*/}" "${COMMAND[@]}" \
    >> "$CLUSTER_DIR/$sandbox/log/${name#*/}.log" 2>&1 < /dev/null
}

component_signal() {
  # shellcheck disable=SC2016 # expanded in the sandbox
  sandbox_run "$(component_sandbox "$1")" sh -c 'kill -s "$0" "$(cat "/run/$1.pid")"' "$2" "${1#*/}"
}

component_stop() {
  local COMMAND
  component_command "$1" # an unknown name ends here
  component_running "$1" || return 0
  component_signal "$1" TERM
  # An API server with open watches would take a minute.
  until_ok 3 "end of $1" component_stopped "$1" 2> /dev/null || component_signal "$1" KILL
  until_ok 5 "end of $1" component_stopped "$1"
}

# Until the component answers; for those that have no door to knock at, until they run.
component_ready() {
  case $1 in
    apiserver) until_ok 60 "the API server" own_kubectl get --raw /readyz ;;
    */containerd) until_ok 30 "$1" sandbox_run "${1%%/*}" ctr version ;;
    */kubelet) until_ok 60 "$1" own_kubectl wait --for=condition=Ready "node/${1%%/*}" --timeout=1s ;;
    *) until_ok 10 "$1" component_running "$1" ;;
  esac
}
