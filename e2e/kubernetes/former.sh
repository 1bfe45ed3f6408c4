#!/usr/bin/env bash
# Builds the operator and the data plane of a former commit, for the upgrade from it: `former.sh REF FOLDER` puts sofia-operator, sofia-dataplane and the
# chart as it was into FOLDER. Exits with 3, and says why, where the commit is not in this clone. Takes minutes. It compiles into this checkout's target folder, where
# most of the dependencies are already. Cargo takes the two trees' own crates for the same ones and compiles them anew for each, so this checkout's
# programs are built afterwards.
set -euo pipefail
ref=${1:?expected a commit, a tag or a branch} folder=${2:?expected a folder}
cd "$(dirname "$0")/../.."
CARGO=${CARGO:-cargo}
say() { printf 'former: %s\n' "$*" >&2; }

if ! commit=$(git rev-parse --quiet --verify "$ref^{commit}" 2> /dev/null); then
  say "this clone has no $ref$([ "$(git rev-parse --is-shallow-repository)" = false ] || echo ': it is a shallow one (git fetch --unshallow --tags)')"
  exit 3
fi
target=$("$CARGO" metadata --format-version 1 --no-deps | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')
tree=$target/former
# shellcheck disable=SC2329 # The trap calls it.
finish() {
  rm -rf "$tree"
  git worktree prune
}
trap finish EXIT
trap 'exit 130' INT TERM
finish
git worktree add --quiet --detach "$tree" "$commit"
say "building $(git log -1 --format='%h (%s)' "$commit")"
mkdir -p "$folder"
(cd "$tree" && CARGO_TARGET_DIR=$target "$CARGO" build --locked --package sofia-operator --package sofia-dataplane --bins) >&2
cp "$target/debug/sofia-operator" "$target/debug/sofia-dataplane" "$folder/"
rm -rf "$folder/chart"
cp -r "$tree/charts/sofia-phone" "$folder/chart"
