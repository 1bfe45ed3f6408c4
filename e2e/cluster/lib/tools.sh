# shellcheck shell=bash
# Builds what no Debian package brings in the version that is wanted, from the Go modules in build/: their go.mod pins each version, their go.sum
# every source. Never resolves a version anew: a sum that does not fit is an error.

# -X flags that the projects' own release scripts would set: a chart's `kubeVersion` and an API server's version come from them.
tool_versions() {
  local major=${KUBERNETES_VERSION%%.*} minor=${KUBERNETES_VERSION#*.} package
  minor=${minor%%.*}
  case $1 in
    kubernetes)
      for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
        printf -- '-X %s.gitVersion=v%s ' "$package" "$KUBERNETES_VERSION"
        printf -- '-X %s.gitMajor=%s -X %s.gitMinor=%s ' "$package" "$major" "$package" "$minor"
      done ;;
    helm)
      printf -- '-X helm.sh/helm/v3/internal/version.version=v%s ' "$(pinned helm helm.sh/helm/v3)"
      for package in helm.sh/helm/v3/pkg/lint/rules helm.sh/helm/v3/pkg/chartutil; do
        printf -- '-X %s.k8sVersionMajor=%s -X %s.k8sVersionMinor=%s ' "$package" "$major" "$package" "$minor"
      done ;;
    kubeconform) printf -- '-X main.version=v%s ' "$(pinned kubeconform github.com/yannh/kubeconform)" ;;
  esac
}

# tool_packages MODULE [NAME]: the main packages that its go.mod names as tools, or the one of that name.
tool_packages() {
  sed -n 's/^tool \([^(]\)/\1/p; /^tool (/,/^)/s/^\t//p' "$CLUSTER_SOURCE/build/$1/go.mod" | grep "/${2:-[^/]*}\$"
}

# tool_build MODULE[:NAME]…: builds what each folder of build/ lists, or that one of it, unless the cache has it from the same sources and flags.
tool_build() {
  local wanted module flags stamp packages started
  mkdir -p "$CLUSTER_BIN"
  for wanted in "$@"; do
    module=${wanted%%:*}
    flags="-s -w $(tool_versions "$module")"
    stamp=$(cat "$CLUSTER_SOURCE/build/$module"/* - <<< "$flags" | sha256sum | cut -c1-16)
    (
      # Two runs that need the same thing: one builds, the other waits and finds it.
      flock 9
      [ "$(cat "$CLUSTER_BIN/.$wanted" 2> /dev/null)" != "$stamp" ] || exit 0
      command -v go > /dev/null || die "needs Go to build $wanted: https://go.dev/dl/ (from 1.21 on it fetches the version that is needed)"
      mapfile -t packages < <(tool_packages "$module" "${wanted:${#module}+1}")
      say "building $wanted (once; kept in $CLUSTER_BIN)"
      started=$SECONDS
      rm -rf "$CLUSTER_CACHE/building-$wanted" "$CLUSTER_BIN/.$wanted"
      mkdir "$CLUSTER_CACHE/building-$wanted"
      (
        cd "$CLUSTER_SOURCE/build/$module" && CGO_ENABLED=0 GOFLAGS=-mod=readonly nice -n 15 \
          go build -trimpath -buildvcs=false -ldflags "$flags" -o "$CLUSTER_CACHE/building-$wanted/" "${packages[@]}"
      ) || die "$wanted could not be built"
      mv -f "$CLUSTER_CACHE/building-$wanted"/* "$CLUSTER_BIN/"
      rmdir "$CLUSTER_CACHE/building-$wanted"
      echo "$stamp" > "$CLUSTER_BIN/.$wanted"
      say "built $wanted in $((SECONDS - started)) s"
    ) 9> "$CLUSTER_CACHE/.$wanted.lock"
  done
}
