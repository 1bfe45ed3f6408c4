# shellcheck shell=bash
# The cluster of kind, where a Docker engine runs: one control plane and two workers, each a container. kind's node image comes from its registry.

KIND_NAME=sofia-phone-e2e-$CLUSTER_ID

kind_build() {
  tool_build kind
  command -v kubectl > /dev/null || tool_build kubernetes:kubectl
}

kind_up() {
  cat > "$CLUSTER_DIR/kind.yaml" << 'YAML'
kind: Cluster
apiVersion: kind.x-k8s.io/v1alpha4
nodes: [{role: control-plane}, {role: worker}, {role: worker}]
kubeadmConfigPatches:
- |
  apiVersion: kubeadm.k8s.io/v1beta4
  kind: ClusterConfiguration
  apiServer:
    extraArgs:
    - {name: default-not-ready-toleration-seconds, value: "30"}
    - {name: default-unreachable-toleration-seconds, value: "30"}
  controllerManager:
    extraArgs:
    - {name: horizontal-pod-autoscaler-sync-period, value: 3s}
    - {name: horizontal-pod-autoscaler-downscale-stabilization, value: 10s}
YAML
  "$CLUSTER_BIN/kind" create cluster --name "$KIND_NAME" --config "$CLUSTER_DIR/kind.yaml" --kubeconfig "$CLUSTER_KUBECONFIG" --wait 180s
}

kind_down() { "$CLUSTER_BIN/kind" delete cluster --name "$KIND_NAME" --kubeconfig "$CLUSTER_DIR/kubeconfig.deleted"; }
kind_load() { "$CLUSTER_BIN/kind" load image-archive --name "$KIND_NAME" "$1"; }
kind_exec() { KUBECONFIG=$CLUSTER_KUBECONFIG PATH=$PATH:$CLUSTER_BIN "$@"; }
kind_components() { printf '%s\n' apiserver controller-manager scheduler etcd; }

# Control plane components are static pods: their container is ended, and while their manifest is away the kubelet does not start another.
kind_manifest() {
  kind_components | grep -qx "$1" || die "no component '$1'; there are: $(kind_components | tr '\n' ' ')"
  case $1 in etcd) echo etcd.yaml ;; *) echo "kube-$1.yaml" ;; esac
}

kind_stop() {
  local manifest
  manifest=$(kind_manifest "$1")
  docker exec "$KIND_NAME-control-plane" sh -c "if [ -f /etc/kubernetes/manifests/$manifest ]; then mv /etc/kubernetes/manifests/$manifest /root/; fi
    crictl ps --quiet --name '${manifest%.yaml}' | xargs -r crictl stop --timeout 3 > /dev/null"
}

kind_start() {
  local manifest
  manifest=$(kind_manifest "$1")
  docker exec "$KIND_NAME-control-plane" sh -c "if [ -f /root/$manifest ]; then mv /root/$manifest /etc/kubernetes/manifests/; fi"
  until_ok 90 "the API server" kind_exec kubectl get --raw /readyz
}

kind_node() { docker exec "$@"; }
kind_signal() { kind_manifest "$1" > /dev/null && docker exec "$KIND_NAME-control-plane" pkill --signal "$2" --full "^(kube-)?$1 "; }
kind_logs() { "$CLUSTER_BIN/kind" export logs --name "$KIND_NAME" "$1/kind"; }
