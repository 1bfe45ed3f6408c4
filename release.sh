#!/usr/bin/env bash
# Builds, signs and publishes a release: docs/releasing.md. `release.sh REGISTRY` wants the tag of Cargo.toml's version on this commit and nothing
# uncommitted; with DRY_RUN=1 it wants neither and only prints what it would do.
#   CHART_KEY, CHART_KEYRING   name of the key that signs the chart, and the file with it, as `helm package --sign` takes them
#   COSIGN_KEY                 key that signs the images; left empty: cosign's keyless way
#   PLATFORMS                  linux/amd64,linux/arm64 when left out
set -euo pipefail
cd "$(dirname "$0")"
registry=${1:?expected a registry to publish to, such as registry.example.com/sofia-phone}
registry=${registry%/}
platforms=${PLATFORMS:-linux/amd64,linux/arm64}
version=$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"$/\1/p' Cargo.toml)
revision=$(git rev-parse HEAD)
die() { printf 'release: %s\n' "$*" >&2; exit 1; }
run() {
  printf '%q ' "$@"
  printf '\n'
  [ -n "${DRY_RUN:-}" ] || "$@"
}

[[ $version =~ ^[0-9]+\.[0-9]+\.[0-9]+ ]] || die "no version in Cargo.toml"
if [ -z "${DRY_RUN:-}" ]; then
  [ -z "$(git status --porcelain)" ] || die "something is not committed"
  git tag --points-at HEAD | grep -qxF "v$version" || die "this commit has no tag v$version"
  for tool in docker helm cosign; do command -v "$tool" > /dev/null || die "needs $tool"; done
  : "${CHART_KEY:?expected the name of the key that signs the chart}" "${CHART_KEYRING:?expected the file with that key}"
fi
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT

# sign REFERENCE: by digest, since a tag can be moved after it was signed.
sign() { run cosign sign --yes ${COSIGN_KEY:+--key "$COSIGN_KEY"} "$1"; }

# publish NAME DOCKERFILE [ARGUMENT…]: with a list of what is in it (SPDX) and how it was built (SLSA), for each platform.
publish() {
  local name=$1 dockerfile=$2 digest=sha256:of-what-was-built
  run docker buildx build --file "$dockerfile" --platform "$platforms" --tag "$registry/$name:$version" --build-arg "VERSION=$version" \
    --build-arg "REVISION=$revision" --sbom=true --provenance=mode=max --metadata-file "$out/$name.json" --push .
  if [ -z "${DRY_RUN:-}" ]; then
    digest=$(sed -n 's/.*"containerimage.digest": *"\(sha256:[0-9a-f]\{64\}\)".*/\1/p' "$out/$name.json")
    [ -n "$digest" ] || die "docker buildx does not say what $name's digest is"
  fi
  sign "$registry/$name@$digest"
}

publish operator Dockerfile.operator
publish dataplane Dockerfile.dataplane
publish bundle config/olm/Dockerfile

# The .prov beside the package is its signature; helm pushes both.
run helm package charts/sofia-phone --destination "$out" --sign --key "${CHART_KEY:-KEY}" --keyring "${CHART_KEYRING:-KEYRING}"
run helm verify "$out/sofia-phone-$version.tgz" --keyring "${CHART_KEYRING:-KEYRING}"
run helm push "$out/sofia-phone-$version.tgz" "oci://$registry/charts"
