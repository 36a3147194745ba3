#!/bin/sh
# The first process of a local host: mounts what is the host's own, then keeps its programs running. Started inside new network, mount, process-id
# and host-name namespaces. Kill it, and the host is gone as if its plug was pulled.
#   FAIRWAY_CLUSTER FAIRWAY_HOST   who we are
#   FAIRWAY_STATE                  the host's folder: var-lib/ and log/
#   FAIRWAY_ROLE                   control-plane or node
#   FAIRWAY_NODE FAIRWAY_MAIN      the Node binary, and the command line's main file
#   FAIRWAY_ETCD_ARGS FAIRWAY_SERVER_ARGS FAIRWAY_AGENT_ARGS FAIRWAY_DNS_ARGS   arguments of the programs, separated by spaces
set -u

# Whoever started us connects the network first, and then says so. When it dies before, there is no host.
read -r _ || exit 1

hostname "$FAIRWAY_HOST"
# As on a real machine, so that pods may ask for mounts that follow the host's. Nothing of it leaves this namespace.
mount --make-rshared /
mount -t proc proc /proc
resolv=$(readlink -f /etc/resolv.conf)
mkdir -p "$FAIRWAY_STATE/var-lib" "$FAIRWAY_STATE/log"
# Folders of the machine that programs keep state in, each the host's own from here on.
exec 8<"$FAIRWAY_STATE"
mount --bind "/proc/self/fd/8/log" /var/log
mount --bind "/proc/self/fd/8/var-lib" /var/lib
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/fairway /run/lock
# The machine's own resolver may listen on its loopback, where no host reaches it.
mkdir -p "${resolv%/*}"
[ -e "$resolv" ] || : >"$resolv"
mount --bind /proc/self/fd/8/resolv.conf "$resolv"
exec 8<&-
echo "$FAIRWAY_CLUSTER/$FAIRWAY_HOST" >/run/fairway/host

# Keeps one program running. One that ends at once again and again waits longer, up to two seconds.
supervise() {
  name=$1; shift
  delay=0
  while [ -e /run/fairway/host ]; do
    started=$(cut -d. -f1 /proc/uptime)
    "$@" >>"/var/log/$name.log" 2>&1 &
    echo $! >"/run/fairway/$name.pid"
    wait $!
    status=$?
    echo "$(date -u +%FT%TZ) $name ended with status $status" >>/var/log/init.log
    if [ $(($(cut -d. -f1 /proc/uptime) - started)) -ge 10 ]; then delay=0; elif [ $delay -lt 2 ]; then delay=$((delay + 1)); fi
    [ $delay -le 1 ] && sleep 0.1 || sleep $delay
  done
}

# shellcheck disable=SC2086
case $FAIRWAY_ROLE in
  control-plane)
    [ -z "$FAIRWAY_ETCD_ARGS" ] || supervise etcd etcd $FAIRWAY_ETCD_ARGS &
    supervise server "$FAIRWAY_NODE" "$FAIRWAY_MAIN" server $FAIRWAY_SERVER_ARGS & ;;
  node)
    supervise engine dockerd --bridge=none --iptables=false --ip-forward=false --ip-masq=false --live-restore --data-root /var/lib/docker --exec-root /run/docker \
      --pidfile /run/docker.pid -H unix:///run/docker.sock --cgroup-parent "/fairway/$FAIRWAY_CLUSTER/$FAIRWAY_HOST" --log-level=warn &
    supervise agent "$FAIRWAY_NODE" --max-semi-space-size=8 "$FAIRWAY_MAIN" agent $FAIRWAY_AGENT_ARGS &
    supervise dns "$FAIRWAY_NODE" "$FAIRWAY_MAIN" dns $FAIRWAY_DNS_ARGS & ;;
esac

# Orphans of the whole host become our children: wait reaps them.
while :; do wait; sleep 1; done
