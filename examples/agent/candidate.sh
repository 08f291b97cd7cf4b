#!/usr/bin/env bash
# A candidate of a locked agent on this machine, with bash and curl.
#
#   candidate.sh PATH ID VALUE
#
# It prints "lead TOKEN" when its work may begin, and "stop REASON" when it must have ended.
#
# The connection is curl's, and not that of the process that works: so it asks for on_close=hold, by which a curl that dies
# does not hand over what this script still believes to lead. It says goodbye itself.
set -euo pipefail

[ $# = 3 ] || { sed -n 's/^# \{0,1\}//; 2,6p' "$0" >&2; exit 64; }
path=${1//%/%25} id=$2 value=$3
url=${LOCKED_AGENT:-http://127.0.0.1:7070}/v1/elections/${path//\//%2F}
until=0 key='' leading='' curl=''

# uptime sets now to the milliseconds since the machine was started.
uptime() {
	local seconds
	read -r seconds _ </proc/uptime
	now=$((10#${seconds/./} * 10))
}

# leads is to be asked before each thing that only the leader may do.
leads() { uptime && ((now < until)); }

# field prints a field of the JSON in $data: a number or a word.
field() { sed -n 's/.*"'"$1"'":"\{0,1\}\([^",}]*\).*/\1/p' <<<"$data"; }

stop() {
	[ -n "$leading" ] || return 0
	leading=''
	printf 'stop %s\n' "$1" # the work must have ended when this has
}

post() { curl -s --max-time 5 --output /dev/null "$@" || true; }

goodbye() {
	stop 'it is asked to end'
	[ -z "$key" ] || post -X DELETE "$url/campaign?candidacy=$key"
	[ -z "$curl" ] || kill "$curl" 2>/dev/null || true
}
trap goodbye EXIT
trap 'exit 0' INT TERM HUP

told() {
	if [ "$event" = candidacy ]; then
		key=$(field candidacy)
		return
	fi
	until=$(field good_until_uptime_ms)
	until=${until:-0}
	if [ "$event" = select ] && leads; then
		leading=yes
		token=$(field token)
		printf 'lead %s\n' "$token"
	elif [ -n "$leading" ] && ! leads; then
		stop "$(field reason)"
		post -d candidacy="$key" -d token="$token" "$url/release"
	fi
}

while :; do
	exec 3< <(exec curl -sN --data-urlencode id="$id" --data-urlencode value="$value" -d ttl="${LOCKED_TTL:-10s}" -d on_close=hold "$url/campaign")
	curl=$! event='' rest=''
	while :; do
		if IFS= read -r -t 0.1 -u 3 part; then
			line=$rest$part rest=''
			case $line in
			'event: '*) event=${line#event: } ;;
			'data: '*) data=${line#data: } && told ;;
			esac
		elif (($? > 128)); then
			rest+=$part # nothing came in time, or the beginning of a line
			leads || stop 'the agent is silent'
		else
			break
		fi
	done
	exec 3<&-
	leads || true
	while leads; do sleep 0.05; done # what was promised still holds; nobody else is elected before
	stop 'the connection has ended'
	sleep 1
done
