# shellcheck shell=bash
# Installs from Debian's packages what a machine lacks. Touches nothing when nothing is missing.

# packages_need NEEDED:PACKAGE…: NEEDED is a command or, beginning with a slash, a file.
packages_need() {
  local pair log missing=()
  for pair in "$@"; do
    case $pair in
      /*) [ -e "${pair%%:*}" ] || missing+=("${pair#*:}") ;;
      *) command -v "${pair%%:*}" > /dev/null || missing+=("${pair#*:}") ;;
    esac
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  command -v apt-get > /dev/null || die "needs ${missing[*]} (Debian's names), and there is no apt-get here to install them"
  [ "$(id -u)" = 0 ] || die "needs ${missing[*]}; as root: apt-get install --no-install-recommends ${missing[*]}"
  say "installing ${missing[*]}"
  if ! log=$(apt-get update -q 2>&1 && DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends "${missing[@]}" 2>&1); then
    die "apt-get could not install ${missing[*]}: $log"
  fi
}
