# shellcheck shell=bash
# A cluster that is there already, reached by the current KUBECONFIG. It is not ours: it is neither made nor removed, nor are its components touched.

current_build() { command -v kubectl > /dev/null || tool_build kubernetes:kubectl; }
current_up() { until_ok 10 "the API server of the current kubeconfig" current_exec kubectl get --raw /readyz; }
current_down() { :; }
current_load() { die "cannot load $1 into a cluster that is not ours: push the image to a registry that its nodes can reach and name it by that, or load it by the cluster's own means"; }
current_exec() { PATH=$PATH:$CLUSTER_BIN "$@"; }
current_untouched() { die "E2E_USE_CURRENT=1: the components and nodes of a cluster that is not ours are left alone"; }
current_start() { current_untouched; }
current_stop() { current_untouched; }
current_signal() { current_untouched; }
current_node() { current_untouched; }
current_components() { :; }
current_logs() { :; }
