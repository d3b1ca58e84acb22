#!/usr/bin/env bash
# Fake hosts on one machine: namespaces.sh up PREFIX N RATE | down PREFIX
#
# N network namespaces PREFIX0.. with addresses 10.78.0.1.. on a bridge, each link limited to RATE both ways (for example 200mbit; a token bucket).
# Needs root and iproute2. Everything that it makes begins with PREFIX.
set -eu
down() {
  for n in $(ip netns list | awk -v p="^$1[0-9]+" '$1 ~ p { print $1 }'); do ip netns del "$n"; done
  ip link del "$1br" 2>/dev/null || true
}
up() {
  local prefix=$1 count=$2 rate=$3 i
  down "$prefix"
  ip link add "${prefix}br" type bridge
  ip link set "${prefix}br" up
  for i in $(seq 0 $((count - 1))); do
    ip netns add "$prefix$i"
    ip link add "${prefix}v$i" type veth peer name e0 netns "$prefix$i"
    ip link set "${prefix}v$i" master "${prefix}br" up
    ip -n "$prefix$i" addr add "10.78.0.$((i + 1))/24" dev e0
    ip -n "$prefix$i" link set e0 up
    ip -n "$prefix$i" link set lo up
    tc qdisc add dev "${prefix}v$i" root tbf rate "$rate" burst 256kb latency 50ms
    ip netns exec "$prefix$i" tc qdisc add dev e0 root tbf rate "$rate" burst 256kb latency 50ms
  done
}
"$@"
