# shellcheck shell=bash
# shellcheck disable=SC2034 # The package lists are used by the scripts that source this.
# What the other scripts need on a bare Debian 12, and only what is missing. Sourced; run as root, or with sudo on the PATH.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
readonly root

# Building: bindings to GStreamer, and the codecs' C sources.
build_packages=(
  build-essential pkg-config cmake clang libclang-dev git curl ca-certificates
  libgstreamer1.0-dev libgstreamer-plugins-base1.0-dev
)
# Running: the synthetic studio's picture and sound, the demo's measurement, and the slate's letters.
run_packages=(
  gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-bad gstreamer1.0-plugins-ugly
  gstreamer1.0-libav gstreamer1.0-x ffmpeg fonts-dejavu-core
)
# Testing: an RTMP server and an SFU that are not ours, a browser, networks of a test's own, a look at processes and sockets,
# what judges the files in docker/, and GStreamer's webrtcbin from Python.
test_packages=(
  nginx-light libnginx-mod-rtmp libnginx-mod-stream redis-server openssl janus chromium procps iproute2 nftables shellcheck
  curl prometheus systemd gstreamer1.0-nice python3-gst-1.0 gir1.2-gst-plugins-bad-1.0
)

say() {
  printf '\033[1m== %s\033[0m\n' "$*"
}

die() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}

as_root() {
  if [ "$(id -u)" -eq 0 ]; then
    "$@"
  elif command -v sudo >/dev/null; then
    sudo "$@"
  else
    die "missing packages have to be installed: run as root, or install sudo"
  fi
}

installed() {
  [ "$(dpkg-query --show --showformat='${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

# Installs those of the named Debian packages that are missing. Daemons among them are not started.
need_packages() {
  local package missing=()
  for package in "$@"; do
    # Any build of nginx will do.
    [ "$package" = nginx-light ] && command -v /usr/sbin/nginx >/dev/null && continue
    installed "$package" || missing+=("$package")
  done
  [ ${#missing[@]} -eq 0 ] && return
  command -v apt-get >/dev/null || die "this is not Debian; install by hand: ${missing[*]}"

  say "installing ${missing[*]}"
  local policy=/usr/sbin/policy-rc.d ours=false
  if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
    as_root chmod +x "$policy"
    ours=true
  fi
  local failed=false
  { as_root apt-get update -qq &&
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null; } ||
    failed=true
  if $ours; then as_root rm -f "$policy"; fi
  if $failed; then die "apt-get could not install ${missing[*]}"; fi
}

# Puts the pinned Rust toolchain on the PATH.
need_rust() {
  local pinned
  pinned=$(sed -n 's/^channel = "\(.*\)"$/\1/p' "$root/rust-toolchain.toml")
  [ -d "$HOME/.cargo/bin" ] && PATH="$HOME/.cargo/bin:$PATH"
  if ! command -v cargo >/dev/null; then
    say "installing rustup"
    curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs |
      sh -s -- -y --profile minimal --default-toolchain none --no-modify-path
    PATH="$HOME/.cargo/bin:$PATH"
  fi
  export PATH
  # A cargo of the distribution, or one named by the caller, is taken as it is.
  command -v rustup >/dev/null && [ -z "${RUSTUP_TOOLCHAIN:-}" ] || return 0
  rustup toolchain list | grep -q "^$pinned-" && return
  if [ "$(RUSTUP_TOOLCHAIN=stable rustc --version 2>/dev/null | cut -d' ' -f2)" = "$pinned" ]; then
    export RUSTUP_TOOLCHAIN=stable
    return
  fi
  say "installing Rust $pinned"
  rustup toolchain install "$pinned" --profile minimal --component rustfmt --component clippy
}

# Prints 0 when there is no Node.js.
node_major() {
  local version
  version=$(node --version 2>/dev/null) || version=v0
  version=${version#v}
  printf '%s' "${version%%.*}"
}

# Puts a Node.js that Vite accepts on the PATH. Debian 12 has version 18, whose npm can fetch a newer one.
need_node() {
  local wanted=20 cache="${XDG_CACHE_HOME:-$HOME/.cache}/castgate/node"
  [ -d "$cache/node_modules/node/bin" ] && PATH="$cache/node_modules/node/bin:$PATH"
  command -v npm >/dev/null || need_packages nodejs npm
  if [ "$(node_major)" -lt $wanted ]; then
    say "installing Node.js 22"
    mkdir -p "$cache"
    npm install --silent --no-audit --no-fund --prefix "$cache" node@22
    PATH="$cache/node_modules/node/bin:$PATH"
  fi
  export PATH
  [ "$(node_major)" -ge $wanted ] || die "Node.js $wanted or newer is needed, found $(node --version)"
}

# Makes node_modules in a folder what its lockfile says; does nothing when it is that already.
need_node_modules() {
  local folder=$1
  local stamp="$folder/node_modules/.castgate-lock"
  cmp -s "$folder/package-lock.json" "$stamp" && return
  say "npm ci in ${folder#"$root"/}"
  (cd "$folder" && npm ci --no-audit --no-fund --silent)
  cp "$folder/package-lock.json" "$stamp"
}

# Makes a Python of its own in a folder, with these packages of PyPI; does nothing when it has been made so already.
need_venv() {
  local venv=$1
  shift
  local stamp="$venv/.castgate-packages"
  [ "$(cat "$stamp" 2>/dev/null)" = "$*" ] && [ -x "$venv/bin/python" ] && return
  # Debian's Python comes without what makes a venv.
  python3 -c 'import ensurepip, venv' 2>/dev/null || need_packages python3 python3-venv
  say "installing $* in $venv"
  python3 -m venv --clear "$venv"
  "$venv/bin/pip" install --quiet --disable-pip-version-check "$@"
  printf '%s' "$*" >"$stamp"
}

# Puts a Python with what tests take from PyPI on the PATH.
need_python() {
  local venv="${XDG_CACHE_HOME:-$HOME/.cache}/castgate/python" packages
  mapfile -t packages < <(grep '==' "$root/tests/servers/requirements.txt")
  mkdir -p "$venv"
  need_venv "$venv" "${packages[@]}"
  PATH="$venv/bin:$PATH"
  export PATH
}

# Builds the pages that the binary embeds.
build_web() {
  need_node
  need_node_modules "$root/web"
  say "building the pages"
  (cd "$root/web" && npm run --silent build)
}
