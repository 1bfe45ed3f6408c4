#!/usr/bin/env bash
# Makes a container image, as an archive that `docker load`, `kind load image-archive` and `ctr images import` read, with no container engine.
# The same files give the same bytes.
#
#   image.sh OUT.tar NAME:TAG [OPTION…] FILE=/path/in/image… --entrypoint PROGRAM [ARGUMENT…]
#
#   --base debian    (default) with each program the libraries that it is linked to on this machine, the name service's, and the public
#                    certificate authorities; runs as user 65532, as the image of Dockerfile.dataplane does
#   --base scratch   the files and nothing else
#   --shell          busybox, as /bin/sh and the usual commands: for hooks that are scripts
#   --user UID:GID   instead of 65532:65532 (scratch: 0:0)
#   --env NAME=VALUE
#   --strip          without debug sections: a debug build is a fraction of its size and loads that much sooner
set -euo pipefail
umask 022

CLUSTER_SOURCE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source-path=SCRIPTDIR source=lib/common.sh
. "$CLUSTER_SOURCE/lib/common.sh"
# shellcheck source-path=SCRIPTDIR source=lib/packages.sh
. "$CLUSTER_SOURCE/lib/packages.sh"

usage() { sed -n '5,/^set/{/^#/s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}" >&2; exit 64; }

# json_strings STRING…: a JSON array of them.
json_strings() {
  local string separator="" backslash=$'\\'
  printf '['
  for string in "$@"; do
    [[ $string != *[[:cntrl:]]* ]] || die "control characters have no place in an image's configuration: ${string@Q}"
    string=${string//"$backslash"/"$backslash$backslash"}
    printf '%s"%s"' "$separator" "${string//\"/"$backslash\""}"
    separator=,
  done
  printf ']'
}

add_libraries() {
  local library
  # Statically linked programs have none, and ldd says so with an error.
  for library in $({ ldd "$1" 2> /dev/null || true; } | grep -o '/[^ ]*'); do
    [ -e "$root$library" ] || install -D -m 755 "$library" "$root$library"
  done
}

add_file() {
  local source=${1%%=*} target=${1#*=}
  [[ $1 == *=/* ]] || die "expected FILE=/path/in/image, got '$1'"
  [ -f "$source" ] || die "no file $source"
  install -D -m "$(stat -Lc %a "$source")" "$source" "$root$target"
  if [ "$base" = debian ]; then add_libraries "$source"; fi
  if [ "$strip" = yes ] && [ -x "$source" ]; then strip --strip-debug "$root$target" 2> /dev/null || true; fi
}

add_base() {
  local library
  # Opened by name, so that no list of libraries tells of them; newer C libraries have them inside.
  for library in /lib/*-linux-gnu/libnss_{dns,files}.so.2; do
    [ -e "$library" ] || continue
    install -D -m 755 "$library" "$root$library"
    add_libraries "$library"
  done
  packages_need /etc/ssl/certs/ca-certificates.crt:ca-certificates
  install -D -m 644 /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/ca-certificates.crt"
  printf 'hosts: files dns\n' > "$root/etc/nsswitch.conf"
  printf 'root:x:0:0:root:/:/sbin/nologin\nsofia:x:65532:65532:Sofia Phone:/:/sbin/nologin\n' > "$root/etc/passwd"
  printf 'root:x:0:\nsofia:x:65532:\n' > "$root/etc/group"
  mkdir -m 1777 "$root/tmp"
}

add_shell() {
  local applet
  # Not busybox-static: linked to the C library in the image, it looks names up as the programs beside it do.
  packages_need busybox:busybox
  mkdir -p "$root/bin"
  install -m 755 "$(command -v busybox)" "$root/bin/busybox"
  add_libraries "$(command -v busybox)"
  for applet in $(busybox --list); do
    [ "$applet" = busybox ] || ln -s busybox "$root/bin/$applet"
  done
}

[ $# -ge 2 ] || usage
out=$1 name=$2
shift 2
base=debian shell=no strip=no user="" files=() entrypoint=() environment=(PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin)
while [ $# -gt 0 ]; do
  case $1 in
    --base) base=${2:?} && shift 2 ;;
    --user) user=${2:?} && shift 2 ;;
    --env) environment+=("${2:?}") && shift 2 ;;
    --shell) shell=yes && shift ;;
    --strip) strip=yes && shift ;;
    --entrypoint) shift && entrypoint=("$@") && break ;;
    -*) usage ;;
    *) files+=("$1") && shift ;;
  esac
done
[[ $name == *:* ]] || die "expected NAME:TAG, got '$name'"
[ ${#entrypoint[@]} -gt 0 ] || die "an image needs --entrypoint"
case $base in debian) user=${user:-65532:65532} ;; scratch) user=${user:-0:0} ;; *) die "--base is debian or scratch, not '$base'" ;; esac
architecture=$(uname -m)
case $architecture in x86_64) architecture=amd64 ;; aarch64) architecture=arm64 ;; esac

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/root
mkdir "$root"
for file in "${files[@]}"; do add_file "$file"; done
if [ "$base" = debian ]; then add_base; fi
if [ "$shell" = yes ]; then add_shell; fi

archive() { tar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner "$@"; }
archive -C "$root" -cf "$work/layer.tar" .
layer=$(sha256sum "$work/layer.tar" | cut -d' ' -f1)
printf '{"architecture":"%s","os":"linux","created":"1970-01-01T00:00:00Z","config":{"User":"%s","Env":%s,"Entrypoint":%s,"WorkingDir":"/"},"rootfs":{"type":"layers","diff_ids":["sha256:%s"]},"history":[{"created":"1970-01-01T00:00:00Z","created_by":"e2e/cluster/image.sh"}]}' \
  "$architecture" "$user" "$(json_strings "${environment[@]}")" "$(json_strings "${entrypoint[@]}")" "$layer" > "$work/config.json"
config=$(sha256sum "$work/config.json" | cut -d' ' -f1)
mv "$work/config.json" "$work/$config.json"
printf '[{"Config":"%s.json","RepoTags":%s,"Layers":["layer.tar"]}]' "$config" "$(json_strings "$name")" > "$work/manifest.json"
archive -C "$work" -cf "$work/image.tar" manifest.json "$config.json" layer.tar
mkdir -p "$(dirname "$out")"
mv -f "$work/image.tar" "$out"
