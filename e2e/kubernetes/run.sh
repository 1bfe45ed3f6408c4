#!/usr/bin/env bash
# `make e2e`: builds the product and its images, gets a cluster (see ../cluster/README.md), installs the chart with helm as a user would, runs
# the scenarios and removes everything again, also when it is interrupted. Arguments go to the scenarios: `run.sh rollout` runs one.
# With E2E_USE_CURRENT=1 it takes the cluster of the current kubeconfig, and E2E_IMAGES names the images there: see README.md.
# With E2E_FORMER=COMMIT the upgrade begins with the operator and the data plane of that commit, which are built first: `make e2e-upgrade`.
# After a failure the logs of every component and pod are kept, and their folder is the last line printed.
set -euo pipefail

SUITE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
REPOSITORY=$(cd "$SUITE/../.." && pwd)
CLUSTER=$SUITE/../cluster/cluster.sh
IMAGE=$SUITE/../cluster/image.sh
CARGO=${CARGO:-cargo}
TAG=${E2E_TAG:-e2e}
IMAGES=${E2E_IMAGES:-localhost/sofia-phone}
LOGS=${SOFIA_E2E_LOGS:-$REPOSITORY/e2e-logs}
SOFIA_E2E_DIR=${SOFIA_E2E_DIR:-$(mktemp -d /tmp/sofia-e2e.XXXXXX)/cluster}
export SOFIA_E2E_DIR
current() { [ "${E2E_USE_CURRENT:-}" = 1 ]; }
# Whoever made the cluster may harm it.
current || export E2E_CLUSTER=$CLUSTER

step() { printf '\n-- %s (%s s so far)\n' "$1" "$SECONDS"; }
kubectl() { "$CLUSTER" kubectl "$@"; }

finish() {
  local status=$?
  trap '' INT TERM
  trap - EXIT
  if [ "$status" != 0 ] && [ -n "$STARTED" ]; then "$CLUSTER" logs "$LOGS" || true; fi
  if [ "${E2E_KEEP:-}" = 1 ]; then
    echo "the cluster is kept: SOFIA_E2E_DIR=$SOFIA_E2E_DIR $CLUSTER kubectl get pods -A"
  else
    [ -z "$INSTALLED" ] || remove_from_current || true
    "$CLUSTER" down || status=1
    rm -rf "${SOFIA_E2E_DIR%/cluster}/images" "$VALUES" "$PREVIOUS"
    rmdir "${SOFIA_E2E_DIR%/cluster}" 2> /dev/null || true
  fi
  if [ "$status" != 0 ] && [ -n "$STARTED" ]; then
    # Once more: above stands what all the scenarios said, and whoever reads an excerpt of that sees its end.
    grep -A1 -E '^test .* FAILED$|panicked at' "$SAID" | cut -c1-2000 || true
    echo "failed; the logs are in $LOGS"
  fi
  rm -f "$SAID"
  exit "$status"
}

# A cluster that is not ours stays as it was.
remove_from_current() {
  current || return 0
  kubectl delete namespace --selector "$OURS" --timeout=300s
  "$CLUSTER" exec helm --namespace sofia-phone uninstall sofia-phone --wait
  kubectl delete namespace sofia-phone --ignore-not-found
  kubectl delete crd voicetrunks.sofia-phone.io --ignore-not-found
}

# What the scenarios' namespaces are labelled with.
OURS=app.kubernetes.io/part-of=sofia-phone-e2e
STARTED=''
INSTALLED=''
VALUES=$(mktemp /tmp/sofia-e2e-values.XXXXXX)
PREVIOUS=$(mktemp /tmp/sofia-e2e-previous.XXXXXX)
# What the scenarios said.
SAID=$(mktemp /tmp/sofia-e2e-said.XXXXXX)
trap finish EXIT
trap 'exit 130' INT TERM

cd "$REPOSITORY"
# A former release that is one. Without it the upgrade begins with the former release's manifests and today's operator, and says so.
former=
if [ -n "${E2E_FORMER:-}" ] && [ -z "${E2E_IMAGES:-}" ]; then
  step "the former release: $E2E_FORMER"
  former=${SOFIA_E2E_DIR%/cluster}/images/former
  CARGO=$CARGO "$SUITE/former.sh" "$E2E_FORMER" "$former" || { [ $? = 3 ] || exit 1; former=; }
fi
[ -n "$former" ] || echo "the upgrade begins with the former release's manifests and today's operator: E2E_FORMER=COMMIT has that one built"

step 'building the product'
# As `make test` builds them, so that nothing is compiled twice.
"$CARGO" build --workspace --locked --bins
"$CARGO" test --workspace --locked --test scenarios --no-run
built=$("$CARGO" metadata --format-version 1 --no-deps | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')/debug

# Without a name for images that are there, they are made here and put on the nodes.
made=()
if [ -z "${E2E_IMAGES:-}" ]; then
  step 'images'
  images=${SOFIA_E2E_DIR%/cluster}/images
  mkdir -p "$images"
  "$IMAGE" "$images/operator.tar" "$IMAGES/operator:$TAG" --strip "$built/sofia-operator=/usr/local/bin/sofia-operator" \
    --entrypoint /usr/local/bin/sofia-operator
  for tag in "$TAG" "$TAG-next"; do
    "$IMAGE" "$images/dataplane-$tag.tar" "$IMAGES/dataplane:$tag" --strip "$built/sofia-dataplane=/usr/local/bin/sofia-dataplane" \
      --entrypoint /usr/local/bin/sofia-dataplane
  done
  if [ -n "$former" ]; then
    for program in operator dataplane; do
      "$IMAGE" "$images/$program-former.tar" "$IMAGES/$program:$TAG-former" --strip "$former/sofia-$program=/usr/local/bin/sofia-$program" \
        --entrypoint "/usr/local/bin/sofia-$program"
    done
  fi
  # The stand-in goes by the names of FreeSWITCH's own programs.
  "$IMAGE" "$images/switch.tar" "$IMAGES/switch:$TAG" --strip --shell "$built/switchsim=/usr/local/bin/freeswitch" \
    "$built/switchsim=/usr/local/bin/fs_cli" --entrypoint /usr/local/bin/freeswitch
  made=("$images"/*.tar)
fi

step 'a cluster'
STARTED=1
"$CLUSTER" up
[ ${#made[@]} = 0 ] || "$CLUSTER" load "${made[@]}"
kubectl wait --for=condition=Ready node --all --timeout=120s
kubectl get nodes -o wide
# The suite removes the resource at its end, and with it everybody's trunks.
if current && kubectl get crd voicetrunks.sofia-phone.io > /dev/null 2>&1; then
  echo "this cluster has VoiceTrunks already: take one without, this suite installs and removes them" >&2
  exit 1
fi
INSTALLED=1

step 'the chart'
cat > "$VALUES" <<VALUES
image: {repository: $IMAGES/operator, tag: $TAG, pullPolicy: IfNotPresent}
trunkImages: {dataPlane: "$IMAGES/dataplane:$TAG", freeSwitch: "$IMAGES/switch:$TAG"}
customMetrics: {enabled: true}
extraEnv:
- {name: SOFIA_OPERATOR_INTERVAL_SECONDS, value: "1"}
- {name: SOFIA_OPERATOR_STATUS_INTERVAL_SECONDS, value: "2"}
- {name: SOFIA_OPERATOR_LEASE_SECONDS, value: "6"}
- {name: SOFIA_OPERATOR_LEASE_RENEW_SECONDS, value: "4"}
- {name: SOFIA_OPERATOR_LEASE_RETRY_SECONDS, value: "1"}
VALUES
kubectl create namespace sofia-phone --dry-run=client -o yaml | kubectl apply -f - > /dev/null
"$CLUSTER" exec helm upgrade --install sofia-phone "$REPOSITORY/charts/sofia-phone" --namespace sofia-phone --values "$VALUES" --wait --timeout 180s

step 'the scenarios'
if [ -n "$former" ]; then
  "$CLUSTER" exec helm template sofia-phone "$former/chart" --namespace sofia-phone --skip-tests --values "$VALUES" \
    --set "image.tag=$TAG-former" --set "trunkImages.dataPlane=$IMAGES/dataplane:$TAG-former" > "$PREVIOUS"
  export E2E_FORMER_BUILT=1
else
  # Another name of the same data plane, so that a trunk that names none has its pods rolled.
  sed -e "s#localhost/sofia-phone/operator:e2e#$IMAGES/operator:$TAG#" -e "s#localhost/sofia-phone/dataplane:e2e#$IMAGES/dataplane:$TAG-next#" \
    -e "s#localhost/sofia-phone/switch:e2e#$IMAGES/switch:$TAG#" "$SUITE/previous.yaml" > "$PREVIOUS"
fi
export E2E_PREVIOUS=$PREVIOUS
export E2E_DATA_PLANE_IMAGE=$IMAGES/dataplane:$TAG E2E_DATA_PLANE_IMAGE_NEXT=$IMAGES/dataplane:$TAG-next
export E2E_SWITCH_IMAGE=$IMAGES/switch:$TAG E2E_KUBECTL=kubectl E2E_HELM=helm E2E_HELM_VALUES=$VALUES
[ "$(cat "$SOFIA_E2E_DIR/provider" 2> /dev/null)" != own ] || export E2E_OWN_NETWORK=1
scenarios() { "$CLUSTER" exec "$CARGO" test --workspace --locked --offline --test scenarios -- "$@" 2>&1 | tee -a "$SAID"; }
if [ $# -gt 0 ]; then
  scenarios --test-threads=1 --nocapture "$@"
else
  # Each has a namespace of its own, and most of their time is waiting. But some listen for gaps of milliseconds, and some take away
  # the operator or the API server from everybody.
  listening=(pod_killed rollout) disturbing=(operator_killed uninstalled upgrade)
  others=("${listening[@]}" "${disturbing[@]}")
  scenarios --test-threads=10 --show-output "${others[@]/#/--skip=}"
  scenarios --test-threads=4 --show-output "${listening[@]}"
  scenarios --test-threads=1 --show-output "${disturbing[@]}"
fi
step 'nothing of the scenarios is left'
kubectl wait --for=delete namespace --selector "$OURS" --timeout=180s
printf '\nall scenarios passed in %s s\n' "$SECONDS"
