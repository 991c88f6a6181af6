"""What Daily's own SDK does without Daily: it is run for real, against a TLS server that answers as Daily's room lookup does.

  daily_join.py settings SIDECAR.py   which settings the SDK takes, the sidecar's own among them
  daily_join.py joins SIDECAR.py      what the sidecar ends with for each answer of the room lookup
  daily_join.py leaves SIDECAR.py     joins that fail, left and released twenty times in one process
  daily_join.py frames SIDECAR.py     how the SDK takes pictures and sound

Prints one line of JSON for each case, and ends with 0 when all are as expected. Needs what requirements.txt lists.
"""

import concurrent.futures
import contextlib
import datetime
import http.server
import importlib.util
import ipaddress
import json
import os
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time

TOKEN = "canary-eyJhbGciOi"
WRONG = []


def case(name, actual, expected):
    is_right = actual == expected
    if not is_right:
        WRONG.append(name)
    print(json.dumps({"case": name, "actual": actual, "expected": expected, "right": is_right}), flush=True)


def make_certificates(folder):
    """A root of our own, and a server for 127.0.0.1 that it vouches for."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    def name(text):
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

    def certificate(subject, issuer, key, signer, extension, critical):
        now, day = datetime.datetime.now(datetime.timezone.utc), datetime.timedelta(days=1)
        builder = x509.CertificateBuilder().subject_name(name(subject)).issuer_name(name(issuer))
        builder = builder.public_key(key.public_key()).serial_number(x509.random_serial_number())
        builder = builder.not_valid_before(now - day).not_valid_after(now + day).add_extension(extension, critical)
        return builder.sign(signer, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    root, server = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    alternative = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    key = server.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    files = {
        "root.pem": certificate("root", "root", root, root, x509.BasicConstraints(True, None), True),
        "server.pem": certificate("server", "root", server, root, alternative, False),
        "key.pem": key,
    }
    for file, content in files.items():
        with open(os.path.join(folder, file), "wb") as output:
            output.write(content)


class Lookup(http.server.BaseHTTPRequestHandler):
    """Daily's room lookup, which gives each room the answer that its name asks for."""

    answers = {
        "no-room": (200, {"error": "no-room"}),
        "exp-room": (200, {"error": "exp-room"}),
        "nbf-room": (200, {"error": "nbf-room"}),
        "invalid-token": (200, {"error": "invalid-token"}),
        "unauthorized": (200, {"error": "unauthorized"}),
        "bad-request": (400, {"error": "invalid-request-error", "info": "?"}),
        "unauthenticated": (401, {"error": "authentication-error", "info": "?"}),
        "forbidden": (403, {"error": "forbidden-error", "info": "?"}),
        "not-found": (404, {"error": "not-found", "info": "?"}),
        "too-often": (429, {"error": "rate-limit-error", "info": "?"}),
        "broken": (500, {"error": "server-error"}),
        "away": (503, {}),
        "nonsense": (200, []),
    }
    tokens = set()

    def do_GET(self):
        self.tokens.add(self.headers.get("x-dailyjointoken"))
        status, body = self.answers[self.path.rsplit("/", 1)[-1]]
        body = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def lookup():
    """Runs the lookup, and tells its address and the root that vouches for it."""
    with tempfile.TemporaryDirectory() as folder:
        make_certificates(folder)
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Lookup)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(os.path.join(folder, "server.pem"), os.path.join(folder, "key.pem"))
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"https://127.0.0.1:{server.server_port}/", os.path.join(folder, "root.pem")
        server.shutdown()


def load(path):
    spec = importlib.util.spec_from_file_location("sidecar", path)
    sidecar = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sidecar)
    return sidecar


def order(room, proxy):
    return {
        "op": "join", "room": f"https://castgate.daily.co/{room}", "token": TOKEN, "proxy": proxy, "name": "Castgate",
        "width": 1280, "height": 720, "framesPerSecond": 30, "videoBitsPerSecond": 4_500_000,
        "audioBitsPerSecond": 128_000,
    }  # fmt: skip


def join(daily, settings, proxy, room="no-room"):
    """How a join with these settings ends."""
    ended, said = threading.Event(), []
    call = daily.CallClient()
    call.set_proxy_url(proxy)

    def on_join(_data, error):
        said.append(error)
        ended.set()

    call.join(f"https://castgate.daily.co/{room}", TOKEN, settings, completion=on_join)
    if not ended.wait(30):
        said.append("nothing")
    left = threading.Event()
    call.leave(completion=lambda _error: left.set())
    left.wait(5)
    call.release()
    return said[0]


def settings(path):
    import daily

    sidecar = load(path)
    daily.Daily.init(worker_threads=2, log_level=daily.LogLevel.Off)
    sources = sidecar.Sources(daily, 1280, 720)

    def changed(**changes):
        changed = sidecar.publishing(order("no-room", None), sources)
        for place, value in changes.items():
            if place == "audio":
                changed["publishing"]["microphone"]["sendSettings"] = value
            else:
                changed["publishing"]["camera"]["sendSettings"][place] = value
        return changed

    layer = {"maxBitrate": 4_500_000, "maxFramerate": 30.0, "scaleResolutionDownBy": 1.0}
    cases = [
        ("ours", changed(), True),
        ("VP8", changed(preferredCodec="VP8"), True),
        ("VP9", changed(preferredCodec="VP9"), True),
        ("H265", changed(preferredCodec="H265"), True),
        ("AV1", changed(preferredCodec="AV1"), False),
        ("encodings as a list", changed(encodings=[layer]), False),
        ("three layers", changed(encodings={"low": layer, "medium": layer, "high": layer}), True),
        ("a bitrate in words", changed(encodings={"low": {**layer, "maxBitrate": "much"}}), False),
        ("sound of one channel", changed(audio={"channelConfig": "mono", "bitrate": 64_000}), True),
        ("sound of six channels", changed(audio={"channelConfig": "5.1"}), False),
    ]
    with lookup() as (proxy, root):
        os.environ["SSL_CERT_FILE"] = root
        for name, value, is_taken in cases:
            error = join(daily, value, proxy)
            # What is taken is asked for at Daily.
            case(name, "no-room" in error, is_taken)
            case(f"{name}: code", sidecar.meaning(error), sidecar.ROOM_GONE if is_taken else sidecar.SETTINGS)


def joins(path):
    codes = {
        "no-room": 11, "exp-room": 11, "nbf-room": 11, "not-found": 11, "invalid-token": 10, "unauthorized": 10,
        "unauthenticated": 10, "forbidden": 10, "bad-request": 13, "too-often": 12, "broken": 12, "away": 12,
        "nonsense": 12,
    }  # fmt: skip
    closed = socket.socket()
    closed.bind(("127.0.0.1", 0))
    nobody = f"https://127.0.0.1:{closed.getsockname()[1]}/"
    unknown = {**order("no-room", None), "room": "https://daily.invalid/room"}
    wrong = {**order("no-room", None), "room": "https://127.0.0.1/x", "videoBitsPerSecond": -1}
    with lookup() as (proxy, root), concurrent.futures.ThreadPoolExecutor(8) as pool:
        trusting = {"SSL_CERT_FILE": root}
        orders = [(room, code, order(room, proxy), trusting) for room, code in codes.items()]
        orders += [
            ("nobody vouches", 12, order("no-room", proxy), {}),
            ("nobody listens", 12, order("no-room", nobody), {}),
            ("no such name", 12, unknown, {}),
            ("settings", 13, wrong, {}),
        ]
        ends = [pool.submit(run, path, join_order, surroundings) for _, _, join_order, surroundings in orders]
        for (name, code, _, _), end in zip(orders, ends):
            *said, seconds = end.result()
            # The exit code, the code that was said, and whether the token was kept.
            case(name, said, [code, code, True])
            # The gateway stays patient for 15 s of silence, and the sidecar is never silent; the SDK tries for 19 s.
            case(f"{name}: in time", seconds < 40, True)
        case("the token is shown to Daily", sorted(Lookup.tokens), [TOKEN])


def run(path, join_order, surroundings):
    """What a sidecar ends with, what it said before, whether it kept the token to itself, and how long that took."""
    begun = time.monotonic()
    near, far = socket.socketpair()
    environment = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", **surroundings}
    process = subprocess.Popen(
        [sys.executable, "-B", "-s", path], stdin=far, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment
    )
    far.close()
    near.sendall(json.dumps(join_order).encode() + b"\n")
    stop = threading.Event()

    def beat():
        while not stop.wait(1):
            with contextlib.suppress(OSError):
                near.sendall(b'{"op":"alive"}\n')

    threading.Thread(target=beat, daemon=True).start()
    output, _ = process.communicate(timeout=60)
    stop.set()
    near.close()
    events = [json.loads(line) for line in output.splitlines()]
    failed = [event["code"] for event in events if event["ev"] == "failed"]
    is_kept = TOKEN.encode() not in output
    return [process.returncode, failed[0] if failed else None, is_kept, time.monotonic() - begun]


def leaves(_path):
    import daily

    daily.Daily.init(worker_threads=2, log_level=daily.LogLevel.Off)
    with lookup() as (proxy, root):
        os.environ["SSL_CERT_FILE"] = root
        after_five = 0
        for number in range(20):
            error = join(daily, {}, proxy)
            if number == 4:
                after_five = memory_kb()
        grown = memory_kb() - after_five
        case("twenty leaves", "no-room" in error, True)
        # A call has a few threads and a connection; what is not freed would be megabytes each.
        case("memory grows by less than 2 MB a call", grown < 15 * 2_000, True)


def memory_kb():
    with open("/proc/self/status", encoding="utf-8") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))


def frames(_path):
    import daily

    daily.Daily.init(worker_threads=2, log_level=daily.LogLevel.Off)
    video = daily.CustomVideoSource(320, 176, "I420")
    video_track = daily.CustomVideoTrack(video)

    def outcome(picture):
        try:
            video.write_frame(picture)
        except Exception as error:  # The SDK raises what it likes.
            return type(error).__name__
        return "taken"

    case("a whole picture", outcome(bytes(320 * 176 * 3 // 2)), "taken")
    case("a short picture", outcome(bytes(100)) != "taken", True)
    audio = daily.CustomAudioSource(48_000, 2, True)
    audio_track = daily.CustomAudioTrack(audio)
    written = []
    begun = time.monotonic()
    for _ in range(50):
        audio.write_frames(bytes(1_920), completion=written.append)
    case("sound is not waited for", time.monotonic() - begun < 0.2, True)
    deadline = time.monotonic() + 5
    while sum(written) < 50 * 480 and time.monotonic() < deadline:
        time.sleep(0.01)
    took = time.monotonic() - begun
    case("half a second of sound takes half a second", [sum(written), 0.4 < took < 1.0], [50 * 480, True])
    del video_track, audio_track


def main():
    what, path = sys.argv[1:]
    {"settings": settings, "joins": joins, "leaves": leaves, "frames": frames}[what](path)
    sys.stdout.flush()
    # As the sidecar: tracks that are freed after the SDK's own end make it abort.
    os._exit(1 if WRONG else 0)


if __name__ == "__main__":
    main()
