# shellcheck shell=bash
# Installs from Debian's packages what a machine lacks. Touches nothing when nothing is missing.

# shellcheck source-path=SCRIPTDIR source=../../apt.sh
. "$CLUSTER_SOURCE/../apt.sh"

# packages_need NEEDED:PACKAGE…: NEEDED is a command or, beginning with a slash, a file.
packages_need() {
  local pair missing=()
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
  apt_install "${missing[@]}" || die "apt-get could not install ${missing[*]}"
}
