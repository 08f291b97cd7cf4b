#!/usr/bin/env bash
# peers.sh COMMAND...: starts the stores that locked is measured against, on loopback and ports of their own, runs the
# command with their addresses in BENCH_*, and stops what it started. It installs what is missing where apt-get and
# permission are there. Data goes to a temporary directory. All write to the disk before they answer, but for NATS, which
# cannot before 2.10.
set -euo pipefail
[ $# -gt 0 ] || { echo "usage: $0 COMMAND..." >&2; exit 2; }

packages=()
command -v etcdctl >/dev/null || packages+=(etcd-client)
command -v redis-server >/dev/null || packages+=(redis-server)
command -v nats-server >/dev/null || packages+=(nats-server)
[ -e /usr/share/java/zookeeper.jar ] || packages+=(zookeeper)
postgres() { ls -d /usr/lib/postgresql/*/bin 2>/dev/null | tail -n 1; }
[ -n "$(postgres)" ] || packages+=(postgresql)
if [ ${#packages[@]} -gt 0 ]; then
	sudo=()
	[ "$(id -u)" = 0 ] || sudo=(sudo -n)
	# RUNLEVEL=1 keeps Debian from starting the services that it installs.
	"${sudo[@]}" apt-get -qq update >&2 &&
		"${sudo[@]}" env RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive \
			apt-get -qq install --no-install-recommends "${packages[@]}" >/dev/null ||
		echo "not installed: ${packages[*]}" >&2
fi

dir=$(mktemp -d "${TMPDIR:-/tmp}/locked-peers-XXXXXX")
pids=()
stop() {
	for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
	for pid in "${pids[@]}"; do wait "$pid" 2>/dev/null || true; done
	rm -rf "$dir"
}
trap stop EXIT
trap 'exit 130' INT TERM

# free gives a port that nobody listens on.
free() {
	local port
	while port=$((20000 + RANDOM % 10000)) && (: </dev/tcp/127.0.0.1/"$port") 2>/dev/null; do :; done
	echo "$port"
}

# answers NAME VARIABLE PORT: waits until something listens there, and names it to the command.
answers() {
	for _ in $(seq 100); do
		if (: </dev/tcp/127.0.0.1/"$3") 2>/dev/null; then
			export "$2=127.0.0.1:$3"
			echo "$1 at 127.0.0.1:$3" >&2
			return
		fi
		sleep 0.1
	done
	echo "$1 does not start: see what it says:" >&2
	tail -n 5 "$dir/$1.log" >&2 || true
}

# starts NAME COMMAND...
starts() {
	local name=$1
	shift
	"$@" >"$dir/$name.log" 2>&1 &
	pids+=($!)
}

if command -v redis-server >/dev/null; then
	port=$(free)
	mkdir "$dir/redis"
	starts redis redis-server --port "$port" --bind 127.0.0.1 --dir "$dir/redis" --save '' --appendonly yes --appendfsync always
	answers redis BENCH_REDIS "$port"
fi

if command -v nats-server >/dev/null; then
	port=$(free)
	starts nats nats-server -a 127.0.0.1 -p "$port" -js -sd "$dir/nats"
	answers nats BENCH_NATS "$port"
fi

if [ -e /usr/share/java/zookeeper.jar ] && command -v java >/dev/null; then
	port=$(free)
	mkdir "$dir/zookeeper"
	cat >"$dir/zoo.cfg" <<-EOF
		tickTime=500
		dataDir=$dir/zookeeper
		clientPort=$port
		clientPortAddress=127.0.0.1
		admin.enableServer=false
		maxClientCnxns=0
	EOF
	starts zookeeper java -Xmx512m -cp "$dir:/usr/share/java/zookeeper.jar" org.apache.zookeeper.server.quorum.QuorumPeerMain "$dir/zoo.cfg"
	answers zookeeper BENCH_ZOOKEEPER "$port"
fi

if [ -n "$(postgres)" ]; then
	port=$(free)
	as=()
	if [ "$(id -u)" = 0 ]; then # it refuses to run as root
		chmod 711 "$dir"
		as=(setpriv --reuid postgres --regid postgres --clear-groups)
		install -d -o postgres -g postgres "$dir/postgres"
	fi
	"${as[@]}" "$(postgres)/initdb" -D "$dir/postgres" -U postgres -A trust >"$dir/initdb.log" 2>&1
	starts postgres "${as[@]}" "$(postgres)/postgres" -D "$dir/postgres" -h 127.0.0.1 -p "$port" -k '' -c max_connections=300
	answers postgres BENCH_POSTGRES "$port"
fi

"$@"
