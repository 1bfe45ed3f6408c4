#!/usr/bin/env bash
# Checks the chart, the kustomize bases and samples, the compose file, the alerts and the dashboard: against the schemas of what reads them, and against
# each other. With --write it writes what is made from the chart instead: config/, the bundle, the README. Needs Go. What is built and drawn from
# modules is kept outside the checkout; nothing is asked of a cluster.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source-path=SCRIPTDIR source=../e2e/apt.sh
. e2e/apt.sh
CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/sofia-phone/charts
OUT=$(mktemp -d)
trap 'rm -rf "$OUT"' EXIT
mkdir -p "$CACHE"
# What earlier states of the sources left.
find "$CACHE" -maxdepth 1 \( -name 'check-*' -o -name 'schemas-*' \) -mtime +30 -exec rm -rf {} +

say() { printf 'charts: %s\n' "$*" >&2; }
die() { say "$@"; exit 1; }
# refused WHAT COMMAND…: the command has to fail, or the check that it stands for checks nothing.
refused() {
  local what=$1
  shift
  if "$@" > "$OUT/refused" 2>&1; then die "$what was let through"; fi
}

# A tool is built anew when its sources change.
build_check() {
  local stamp
  stamp=$(cat charts/check/*.go charts/check/go.mod charts/check/go.sum | sha256sum | cut -c1-16)
  CHECK=$CACHE/check-$stamp
  [ -x "$CHECK" ] || {
    command -v go > /dev/null || die "needs Go: https://go.dev/dl/"
    say "building charts/check (once; kept in $CACHE)"
    (cd charts/check && CGO_ENABLED=0 GOFLAGS=-mod=readonly go build -trimpath -buildvcs=false -o "$CHECK.$$" . && mv "$CHECK.$$" "$CHECK")
  }
}

# The schemas come from the OpenAPI document in the same module that the end-to-end tests build their cluster from.
make_schemas() {
  local kubernetes
  SCHEMAS=$CACHE/schemas-$(cat "$CHECK" e2e/cluster/build/kubernetes/go.mod crds/voicetrunk.yaml | sha256sum | cut -c1-16)
  [ ! -d "$SCHEMAS" ] || return 0
  (cd e2e/cluster/build/kubernetes && go mod download k8s.io/kubernetes)
  kubernetes=$(cd e2e/cluster/build/kubernetes && go list -m -f '{{.Dir}}' k8s.io/kubernetes)
  "$CHECK" schemas "$kubernetes/api/openapi-spec/swagger.json" crds/voicetrunk.yaml "$OUT/schemas"
  # Of two runs at a time the second finds the first one's.
  cp -r "$OUT/schemas" "$SCHEMAS.$$"
  mv -T "$SCHEMAS.$$" "$SCHEMAS" 2> /dev/null || rm -rf "$SCHEMAS.$$"
}

find_promtool() {
  PROMTOOL=$(command -v promtool || echo "$CACHE/prometheus/usr/bin/promtool")
  [ -x "$PROMTOOL" ] && return 0
  command -v apt-get > /dev/null || return 1
  say "fetching promtool from Debian's package prometheus"
  fetch() { (cd "$OUT" && apt-get download -q prometheus && dpkg-deb -x prometheus_*.deb "$CACHE/prometheus") > /dev/null 2>&1; }
  # A fresh machine has no lists of packages yet.
  fetch || { apt_get update && fetch; }
}

# Prometheus' operator's kinds are no part of Kubernetes' schemas; `check monitors` reads them with their own types.
conform() {
  kubeconform -strict -summary -skip PodMonitor,ServiceMonitor,PrometheusRule,ClusterServiceVersion \
    -schema-location "$SCHEMAS/{{.Group}}/{{.ResourceKind}}_{{.ResourceAPIVersion}}.json" "$@"
}

check_chart() {
  local values name chart=charts/sofia-phone
  for values in "$chart"/ci/*-values.yaml; do
    name=$(basename "$values" -values.yaml)
    helm lint --strict --quiet "$chart" --values "$values"
    helm template "$name" "$chart" --namespace sofia-phone-system --values "$values" > "$OUT/$name.yaml"
    say "chart with $name: $(conform "$OUT/$name.yaml")"
  done
  "$CHECK" definition "$OUT/default.yaml" crds/voicetrunk.yaml
  "$CHECK" monitors "$OUT/everything.yaml" "$OUT/namespaced.yaml"
  refused "a misspelt value" helm template x "$chart" --set replicsa=3
  refused "a label that selects the operator's pods" helm template x "$chart" --set 'podLabels.app\.kubernetes\.io/instance=other'
  refused "rights in one namespace that is not named" helm template x "$chart" --set rbac.namespaceOnly=true
  if grep -q 'kind: Cluster' "$OUT/bare-rights.yaml"; then die "rbac.namespaceOnly asks for rights in the cluster"; fi
  if grep -q 'resources: null' "$OUT/bare-rights.yaml"; then die "resources that are left out are rendered"; fi
  grep -q 'name: sofia-phone-test' "$OUT/bare-rights.yaml" || die "helm test is not let in where metricsFrom says who is"
  same_names
  refused "a ServiceAccount without a name" helm template x "$chart" --set serviceAccount.create=false
  helm package "$chart" --destination "$OUT" > /dev/null
  tar -tzf "$OUT"/sofia-phone-*.tgz | grep -q '^sofia-phone/files/voicetrunk.yaml$' || die "the package lacks the CustomResourceDefinition"
}

# Two releases of one name in two namespaces share nothing that belongs to no namespace, but for the definition.
same_names() {
  local team
  for team in a b; do
    helm template sp charts/sofia-phone --namespace "team-$team" --set crds.install=false \
      | awk '/^kind: Cluster/ { cluster = 1 } cluster && /^  name:/ { print $2; cluster = 0 }' > "$OUT/cluster-names-$team"
  done
  [ -s "$OUT/cluster-names-a" ] || die "no names of ClusterRoles were found"
  if grep -qxFf "$OUT/cluster-names-a" "$OUT/cluster-names-b"; then die "two releases of one name collide"; fi
}

# same BASE HELM'S ARGUMENT…
same() {
  "$CHECK" kustomize "$1" > "$OUT/kustomized.yaml"
  helm template sofia-phone charts/sofia-phone --namespace sofia-phone-system --skip-tests "${@:2}" > "$OUT/rendered.yaml"
  "$CHECK" same "$OUT/kustomized.yaml" "$OUT/rendered.yaml" || die "$1 is not what the chart makes"
}

check_bases() {
  local base file
  # `config` is what render.sh makes of the chart, and what kustomize makes of `config` is what helm makes of the chart.
  config/render.sh "$OUT/rendered"
  (cd "$OUT/rendered" && find . -type f) | while read -r file; do
    diff -u "config/$file" "$OUT/rendered/$file" || die "config/${file#./} is stale: run config/render.sh"
  done
  # A component is nothing without something that it adds to.
  mkdir "$OUT/custom-metrics"
  printf 'resources: [%s]\ncomponents: [%s]\n' \
    "$(realpath --relative-to="$OUT/custom-metrics" config/default)" "$(realpath --relative-to="$OUT/custom-metrics" config/custom-metrics)" \
    > "$OUT/custom-metrics/kustomization.yaml"
  for base in config/crd config/rbac config/manager config/default config/samples "$OUT/custom-metrics"; do
    "$CHECK" kustomize "$base" > "$OUT/base.yaml"
    say "$(basename "$base"): $(conform "$OUT/base.yaml")"
  done
  same config/default
  same "$OUT/custom-metrics" --set customMetrics.enabled=true
  say "samples: $(conform config/samples/minimal.yaml config/samples/ollama.yaml config/samples/production.yaml config/samples/external-freeswitch.yaml)"
  sed 's/deadlineSeconds/deadlineSecond/' config/samples/production.yaml > "$OUT/misspelt.yaml"
  refused "a misspelt field of a VoiceTrunk" conform "$OUT/misspelt.yaml"
  sed 's/readOnlyRootFilesystem/readOnlyRootFileSystem/' "$OUT/default.yaml" > "$OUT/misspelt.yaml"
  refused "a misspelt field of a Deployment" conform "$OUT/misspelt.yaml"
}

# What .dockerignore lets through is a workspace to cargo: no manifest and no target of a member is missing.
check_context() {
  local context=$OUT/context
  mkdir "$context"
  git ls-files -z | tar --null --files-from=- -cf - | tar -xf - -C "$context"
  (
    cd "$context"
    sed -n 's/^!//p' .dockerignore > "$OUT/let-in"
    find . -mindepth 1 -maxdepth 1 -printf '%f\n' | grep -vxFf "$OUT/let-in" | xargs rm -rf
    { grep -v '^[#!*]' "$OLDPWD/.dockerignore"; find . -type d -name tests -printf '%P\n'; } | xargs rm -rf
    cargo metadata --locked --offline --no-deps --format-version 1 > "$OUT/metadata"
  ) || die ".dockerignore leaves out what cargo needs"
  grep -q '"name":"sofia-operator"' "$OUT/metadata" || die "the images' context has no operator"
}

# The chart's README and the bundle for Operator Lifecycle Manager: `check.sh --write` writes them.
write_package() {
  helm template sofia-phone charts/sofia-phone --namespace sofia-phone-system --skip-tests > "$OUT/package.yaml"
  "$CHECK" package . "$OUT/package.yaml" "$1"
}

check_package() {
  write_package "$OUT/package"
  # What is there and would not be written is stale as well.
  local file
  for file in config/olm charts/sofia-phone/README.md; do
    diff -ru "$file" "$OUT/package/$file" || die "$file is stale: run charts/check.sh --write"
  done
  say "bundle: $(conform "$OUT/package/config/olm/manifests")"
}

# What a release would do: each image with its contents, its origin and a signature, and a chart that helm itself takes for signed.
check_release() {
  local name key=releases@example.com keys=$OUT/gnupg
  DRY_RUN=1 ./release.sh registry.example.com/phones > "$OUT/release"
  for name in operator dataplane bundle; do
    grep -- "--tag registry.example.com/phones/$name:" "$OUT/release" | grep -e --sbom=true | grep -qe --provenance=mode=max || die "$name is published without SBOM or provenance"
    grep -q "cosign sign --yes registry.example.com/phones/$name@sha256:" "$OUT/release" || die "$name is not signed by its digest"
  done
  grep -q 'helm package .* --sign ' "$OUT/release" || die "the chart is not signed"
  refused "a release of a commit without its tag" env -u DRY_RUN -u CHART_KEY -u CHART_KEYRING ./release.sh registry.example.com/phones
  if ! command -v gpg > /dev/null; then
    [ -z "${CI:-}" ] || apt_install gnupg
    command -v gpg > /dev/null || { say "skipped: gpg is not here: the chart's signature is untried"; return; }
  fi
  mkdir -m 700 "$keys"
  gpg --homedir "$keys" --batch --quiet --passphrase '' --quick-generate-key "$key" rsa2048 sign never 2> /dev/null
  gpg --homedir "$keys" --batch --quiet --export-secret-keys --output "$OUT/keys.gpg"
  helm package charts/sofia-phone --destination "$OUT/signed" --sign --key "$key" --keyring "$OUT/keys.gpg" > /dev/null
  helm verify "$OUT"/signed/sofia-phone-*.tgz --keyring "$OUT/keys.gpg" > /dev/null
  printf x >> "$OUT"/signed/sofia-phone-*.tgz
  refused "a chart that was changed after it was signed" helm verify "$OUT"/signed/sofia-phone-*.tgz --keyring "$OUT/keys.gpg"
  gpgconf --homedir "$keys" --kill all
}

check_compose() {
  "$CHECK" compose config/compose/compose.yaml
  if docker compose version > /dev/null 2>&1; then docker compose -f config/compose/compose.yaml --profile monitoring config --quiet; fi
}

check_prometheus() {
  "$CHECK" repository . "$OUT"
  if find_promtool; then
    "$PROMTOOL" check rules config/prometheus/alerts.yaml "$OUT/dashboard-rules.yaml" > "$OUT/promtool" || { cat "$OUT/promtool"; die "promtool refuses the rules"; }
    "$PROMTOOL" check config --syntax-only config/compose/prometheus.yaml > /dev/null
    "$PROMTOOL" test rules config/prometheus/alerts.test.yaml
  else
    say "skipped: promtool is not here and can't be fetched: the alerts' expressions are unchecked"
    [ -z "${CI:-}" ] || die "in CI nothing may be skipped"
  fi
}

PATH=$(e2e/cluster/cluster.sh tools):$PATH
build_check
make_schemas
check_chart
if [ "${1:-}" = --write ]; then
  config/render.sh
  rm -rf config/olm
  write_package .
  exit
fi
check_bases
check_package
check_release
check_context
check_compose
check_prometheus
say "all of it holds"
