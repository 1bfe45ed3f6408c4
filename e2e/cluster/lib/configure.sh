# shellcheck shell=bash
# Writes the configuration files of the self-built cluster's components. It starts nothing.

configure_control() {
  local etc=$CLUSTER_DIR/control/etc name
  mkdir -p "$etc"
  pki_issue apiserver /O=system:masters/CN=kube-apiserver \
    "IP:127.0.0.1,IP:$CONTROL_IP,IP:10.96.0.1,DNS:localhost,DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc"
  pki_issue front-proxy /CN=front-proxy
  pki_issue admin /O=system:masters/CN=admin
  pki_kubeconfig admin "$CLUSTER_KUBECONFIG"
  for name in controller-manager scheduler; do
    pki_issue $name /CN=system:kube-$name
    pki_kubeconfig $name "$etc/$name.kubeconfig"
  done
  cat > "$etc/Corefile" << COREFILE
cluster.local:53 {
  bind $CONTROL_IP
  kubernetes cluster.local {
    kubeconfig $CLUSTER_KUBECONFIG
    ttl 5
  }
  loadbalance
}
.:53 {
  bind $CONTROL_IP
  template ANY ANY {
    rcode NXDOMAIN
  }
}
COREFILE
}

configure_node() {
  local node=$1 etc=$CLUSTER_DIR/$1/etc ip
  ip=$(node_ip "$node")
  mkdir -p "$etc/cni"
  pki_issue "$node" "/O=system:nodes/CN=system:node:$node" "IP:$ip,DNS:$node"
  pki_kubeconfig "$node" "$etc/kubelet.kubeconfig"
  pki_issue "$node-proxy" /CN=system:kube-proxy
  pki_kubeconfig "$node-proxy" "$etc/proxy.kubeconfig"
  # ptp, not a bridge: every packet is routed, so an answer from a pod beside finds its way back through the Service's rules without br_netfilter.
  cat > "$etc/cni/10-pods.conflist" << JSON
{"cniVersion": "0.4.0", "name": "pods", "plugins": [
  {"type": "ptp", "ipMasq": false, "ipam": {"type": "host-local", "ranges": [[{"subnet": "$(node_pods "$node")"}]], "routes": [{"dst": "0.0.0.0/0"}]}},
  {"type": "portmap", "capabilities": {"portMappings": true}}]}
JSON
  # restrict_oom_score_adj: without CAP_SYS_RESOURCE runc could not lower the score, and no sandbox would start.
  cat > "$etc/containerd.toml" << TOML
version = 2
[plugins."io.containerd.internal.v1.opt"]
  path = "/var/lib/containerd-opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "localhost/pause:1"
  restrict_oom_score_adj = true
  disable_apparmor = true
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "$(snapshotter)"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "$etc/cni"
TOML
  cat > "$etc/kubelet.yaml" << YAML
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication: {anonymous: {enabled: false}, webhook: {enabled: true}, x509: {clientCAFile: $PKI/ca.crt}}
authorization: {mode: Webhook}
tlsCertFile: $PKI/$node.crt
tlsPrivateKeyFile: $PKI/$node.key
cgroupDriver: cgroupfs
cgroupRoot: /$CLUSTER_CGROUP/$node
containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
clusterDNS: [$CONTROL_IP]
clusterDomain: cluster.local
resolvConf: ""
volumePluginDir: /var/lib/kubelet/volume-plugins
failSwapOn: false
serializeImagePulls: false
nodeLeaseDurationSeconds: 12
nodeStatusUpdateFrequency: 5s
evictionHard: {nodefs.available: "1%", imagefs.available: "1%", memory.available: 100Mi}
imageGCHighThresholdPercent: 100
YAML
  # Connection tracking's limits belong to the host and cannot be set from in here.
  cat > "$etc/proxy.yaml" << YAML
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
clientConnection: {kubeconfig: $etc/proxy.kubeconfig}
mode: iptables
clusterCIDR: $POD_CIDR
conntrack: {maxPerCore: 0}
iptables: {minSyncPeriod: 100ms}
YAML
}

# overlayfs cannot lie on overlayfs, which is what a container's own root is.
snapshotter() { case $(stat -f -c %T "$CLUSTER_DIR") in overlayfs) echo native ;; *) echo overlayfs ;; esac; }
