#!/usr/bin/env bash
# `make e2e`: builds the product and its images, gets a cluster (see ../cluster/README.md), installs the chart with helm as a user would, runs
# the scenarios and removes everything again, also when it is interrupted. Arguments go to the scenarios: `run.sh rollout` runs one.
# After a failure the logs of every component and pod are kept, and their folder is the last line printed.
set -euo pipefail

SUITE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
REPOSITORY=$(cd "$SUITE/../.." && pwd)
CLUSTER=$SUITE/../cluster/cluster.sh
IMAGE=$SUITE/../cluster/image.sh
CARGO=${CARGO:-cargo}
TAG=e2e
LOGS=${SOFIA_E2E_LOGS:-$REPOSITORY/e2e-logs}
SOFIA_E2E_DIR=${SOFIA_E2E_DIR:-$(mktemp -d /tmp/sofia-e2e.XXXXXX)/cluster}
export SOFIA_E2E_DIR E2E_CLUSTER=$CLUSTER

step() { printf '\n-- %s (%s s so far)\n' "$1" "$SECONDS"; }
kubectl() { "$CLUSTER" kubectl "$@"; }

finish() {
  local status=$?
  trap '' INT TERM
  trap - EXIT
  if [ "$status" != 0 ]; then "$CLUSTER" logs "$LOGS" || true; fi
  if [ "${E2E_KEEP:-}" = 1 ]; then
    echo "the cluster is kept: SOFIA_E2E_DIR=$SOFIA_E2E_DIR $CLUSTER kubectl get pods -A"
  else
    remove_from_current || true
    "$CLUSTER" down || status=1
    rm -rf "${SOFIA_E2E_DIR%/cluster}/images" "$VALUES"
    rmdir "${SOFIA_E2E_DIR%/cluster}" 2> /dev/null || true
  fi
  [ "$status" = 0 ] || echo "failed; the logs are in $LOGS"
  exit "$status"
}

# A cluster that is not ours stays as it was.
remove_from_current() {
  [ "${E2E_USE_CURRENT:-}" = 1 ] || return 0
  "$CLUSTER" exec helm --namespace sofia-phone uninstall sofia-phone --wait
  kubectl delete namespace sofia-phone --ignore-not-found
  kubectl delete crd voicetrunks.sofia-phone.io --ignore-not-found
}

VALUES=$(mktemp /tmp/sofia-e2e-values.XXXXXX)
trap finish EXIT
trap 'exit 130' INT TERM

step 'building the product'
cd "$REPOSITORY"
# As `make test` builds them, so that nothing is compiled twice.
"$CARGO" build --workspace --locked --bins
"$CARGO" test --workspace --locked --test scenarios --no-run
built=$("$CARGO" metadata --format-version 1 --no-deps | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')/debug

step 'images'
images=${SOFIA_E2E_DIR%/cluster}/images
mkdir -p "$images"
"$IMAGE" "$images/operator.tar" "localhost/sofia-phone/operator:$TAG" --strip "$built/sofia-operator=/usr/local/bin/sofia-operator" \
  --entrypoint /usr/local/bin/sofia-operator
for tag in "$TAG" "$TAG-next"; do
  "$IMAGE" "$images/dataplane-$tag.tar" "localhost/sofia-phone/dataplane:$tag" --strip "$built/sofia-dataplane=/usr/local/bin/sofia-dataplane" \
    --entrypoint /usr/local/bin/sofia-dataplane
done
# The stand-in goes by the names of FreeSWITCH's own programs.
"$IMAGE" "$images/switch.tar" "localhost/sofia-phone/switch:$TAG" --strip --shell "$built/switchsim=/usr/local/bin/freeswitch" \
  "$built/switchsim=/usr/local/bin/fs_cli" --entrypoint /usr/local/bin/freeswitch

step 'a cluster'
"$CLUSTER" up
"$CLUSTER" load "$images"/*.tar
kubectl wait --for=condition=Ready node --all --timeout=120s
kubectl get nodes -o wide

step 'the chart'
cat > "$VALUES" <<VALUES
image: {repository: localhost/sofia-phone/operator, tag: $TAG, pullPolicy: IfNotPresent}
trunkImages: {dataPlane: "localhost/sofia-phone/dataplane:$TAG", freeSwitch: "localhost/sofia-phone/switch:$TAG"}
customMetrics: {enabled: true}
extraEnv: [{name: SOFIA_OPERATOR_INTERVAL_SECONDS, value: "1"}, {name: SOFIA_OPERATOR_STATUS_INTERVAL_SECONDS, value: "2"}]
VALUES
kubectl create namespace sofia-phone --dry-run=client -o yaml | kubectl apply -f - > /dev/null
"$CLUSTER" exec helm upgrade --install sofia-phone "$REPOSITORY/charts/sofia-phone" --namespace sofia-phone --values "$VALUES" --wait --timeout 180s

step 'the scenarios'
export E2E_DATA_PLANE_IMAGE=localhost/sofia-phone/dataplane:$TAG E2E_DATA_PLANE_IMAGE_NEXT=localhost/sofia-phone/dataplane:$TAG-next
export E2E_SWITCH_IMAGE=localhost/sofia-phone/switch:$TAG E2E_KUBECTL=kubectl E2E_HELM=helm E2E_HELM_VALUES=$VALUES
[ "$(cat "$SOFIA_E2E_DIR/provider" 2> /dev/null)" != own ] || export E2E_OWN_NETWORK=1
"$CLUSTER" exec "$CARGO" test --workspace --locked --offline --test scenarios -- --test-threads=1 --nocapture "$@"
printf '\nall scenarios passed in %s s\n' "$SECONDS"
