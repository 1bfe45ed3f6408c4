# shellcheck shell=bash
# apt-get for the scripts that install what a machine lacks. Sourced; installs nothing by itself.

# How long another apt-get or dpkg is waited for, in seconds: about what an installation of many packages takes.
APT_PATIENCE_SECONDS=${APT_PATIENCE_SECONDS:-600}

# apt_get ARGUMENT…: runs it as root, by sudo where need be, and says nothing when it succeeds. While another one is at work it waits and
# says so: DPkg::Lock::Timeout covers dpkg's lock alone, and those on the lists and on the archives make apt-get fail at once.
apt_get() {
  local said sudo="" told="" deadline=$((SECONDS + APT_PATIENCE_SECONDS))
  [ "$(id -u)" = 0 ] || sudo="sudo -n"
  # Word by word: no sudo is no word. In English, since what it says is read here.
  until said=$($sudo env LC_ALL=C DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=5 "$@" 2>&1); do
    case $said in
      *'Could not get lock'* | *'Unable to lock'* | *'Unable to acquire the dpkg'*) ;;
      *) printf 'apt-get %s: %s\n' "$*" "$said" >&2; return 1 ;;
    esac
    if [ "$SECONDS" -ge "$deadline" ]; then
      printf 'apt-get %s: still locked after %s s: %s\n' "$*" "$APT_PATIENCE_SECONDS" "$said" >&2
      return 1
    fi
    [ -n "$told" ] || printf 'apt-get is in use (%s); waiting for up to %s s\n' "$(grep -o 'held by process [^.]*' <<< "$said" | head -1)" "$APT_PATIENCE_SECONDS" >&2
    told=1
    sleep 1
  done
}

# apt_install PACKAGE…: with the newest lists.
apt_install() { apt_get update && apt_get install -y --no-install-recommends "$@"; }
