#!/usr/bin/env bash
# The first process of a sandbox: arranges the new namespaces, says that it is there, and then only collects orphans.
set -euo pipefail
home=$1

# Read before /proc is mounted anew: here it still shows the process id that the host knows.
read -r pid rest < /proc/self/stat
read -ra fields <<< "$rest"
started=${fields[20]}

mount -t proc proc /proc
mount --bind "$home/lib" /var/lib
mount --bind "$home/log" /var/log
# The state folder is under /tmp as a rule; nothing here may hide it, so what is mounted over comes last.
mount -t tmpfs -o mode=755 tmpfs /run
ip link set lo up
echo 1 > /proc/sys/net/ipv4/ip_forward
echo "$pid $started" > "$home/sandbox"
# `down` marks the run and then looks for sandboxes: one that it was too early to see finds the mark, or no folder to write to.
[ ! -e "$home/../ending" ]
exec catatonit -P
