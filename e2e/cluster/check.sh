#!/usr/bin/env bash
# Tells whether a cluster that is up does what the end-to-end suite builds on: pods on two nodes, names, Services, exec, logs, proxies, rolling
# updates, drains, autoscaling objects, aggregated APIs, and an API server that can be restarted. Leaves the cluster as it was.
# A cluster that cannot be loaded needs CHECK_IMAGE and CHECK_IMAGE_2: any two images with busybox in them.
set -euo pipefail

CLUSTER_SOURCE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source-path=SCRIPTDIR source=lib/common.sh
. "$CLUSTER_SOURCE/lib/common.sh"

NAMESPACE=cluster-check
APISERVICE=v1.cluster-check.example.com
# What holds, and how long it took since the one before.
passed() {
  local now=${EPOCHREALTIME/[.,]/}
  printf '%6d ms  %s\n' $(((now - mark) / 1000)) "$*"
  mark=$now
}
cluster() { "$CLUSTER_SOURCE/cluster.sh" "$@"; }
kubectl() { cluster kubectl "$@"; }
check() { kubectl -n "$NAMESPACE" "$@"; }
# Debian's busybox dies of wget's own -T, hence `timeout`.
in_pod() { check exec "$1" -- /bin/busybox "${@:2}"; }
pods() { check get pods -l app=check --field-selector=status.phase=Running -o jsonpath="{range .items[*]}{$1}{'\n'}{end}"; }
expect() { [ "$2" = "$3" ] || die "$1: expected '$3', got '$2'"; }

finish() {
  kubectl uncordon "$second" > /dev/null 2>&1 || true
  kubectl delete apiservice "$APISERVICE" --ignore-not-found > /dev/null 2>&1 || true
  kubectl delete namespace "$NAMESPACE" --ignore-not-found --timeout=60s > /dev/null 2>&1 || true
  rm -rf "$work"
}

images() {
  local number
  for number in 1 2; do
    "$CLUSTER_SOURCE/image.sh" "$work/$number.tar" "localhost/cluster-check:$number" --shell \
      --env "NUMBER=$number" --entrypoint /bin/busybox sh
  done
  cluster load "$work/1.tar" "$work/2.tar"
}

workload() {
  cat << YAML
apiVersion: apps/v1
kind: Deployment
metadata: {name: check}
spec:
  replicas: 2
  selector: {matchLabels: {app: check}}
  template:
    metadata: {labels: {app: check}}
    spec:
      terminationGracePeriodSeconds: 1
      securityContext: {runAsNonRoot: true, runAsUser: 65532, seccompProfile: {type: RuntimeDefault}}
      topologySpreadConstraints:
      - {maxSkew: 1, topologyKey: kubernetes.io/hostname, whenUnsatisfiable: ScheduleAnyway, labelSelector: {matchLabels: {app: check}}}
      containers:
      - name: web
        image: $image_1
        imagePullPolicy: IfNotPresent
        command: [/bin/busybox, sh, -c, 'echo serving; hostname > /www/index.html; exec busybox httpd -f -p 8080 -h /www']
        readinessProbe: {httpGet: {path: /, port: 8080}, periodSeconds: 1}
        resources: {requests: {cpu: 10m, memory: 16Mi}, limits: {memory: 64Mi}}
        securityContext: {allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {drop: [ALL]}}
        volumeMounts: [{name: www, mountPath: /www}]
      volumes: [{name: www, emptyDir: {}}]
---
apiVersion: v1
kind: Service
metadata: {name: check}
spec: {selector: {app: check}, ports: [{port: 80, targetPort: 8080}]}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: check}
spec: {minAvailable: 1, selector: {matchLabels: {app: check}}}
YAML
}

registrations() {
  cat << YAML
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: check}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: check}
  minReplicas: 2
  maxReplicas: 3
  metrics: [{type: Pods, pods: {metric: {name: calls}, target: {type: AverageValue, averageValue: "10"}}}]
---
apiVersion: apiregistration.k8s.io/v1
kind: APIService
metadata: {name: $APISERVICE}
spec:
  group: cluster-check.example.com
  version: v1
  groupPriorityMinimum: 100
  versionPriority: 100
  insecureSkipTLSVerify: true
  service: {namespace: $NAMESPACE, name: check, port: 80}
YAML
}

privileged_pod() {
  cat << YAML
apiVersion: v1
kind: Pod
metadata: {name: privileged}
spec: {containers: [{name: c, image: $image_1, securityContext: {privileged: true}}]}
YAML
}

# both_pods_answer POD ADDRESS
both_pods_answer() {
  local heard
  # shellcheck disable=SC2016 # expanded in the pod
  heard=$(in_pod "$1" sh -c 'for i in $(seq 20); do timeout 5 wget -q -O - "$0" || exit 1; done' "$2" | sort -u)
  [ "$heard" = "$(pods .metadata.name | sort)" ] || { echo "heard: $heard"; return 1; }
}

# The aggregator has asked our pod, which speaks no TLS: it tells of a failed discovery, not of a Service that is not there.
aggregator_asked() { kubectl get apiservice "$APISERVICE" -o jsonpath='{.status.conditions[?(@.type=="Available")].reason}' | grep -x FailedDiscoveryCheck; }
no_pod_on_second() { ! pods .spec.nodeName | grep -qx "$second"; }
only_the_new_image() { [ "$(pods '.spec.containers[0].image' | sort -u)" = "$image_2" ]; }
two_ready() { [ "$(check get deployment check -o jsonpath='{.status.readyReplicas}')" = 2 ]; }

port_forward() {
  # shellcheck disable=SC2016 # expanded by the inner shell
  cluster exec bash -c 'set -e; kubectl -n "$0" port-forward "pod/$1" 18080:8080 > /dev/null & forward=$!; trap "kill $forward" EXIT
    for _ in $(seq 50); do if { exec 3<> /dev/tcp/127.0.0.1/18080; } 2> /dev/null; then break; fi; sleep 0.1; done
    printf "GET / HTTP/1.0\r\n\r\n" >&3; tail -n 1 <&3' "$NAMESPACE" "$1"
}

mark=${EPOCHREALTIME/[.,]/}
work=$(mktemp -d)
mapfile -t nodes < <(kubectl get nodes -l '!node-role.kubernetes.io/control-plane' -o jsonpath="{range .items[*]}{.metadata.name}{'\n'}{end}")
[ ${#nodes[@]} -ge 2 ] || die "needs two nodes for pods, found ${#nodes[@]}"
second=${nodes[1]}
trap finish EXIT
trap 'exit 130' INT TERM
image_1=${CHECK_IMAGE:-localhost/cluster-check:1}
image_2=${CHECK_IMAGE_2:-localhost/cluster-check:2}
[ -n "${CHECK_IMAGE:-}" ] || images
passed 'two images made and loaded into every node'

kubectl create namespace "$NAMESPACE" > /dev/null
kubectl label namespace "$NAMESPACE" pod-security.kubernetes.io/enforce=restricted > /dev/null
until_ok 20 'the default service account' check get serviceaccount default
if refusal=$(privileged_pod | check apply -f - 2>&1); then die 'PodSecurity admission let a privileged pod in'; fi
grep -q 'violates PodSecurity' <<< "$refusal" || die "refused, but not by PodSecurity admission: $refusal"
passed 'PodSecurity admission refuses a privileged pod'

workload | check apply -f - > /dev/null
check rollout status deployment/check --timeout=60s > /dev/null
expect 'nodes with a pod' "$(pods .spec.nodeName | sort -u | wc -l)" 2
passed 'two restricted pods are ready, one on each node'

mapfile -t names < <(pods .metadata.name)
mapfile -t addresses < <(pods .status.podIP)
until_ok 20 'both pods behind the Service' both_pods_answer "${names[0]}" http://check/
until_ok 20 'both pods behind the Service' both_pods_answer "${names[1]}" "http://check.$NAMESPACE.svc.cluster.local/"
passed 'the Service, by short and by full name, reaches both pods from both nodes'
expect 'the other pod' "$(in_pod "${names[0]}" timeout 5 wget -q -O - "http://${addresses[1]}:8080/")" "${names[1]}"
expect 'the other pod' "$(in_pod "${names[1]}" timeout 5 wget -q -O - "http://${addresses[0]}:8080/")" "${names[0]}"
expect 'the client of a pod' "$(in_pod "${names[0]}" hostname -i)" "${addresses[0]}"
passed 'pods reach each other over the nodes'
expect 'logs' "$(check logs "${names[1]}")" serving
expect 'the API proxy' "$(kubectl get --raw "/api/v1/namespaces/$NAMESPACE/pods/${names[1]}:8080/proxy/")" "${names[1]}"
expect 'port-forward' "$(port_forward "${names[0]}")" "${names[0]}"
passed 'exec, logs, the API proxy of pods, port-forward'

registrations | check apply -f - > /dev/null
until_ok 30 'an answer of the aggregator' aggregator_asked
kubectl delete apiservice "$APISERVICE" > /dev/null
passed 'a HorizontalPodAutoscaler and an APIService are taken, and the aggregator asks our pod'
check delete horizontalpodautoscaler check > /dev/null

check set image deployment/check "web=$image_2" > /dev/null
check rollout status deployment/check --timeout=60s > /dev/null
until_ok 20 'pods of the new image alone' only_the_new_image
passed 'a rolling update'

kubectl drain "$second" --ignore-daemonsets --delete-emptydir-data --timeout=60s > /dev/null 2>&1
until_ok 20 "$second without pods" no_pod_on_second
until_ok 20 'two ready pods on the other node' two_ready
kubectl uncordon "$second" > /dev/null
passed "$second was drained, its pod runs elsewhere"

if [ "${E2E_USE_CURRENT:-}" != 1 ]; then
  cluster restart apiserver 2> /dev/null
  until_ok 30 'two ready pods' two_ready
  passed 'the API server was restarted'
fi
