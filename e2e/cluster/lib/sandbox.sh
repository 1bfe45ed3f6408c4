# shellcheck shell=bash
# A machine made of namespaces: its own network, mounts and processes, and /run, /var/lib and /var/log of its own. Killing its first process ends
# every process in it and with them its mounts, interfaces and firewall rules: nothing of it has a name on the host, so nothing can be left there
# but a folder and control groups, and those are removed here too.

sandbox_pid() { cut -d' ' -f1 "$CLUSTER_DIR/$1/sandbox" 2> /dev/null; }

# The start time tells the sandbox from a stranger that has its process id today.
sandbox_alive() {
  local pid started
  read -r pid started 2> /dev/null < "$CLUSTER_DIR/$1/sandbox" || return 1
  [ "$(cut -d' ' -f22 "/proc/$pid/stat" 2> /dev/null)" = "$started" ]
}

sandbox_create() {
  local home=$CLUSTER_DIR/$1
  mkdir -p "$home"/{lib,log}
  setsid unshare --net --mount --pid --fork --kill-child --propagation private \
    bash "$CLUSTER_SOURCE/lib/sandbox-init.sh" "$home" >> "$home/sandbox.log" 2>&1 < /dev/null &
  disown
  until_ok 10 "sandbox $1 (see $home/sandbox.log)" sandbox_alive "$1"
}

# Not 'ip netns exec': that mounts /sys anew, and the kubelet would find no control groups.
sandbox_run() {
  local pid
  pid=$(sandbox_pid "$1") || die "there is no $1 in $CLUSTER_DIR; is the cluster up?"
  shift
  nsenter --target "$pid" --net --mount --pid -- "$@"
}

# The same, but only in its network: files and processes are the caller's.
sandbox_network() {
  local pid
  pid=$(sandbox_pid "$1") || die "there is no $1 in $CLUSTER_DIR; is the cluster up?"
  shift
  nsenter --target "$pid" --net -- "$@"
}

sandbox_gone() { ! sandbox_alive "$1"; }

sandbox_kill() {
  ! sandbox_alive "$1" || kill -KILL "$(sandbox_pid "$1")" 2> /dev/null || true
  until_ok 20 "end of sandbox $1" sandbox_gone "$1"
}

cgroup_hierarchies() { awk '($3 == "cgroup" || $3 == "cgroup2") && $2 ~ "^/sys/fs/cgroup" { print $2 }' /proc/mounts; }

# cgroup_create PATH: in every hierarchy; in version 2 a controller has to be handed down level by level.
cgroup_create() {
  local hierarchy level part controller controllers
  for hierarchy in $(cgroup_hierarchies); do
    mkdir -p "$hierarchy/$1"
    [ -f "$hierarchy/cgroup.controllers" ] || continue
    level=$hierarchy
    for part in "" ${1//\// }; do
      level=$level${part:+/$part}
      read -ra controllers < "$level/cgroup.controllers" || true
      for controller in "${controllers[@]}"; do
        echo "+$controller" > "$level/cgroup.subtree_control" 2> /dev/null || true
      done
    done
  done
}

cgroup_gone() {
  local hierarchy left=0
  for hierarchy in $(cgroup_hierarchies); do
    [ ! -d "$hierarchy/$1" ] || find "$hierarchy/$1" -depth -type d -exec rmdir {} + || left=1
  done
  return $left
}
