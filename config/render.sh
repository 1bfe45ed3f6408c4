#!/usr/bin/env bash
# Renders the kustomize bases and the copies of the alerts and of the dashboard from the chart, which is where they are written: `config/render.sh [FOLDER]`, this folder when left
# out. By hand are the kustomizations, the namespace, the two patches of custom-metrics, samples, compose and the alerts' tests; the CRD is
# crdgen's. charts/check.sh renders into another folder and compares, and compares what kustomize makes of all of it with what helm does.
set -euo pipefail
cd "$(dirname "$0")/.."
out=${1:-config}
chart=charts/sofia-phone
PATH=$(e2e/cluster/cluster.sh tools):$PATH

# render FILE TEMPLATE… [-- HELM'S ARGUMENT…]: without the labels that say that helm looks after the objects.
render() {
  local file=$out/$1 templates=()
  shift
  while [ $# -gt 0 ] && [ "$1" != -- ]; do
    templates+=(--show-only "templates/$1")
    shift
  done
  [ $# = 0 ] || shift
  mkdir -p "$(dirname "$file")"
  {
    echo "# Rendered from the chart by config/render.sh."
    helm template sofia-phone "$chart" --namespace sofia-phone-system "${templates[@]}" "$@" \
      | grep -vE '^ *(helm\.sh/chart|app\.kubernetes\.io/managed-by):'
  } > "$file"
}

render manager/manager.yaml deployment.yaml poddisruptionbudget.yaml
render manager/service.yaml service.yaml
render manager/network_policy.yaml networkpolicy.yaml
render rbac/service_account.yaml serviceaccount.yaml
render rbac/role.yaml rbac.yaml
render rbac/voicetrunk_roles.yaml aggregated-roles.yaml
render custom-metrics/custom_metrics.yaml custom-metrics.yaml -- --set customMetrics.enabled=true
mkdir -p "$out/prometheus"
cp "$chart/files/alerts.yaml" "$out/prometheus/alerts.yaml"
mkdir -p "$out/grafana"
cp "$chart/files/dashboard.json" "$out/grafana/sofia-phone.json"
