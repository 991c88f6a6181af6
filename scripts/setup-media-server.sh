#!/usr/bin/env bash
# Sets a media server up on this machine: finds its public address, makes secrets, writes the configuration, starts it and tests it.
# It can be run again: what is there stays, secrets above all. --help tells how; docs/deployment.md tells the rest.
set -euo pipefail
here=$(dirname "$0")
# shellcheck source=scripts/lib/install.sh
. "$here/lib/install.sh"
# shellcheck source=scripts/lib/deployment.sh
. "$here/lib/deployment.sh"

usage() {
  cat <<'TEXT'
usage: scripts/setup-media-server.sh --domain NAME [options]

  --domain NAME          what browsers call this machine, such as media.example.org
  --way compose|systemd  two nodes in containers with all they need (where Docker is), or one node as a service of this machine
  --public-ip ADDRESS    what studios reach; found when not given: this machine's own, or what IP_SERVICE answers when that is private
  --certificates FOLDER  has fullchain.pem and privkey.pem for NAME
  --self-signed          makes a certificate that browsers warn of and other nodes refuse: for a trial only
  --monitoring           starts Prometheus and Grafana, too (compose)
  --binary FILE          the program to install (systemd); built when not given
  --directory FOLDER     where configuration and secrets go: docker/ (compose), /etc/castgate (systemd)
  --no-start             writes everything and starts nothing
  --dry-run              tells what it would do, and does nothing
TEXT
}

way='' domain='' public_ip='' certificates='' directory='' binary=''
self_signed=false monitoring=false start=true dry_run=false
while [ $# -gt 0 ]; do
  case "$1" in
    --way | --domain | --public-ip | --certificates | --directory | --binary)
      [ $# -ge 2 ] || die "$1 needs a value"
      name=${1#--}
      printf -v "${name//-/_}" '%s' "$2"
      shift
      ;;
    --self-signed) self_signed=true ;;
    --monitoring) monitoring=true ;;
    --no-start) start=false ;;
    --dry-run) dry_run=true ;;
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

# Does something, or with --dry-run only tells of it.
act() {
  local what=$1
  shift
  if $dry_run; then
    printf 'would %s\n' "$what"
  else
    printf '%s\n' "$what"
    "$@"
  fi
}

# Writes the standard input to a file of this mode, in one step.
put() {
  local file=$1 mode=$2 fresh
  fresh=$(mktemp "$file.XXXXXX")
  cat >"$fresh"
  chmod "$mode" "$fresh"
  mv -f "$fresh" "$file"
}

# Writes the standard input to an environment file. NAME?=VALUE is written only if the file has no NAME yet, and what else
# somebody has added to it stays.
put_environment() {
  local file=$1 text
  touch "$file"
  text=$(awk -v old="$file" '
    function name(line) { sub(/\??=.*/, "", line); return line }
    BEGIN {
      while ((getline line < old) > 0)
        if (line ~ /^[A-Z0-9_]+=/) { names[++count] = name(line); lines[name(line)] = line }
    }
    /^[A-Z0-9_]+\?=/ {
      if (name($0) in lines) print lines[name($0)]; else { fresh = $0; sub(/\?=/, "=", fresh); print fresh }
      delete lines[name($0)]
      next
    }
    /^[A-Z0-9_]+=/ { delete lines[name($0)] }
    { print }
    END { for (i = 1; i <= count; i++) if (names[i] in lines) print lines[names[i]] }')
  put "$file" 0644 <<<"$text"
}

# Prints what an environment file says of a variable.
value_in() {
  [ -f "$2" ] && sed -n "s/^$1=//p" "$2" | tail -n 1
  return 0
}

# Makes a secret of random bytes, unless it is there.
make_secret() {
  [ -s "$secrets/$1" ] && return
  act "make the secret $1" secret_of_chance "$1"
}

secret_of_chance() {
  random_hex | put "$secrets/$1" "$secret_mode"
}

# Makes a file that holds a secret anew when it differs from what it should be.
derive() {
  local name=$1 text
  if $dry_run && [ ! -s "$secrets/$2" ]; then
    printf 'would write %s\n' "$name"
    return
  fi
  text=$("$3")
  [ -f "$secrets/$name" ] && [ "$(cat "$secrets/$name")" = "$text" ] && return
  act "write $name" write_secret_text "$name" "$text"
}

write_secret_text() {
  printf '%s\n' "$2" | put "$secrets/$1" "$secret_mode"
}

redis_url() { printf 'redis://:%s@redis:6379/0' "$(cat "$secrets/redis-password")"; }

redis_configuration() {
  printf 'requirepass %s\n' "$(cat "$secrets/redis-password")"
  # Once a second is enough: nodes tell again what was lost.
  printf 'dir /data\nappendonly yes\nappendfsync everysec\nmaxmemory-policy noeviction\n'
}

s3_environment() { printf 'ROOT_ACCESS_KEY=castgate\nROOT_SECRET_KEY=%s\n' "$(cat "$secrets/s3")"; }

turn_configuration() {
  cat <<TEXT
listening-port=3478
# Above the ports of plain RTP.
min-port=50000
max-port=65535
realm=$domain
external-ip=$public_ip
fingerprint
use-auth-secret
static-auth-secret=$(cat "$secrets/turn")
stale-nonce=600
user-quota=24
total-quota=2400
no-cli
no-tls
no-dtls
no-multicast-peers
no-software-attribute
# A relay must not be a way into the network behind it.
denied-peer-ip=0.0.0.0-0.255.255.255
denied-peer-ip=10.0.0.0-10.255.255.255
denied-peer-ip=100.64.0.0-100.127.255.255
denied-peer-ip=127.0.0.0-127.255.255.255
denied-peer-ip=169.254.0.0-169.254.255.255
denied-peer-ip=172.16.0.0-172.31.255.255
denied-peer-ip=192.168.0.0-192.168.255.255
allowed-peer-ip=$public_ip
log-file=stdout
simple-log
TEXT
}

# The address that studios reach: as told, as written down, this machine's own, or what a service on the internet sees.
find_public_ip() {
  local written=$1
  [ -n "$public_ip" ] || public_ip=$written
  [ -n "$public_ip" ] || public_ip=$(outgoing_address)
  if [ -z "$public_ip" ] || { is_private "$public_ip" && [ -z "$written" ] && ! $told_ip; }; then
    local service=${IP_SERVICE:-https://checkip.amazonaws.com}
    say "asking $service for the public address"
    public_ip=$(curl --fail --silent --max-time 5 "$service" | tr -d '[:space:]') || public_ip=''
  fi
  is_ipv4 "$public_ip" || die "no public address was found; give --public-ip"
}

find_certificates() {
  if [ -z "$certificates" ]; then certificates="$directory/certificates"; fi
  if [ -f "$certificates/fullchain.pem" ] && [ -f "$certificates/privkey.pem" ]; then return; fi
  $self_signed || die "$certificates has no fullchain.pem and privkey.pem for $domain; give --certificates, or --self-signed for a trial"
  act "make a certificate that signs itself, in $certificates" self_sign
}

self_sign() {
  mkdir -p "$certificates"
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj "/CN=$domain" \
    -addext "subjectAltName=DNS:$domain" -keyout "$certificates/privkey.pem" -out "$certificates/fullchain.pem" 2>/dev/null
}

# Whether the certificate, or the one that would be made, is its own issuer.
signs_itself() {
  [ -f "$certificates/fullchain.pem" ] || { $self_signed && return; }
  [ "$(openssl x509 -noout -subject_hash -in "$certificates/fullchain.pem")" = \
    "$(openssl x509 -noout -issuer_hash -in "$certificates/fullchain.pem")" ]
}

make_folders() {
  mkdir -p "$directory"
  # Containers see single files of it, by whatever user they run; on this machine only its owner gets in.
  install -d -m 0700 "$secrets"
}

write_compose_environment() {
  put_environment "$directory/.env" <<TEXT
# Written by scripts/setup-media-server.sh; secrets are in secrets/.
CASTGATE_DIRECTORY=$directory
PUBLIC_IP=$public_ip
DOMAIN=$domain
FRONTEND_URL=$frontend_url
REGION?=
CERTIFICATES=$certificates
TEXT
}

set_up_compose() {
  secret_mode=0444
  local name
  for name in jwt turn redis-password secrets-key grafana s3; do make_secret "$name"; done
  derive redis-url redis-password redis_url
  derive redis.conf redis-password redis_configuration
  derive turnserver.conf turn turn_configuration
  derive s3-environment s3 s3_environment
  act "write $directory/.env" write_compose_environment

  $start || return 0
  local compose=(docker compose --env-file "$directory/.env" --file "$root/docker/compose.yaml")
  if $monitoring; then compose+=(--profile monitoring); fi
  act "build and start: ${compose[*]} up --detach --build --wait" "${compose[@]}" up --detach --build --wait
}

service_environment() {
  local credentials=/run/credentials/castgate.service file variable
  cat <<TEXT
# Written by scripts/setup-media-server.sh; docs/configuration.md has all variables. Secrets are in secrets/.
NODE_ENV?=production
HTTP_IP?=127.0.0.1
PORT?=3001
RTC_PORT?=40000
ANNOUNCED_IP=$public_ip
PUBLIC_URL=https://$domain
FRONTEND_URL=$frontend_url
REGION?=
SERVER_ID?=$server_id
JWT_SECRET_FILE=$credentials/secret_jwt
STUN_URL=stun:$domain:3478
TURN_URL=turn:$domain:3478?transport=udp,turn:$domain:3478?transport=tcp
TURN_SECRET_FILE=$credentials/secret_turn
RATE_LIMIT_MAX_REQUESTS?=0
MAX_CONNECTIONS_PER_ADDRESS?=0
SHUTDOWN_TIMEOUT_MS?=30000
TEXT
  # Whoever joins a fleet has put these there.
  for file in redis-url secrets-key; do
    [ -s "$secrets/$file" ] || continue
    variable=${file//-/_}
    printf '%s_FILE=%s/secret_%s\n' "${variable^^}" "$credentials" "$file"
  done
}

write_service_environment() {
  service_environment | put_environment "$directory/environment"
}

write_proxy() {
  local nginx=/etc/nginx
  install -d "$nginx/castgate"
  install -m 0644 "$root/docker/nginx/castgate.conf" "$nginx/conf.d/castgate.conf"
  put "$nginx/castgate/nodes.conf" 0644 <<'TEXT'
# The one node of this machine.
upstream castgate {
    zone castgate 128k;
    server 127.0.0.1:3001;
    keepalive 64;
}
map $server_port $castgate_upstream {
    default castgate;
}
TEXT
  sed -e '/^listen 844/d' -e "s#/etc/nginx/certificates#$certificates#" "$root/docker/nginx/castgate/listen.conf" |
    put "$nginx/castgate/listen.conf" 0644
  nginx -t -q
}

install_binary() {
  if [ -z "$binary" ]; then
    need_packages "${build_packages[@]}"
    need_rust
    build_web
    cargo build --manifest-path "$root/Cargo.toml" --release --bin media-server
    binary="${CARGO_TARGET_DIR:-$root/target}/release/media-server"
  fi
  install -m 0755 "$binary" /usr/local/bin/media-server
}

start_service() {
  install -m 0644 "$root/docker/systemd/castgate.service" /etc/systemd/system/castgate.service
  install -D -m 0644 "$root/docs/deployment.md" /usr/share/doc/castgate/deployment.md
  systemctl daemon-reload
  systemctl enable --quiet castgate.service
  systemctl restart castgate.service
  systemctl reload-or-restart nginx.service
}

start_turn() {
  install -m 0640 -g turnserver "$directory/turnserver.conf" /etc/turnserver.conf
  systemctl enable --quiet coturn.service
  systemctl restart coturn.service
}

set_up_systemd() {
  secret_mode=0400
  make_secret jwt
  make_secret turn
  act "write $directory/environment" write_service_environment
  if $start; then
    [ "$(id -u)" -eq 0 ] || $dry_run || die "a service is installed by root"
    act "install ${run_packages[*]} nginx-light coturn" need_packages "${run_packages[@]}" nginx-light coturn
    act "install /usr/local/bin/media-server" install_binary
  fi
  # Not one of the service's credentials, though it holds one.
  act "write $directory/turnserver.conf" write_turn_configuration
  $start || return 0
  act "put nginx before it" write_proxy
  act "start coturn" start_turn
  act "start castgate.service" start_service
}

write_turn_configuration() {
  turn_configuration | put "$directory/turnserver.conf" 0400
}

told_ip=false
[ -z "$public_ip" ] || told_ip=true
if [ -z "$way" ]; then
  if command -v docker >/dev/null; then way=compose; else way=systemd; fi
fi
case "$way" in
  compose) directory=${directory:-$root/docker} environment=.env ;;
  systemd) directory=${directory:-/etc/castgate} environment=environment ;;
  *) die "--way is compose or systemd" ;;
esac
$dry_run || mkdir -p "$directory"
[ ! -d "$directory" ] || directory=$(cd "$directory" && pwd)
secrets="$directory/secrets"
written="$directory/$environment"

# What was said the last time holds until something else is said.
written_domain=$(value_in DOMAIN "$written")
[ -n "$written_domain" ] || written_domain=$(value_in PUBLIC_URL "$written" | sed 's#^https://##')
[ -n "$domain" ] || domain=$written_domain
[ -n "$domain" ] || { usage >&2 && exit 64; }
is_host_name "$domain" || die "--domain is not the name of a host"
[ -n "$certificates" ] || certificates=$(value_in CERTIFICATES "$written")
# The pages of this machine, unless somebody has named others.
frontend_url=$(value_in FRONTEND_URL "$written")
if [ -z "$frontend_url" ] || [ "$frontend_url" = "https://$written_domain" ]; then frontend_url=https://$domain; fi
server_id=$(hostname 2>/dev/null | tr -c 'A-Za-z0-9_\n-' '-' | cut -c 1-64)
written_ip=$(value_in PUBLIC_IP "$written")
[ -n "$written_ip" ] || written_ip=$(value_in ANNOUNCED_IP "$written")
find_public_ip "$written_ip"

say "$way: $domain at $public_ip, configuration in $directory"
[ -d "$secrets" ] || act "make $directory and $secrets" make_folders
find_certificates
"set_up_$way"

# coturn does not listen on loopback.
turn_at=$(outgoing_address)
tests=("$here/test-media-server.sh" --url "https://$domain" --at 127.0.0.1 --secret-file "$directory/secrets/jwt"
  --turn "${turn_at:-$public_ip}:3478")
if signs_itself; then tests+=(--insecure); fi
if [ "$way" = compose ]; then tests+=(--nodes 2); fi
if $start; then
  act "test it: ${tests[*]}" "${tests[@]}"
else
  say "nothing was started; test it later with: ${tests[*]}"
fi
