#!/usr/bin/env bash
# Tests a media server that runs: its health, what it must refuse, signalling by polling and WebSocket, TURN, and with a program
# to publish with a whole broadcast. Tells what to look at where something is wrong. Exit code: how many checks failed, at most 99.
set -euo pipefail
here=$(dirname "$0")
# shellcheck source=scripts/lib/install.sh
. "$here/lib/install.sh"
# shellcheck source=scripts/lib/deployment.sh
. "$here/lib/deployment.sh"

usage() {
  cat <<'TEXT'
usage: scripts/test-media-server.sh [options]

  --url URL            where it is (http://127.0.0.1:3001)
  --at ADDRESS         connect there, whatever the URL's name says
  --secret-file FILE   its JWT_SECRET, with which a token for this test is made
  --token-file FILE    an operator's token instead
  --insecure           takes any certificate
  --nodes N            that many nodes must be known (only with a registry)
  --turn HOST:PORT     a STUN and TURN server that must answer
  --publish SECONDS    publishes a test picture until it arrives, at most for so long; needs the URL's name and
                       certificate to be good, whatever --at and --insecure say
  --binary FILE        the program to publish with (media-server)
TEXT
}

url=http://127.0.0.1:3001 at='' secret_file='' token_file='' nodes='' turn='' publish='' binary=media-server
insecure=false
while [ $# -gt 0 ]; do
  case "$1" in
    --url | --at | --secret-file | --token-file | --nodes | --turn | --publish | --binary)
      [ $# -ge 2 ] || die "$1 needs a value"
      name=${1#--}
      printf -v "${name//-/_}" '%s' "$2"
      shift
      ;;
    --insecure) insecure=true ;;
    --help)
      usage
      exit 0
      ;;
    *)
      usage >&2
      exit 64
      ;;
  esac
  shift
done
[[ $url =~ ^(https?)://([^/:]+)(:([0-9]+))?/?$ ]] || die "--url is not a URL of a server"
scheme=${BASH_REMATCH[1]} host=${BASH_REMATCH[2]} port=${BASH_REMATCH[4]}
[ -n "$port" ] || { if [ "$scheme" = https ]; then port=443; else port=80; fi; }
url=${url%/}

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
failures=0

passed() { printf 'ok      %s\n' "$1"; }
failed() {
  printf 'FAILED  %s: %s\n' "$1" "$2"
  failures=$((failures + 1))
}
skipped() { printf 'skipped %s: %s\n' "$1" "$2"; }

options=(--silent --max-time 10)
if $insecure; then options+=(--insecure); fi
if [ -n "$at" ]; then options+=(--connect-to "$host::$at:"); fi

# Asks for a path and keeps the answer; prints its status, or 000. Options of curl may follow.
ask() {
  local path=$1
  shift
  curl "${options[@]}" --output "$folder/answer" --dump-header "$folder/headers" --write-out '%{http_code}' "$@" "$url$path" 2>"$folder/error" || true
}

# The same with the token, which curl reads from a file.
ask_as_operator() {
  local path=$1
  shift
  if [ -f "$folder/token" ]; then set -- --config "$folder/token" "$@"; fi
  ask "$path" "$@"
}

answer() { cat "$folder/answer" 2>/dev/null || true; }

# A check: what it is, the status that is wanted, the one that came, a text that the answer must have, and what to do otherwise.
check() {
  local what=$1 wanted=$2 got=$3 text=$4 advice=$5
  if [ "$got" != "$wanted" ]; then
    failed "$what" "answered $got, not $wanted. $advice"
  elif [ -n "$text" ] && ! answer | grep -qF -- "$text"; then
    failed "$what" "the answer lacks '$text'. $advice"
  else
    passed "$what"
  fi
}

if [ -n "$secret_file" ]; then
  [ -r "$secret_file" ] || die "$secret_file cannot be read"
  token=$(operator_token "$secret_file" 300)
elif [ -n "$token_file" ]; then
  [ -r "$token_file" ] || die "$token_file cannot be read"
  token=$(tr -d '[:space:]' <"$token_file")
else
  token=''
fi
if [ -n "$token" ]; then
  (umask 077 && printf 'header = "Authorization: Bearer %s"\n' "$token" >"$folder/token" && printf '%s' "$token" >"$folder/bearer")
fi

say "$url"
check "the process is alive" 200 "$(ask /livez)" alive "Is it running? systemctl status castgate, or docker compose ps. ${scheme^^} on port $port must be open."
if [ "$failures" -gt 0 ]; then exit 1; fi
check "it takes new broadcasts" 200 "$(ask /readyz)" ready "It is full, or shutting down: $(answer | head -c 300)"
check "it tells of its health" 200 "$(ask /api/health)" '"status"' "Something else listens there."
check "its page is there" 200 "$(ask /)" '<title>' "Something else listens there."
if answer | grep -qF 'is not built'; then skipped "the studio page works" "the binary was built without the pages"; fi

if [ "$scheme" = https ]; then
  check "metrics are not public" 404 "$(ask /metrics)" '' "The proxy must not pass /metrics on; see docker/nginx/castgate.conf."
else
  check "metrics are there" 200 "$(ask /metrics)" castgate_load_ratio "Prometheus has nothing to read."
fi

if [ -n "$token" ]; then
  check "strangers are refused" 401 "$(ask /api/v1/broadcasts)" '' "AUTH_MODE is none: anybody may broadcast. Set JWT_SECRET_FILE."
fi
check "an operator is let in" 200 "$(ask_as_operator /api/v1/broadcasts)" '' "The token is not of its JWT_SECRET; give --secret-file or --token-file."
check "clients get ICE servers" 200 "$(ask_as_operator /api/ice-servers)" '"iceServers"' "See STUN_URL and TURN_URL."

check "Socket.IO answers by polling" 200 "$(ask '/socket.io/?EIO=4&transport=polling')" '"sid"' "The proxy must pass /socket.io/ on."
# The connection stays open, so curl ends by its time limit; what counts is the status.
check "Socket.IO answers by WebSocket" 101 "$(ask '/socket.io/?EIO=4&transport=websocket' --http1.1 --max-time 2 --no-buffer \
  --header 'Connection: Upgrade' --header 'Upgrade: websocket' \
  --header 'Sec-WebSocket-Version: 13' --header 'Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==')" '' "The proxy must pass Upgrade and Connection on."
check "WHIP wants SDP" 415 "$(ask_as_operator /whip/test-media-server --request POST --header 'Content-Type: text/plain' --data x)" '' "The proxy must pass /whip/ on."

if [ -n "$nodes" ]; then
  check "an operator is told a node" 200 "$(ask_as_operator '/media-servers/assign?broadcast=test-media-server')" '"url"' "The registry does not answer; see REDIS_URL."
  status=$(ask_as_operator /media-servers)
  known=$(answer | grep -o '"url"' | wc -l)
  if [ "$status" = 200 ] && [ "$known" -ge "$nodes" ]; then
    passed "$known nodes are known"
  else
    failed "$nodes nodes are known" "answered $status with $known. Do all have the same REDIS_URL, and each its own SERVER_ID?"
  fi
fi

# Asks a STUN server for this machine's address: a binding request of 20 bytes, an answer that begins with 0101.
binding() {
  local to=$1 line
  exec 3<>"/dev/udp/${to%:*}/${to##*:}" || return 1
  printf '\x00\x01\x00\x00\x21\x12\xa4\x42castgate-tst' >&3
  line=$(timeout 3 head -c 2 <&3 | to_hex) || true
  exec 3>&-
  [ "$line" = 0101 ]
}
if [ -n "$turn" ]; then
  if binding "$turn" 2>/dev/null; then
    passed "STUN and TURN answer"
  else
    failed "STUN and TURN answer" "nothing came from $turn by UDP. Is coturn running, and port ${turn##*:} open?"
  fi
fi

broadcast=test-$(random_hex | head -c 12)
stop_broadcast() {
  ask_as_operator "/api/v1/broadcasts/$broadcast" --request DELETE >/dev/null
}

# A whole broadcast without a destination: the test picture has to arrive by WebRTC.
if [ -n "$publish" ]; then
  # Another node may be the one for it, and would only be named by this one.
  if [ -n "$nodes" ] && [ "$(ask_as_operator "/media-servers/assign?broadcast=$broadcast")" = 200 ]; then
    assigned=$(answer | sed -n 's/.*"url":"\([^"]*\)".*/\1/p')
    url=${assigned:-$url}
    url=${url%/}
  fi
  status=$(ask_as_operator /api/v1/broadcasts --request POST --header 'Content-Type: application/json' --data "{\"id\":\"$broadcast\"}")
  check "a broadcast is made" 201 "$status" "$broadcast" "$(answer | head -c 300)"
  arguments=(publish --url "$url/whip/$broadcast" --seconds "$publish" --width 640 --height 360 --video-kbps 600)
  if [ -n "$token" ]; then arguments+=(--token-file "$folder/bearer"); fi
  "$binary" "${arguments[@]}" >"$folder/publish" 2>&1 &
  publisher=$!
  live=false
  for ((waited = 0; waited < (publish + 20) * 2; waited++)); do
    if [ "$(ask_as_operator "/api/v1/broadcasts/$broadcast")" = 200 ] && answer | grep -q '"codec"'; then
      live=true
      break
    fi
    kill -0 "$publisher" 2>/dev/null || break
    sleep 0.5
  done
  if $live; then
    passed "a picture arrives by WebRTC"
  else
    failed "a picture arrives by WebRTC" "ANNOUNCED_IP must be reachable, and RTC_PORT open for UDP or TCP. The publisher said: $(tail -n 3 "$folder/publish" | head -c 400)"
  fi
  kill "$publisher" 2>/dev/null || true
  wait "$publisher" 2>/dev/null || true
  stop_broadcast
else
  skipped "a picture arrives by WebRTC" "give --publish SECONDS, and --binary if media-server is not on the PATH"
fi

if [ "$failures" -eq 0 ]; then
  say "all is well"
else
  say "$failures checks failed"
fi
exit $((failures > 99 ? 99 : failures))
