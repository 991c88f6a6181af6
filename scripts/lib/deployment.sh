# shellcheck shell=bash
# What setting up a media server and testing one have in common: addresses, secrets that stay in files, tokens. Sourced.

# Prints the address of this machine that packets to the internet leave from. Nothing is sent for it.
outgoing_address() {
  local answer
  # 192.0.2.1 is of a network for examples, so only the default route can lead there.
  answer=$(ip -4 route get 192.0.2.1 2>/dev/null) || return 0
  [[ $answer =~ \ src\ ([0-9.]+) ]] && printf '%s' "${BASH_REMATCH[1]}"
  return 0
}

is_ipv4() {
  local part
  [[ $1 =~ ^([0-9]{1,3})\.([0-9]{1,3})\.([0-9]{1,3})\.([0-9]{1,3})$ ]] || return 1
  for part in "${BASH_REMATCH[@]:1}"; do
    [ "$((10#$part))" -le 255 ] || return 1
  done
}

# Whether an address is one that only a local network knows: private, carrier-grade NAT, link-local or loopback.
is_private() {
  [[ $1 =~ ^(10\.|127\.|169\.254\.|192\.168\.|172\.(1[6-9]|2[0-9]|3[01])\.|100\.(6[4-9]|[7-9][0-9]|1[01][0-9]|12[0-7])\.) ]]
}

is_host_name() {
  [[ ${#1} -le 253 && $1 =~ ^[a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?(\.[a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?)*$ ]]
}

# Prints 32 random bytes in hexadecimal.
random_hex() {
  head -c 32 /dev/urandom | od -An -v -tx1 | tr -d ' \n'
}

# Prints the standard input in hexadecimal.
to_hex() {
  od -An -v -tx1 | tr -d ' \n'
}

# Prints the bytes of a hexadecimal text, each combined with a number. Only builtins see the text.
from_hex() {
  local hex=$1 number=${2:-0} at byte
  for ((at = 0; at < ${#hex}; at += 2)); do
    printf -v byte '\\x%02x' $((0x${hex:at:2} ^ number))
    # shellcheck disable=SC2059 # The byte is the format.
    printf "$byte"
  done
}

base64url() {
  openssl base64 -A | tr '+/' '-_' | tr -d '='
}

# Prints the HMAC-SHA256 of a text by the key in a file, in base64url. The key is in no program's arguments, as it would be
# with `openssl dgst -hmac`.
hmac_of() {
  local text=$1 file=$2 key inner
  key=$(to_hex <"$file")
  # A line break at the end of a secret's file is not part of it.
  while [[ $key =~ (0a|0d)$ ]]; do key=${key%??}; done
  [ "${#key}" -gt 128 ] && key=$(from_hex "$key" | openssl dgst -sha256 -binary | to_hex)
  while [ "${#key}" -lt 128 ]; do key+=00; done
  inner=$({ from_hex "$key" $((0x36)) && printf '%s' "$text"; } | openssl dgst -sha256 -binary | to_hex)
  { from_hex "$key" $((0x5c)) && from_hex "$inner"; } | openssl dgst -sha256 -binary | base64url
}

# Prints an operator's token that is good for so many seconds, signed by the key in a file.
operator_token() {
  local file=$1 seconds=$2 head body
  head=$(printf '{"alg":"HS256","typ":"JWT"}' | base64url)
  body=$(printf '{"sub":"test-media-server","role":"operator","broadcast":"*","exp":%d}' $(($(date +%s) + seconds)) | base64url)
  printf '%s.%s.%s' "$head" "$body" "$(hmac_of "$head.$body" "$file")"
}
