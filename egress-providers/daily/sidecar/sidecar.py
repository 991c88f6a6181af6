"""Joins a Daily call and publishes a show in it, for Castgate.

The gateway runs one such process for each broadcast that Daily carries. It knows nothing of RTMP or of destinations.

Orders are lines of JSON on standard input, which is a Unix socket:
  {"op": "join", "room", "token", "proxy", "name", "width", "height", "framesPerSecond", "videoBitsPerSecond",
   "audioBitsPerSecond"}   first, once
  {"op": "media"}          with an open file: pictures and sound come from there from now on
  {"op": "alive"}          every second
  {"op": "leave"}          and the end of standard input means the same
Events are lines of JSON on standard output:
  {"ev": "ready", "sdk"}, {"ev": "joined", "participant"}, {"ev": "flowing"}, {"ev": "network", "status"},
  {"ev": "alive", "pictures", "blocks", "dropped"}   every second
  {"ev": "failed", "code", "message"}                last; the process ends with that code
Pictures (I420) and sound (48 kHz, stereo, 16 bits, 10 ms) come each behind 16 bytes, big-endian: kind (1 or 2), three
times 0, length (u32), nanoseconds on the broadcast's timeline (u64). They come when they are due.
"""

import json
import os
import queue
import re
import socket
import struct
import sys
import threading
import time

LEFT = 0
REFUSED = 10  # The token is not taken.
ROOM_GONE = 11  # There is no such room, not yet, or not any more; or we were thrown out.
NETWORK = 12  # Daily cannot be reached, or does not answer as it should.
SETTINGS = 13  # The SDK or Daily does not take what it is asked for.
ABANDONED = 14  # The gateway says nothing any more.
MISSING = 15  # daily-python is not installed, or does not load.
CRASHED = 70  # Something here or in the SDK is broken.

BEAT_SECONDS = 1.0
SILENCE_SECONDS = 10.0  # The gateway's orders come every second.
RESOLVE_SECONDS = 5.0  # The SDK tries for 19 s with a name that has no address.
JOIN_SECONDS = 30.0  # The SDK's own attempts take up to 19 s.
LEAVE_SECONDS = 2.0  # The gateway waits for 3 s.
LINE_BYTES = 64 * 1024  # The longest order.
WAITING_BLOCKS = 5  # Sound that the SDK has not sent yet, in blocks of 10 ms: more would put it behind the pictures.
SOUND_BYTES = 1_920
HEAD = struct.Struct("!BBHIQ")
PICTURE, SOUND = 1, 2

# What the SDK's error texts mean; the first that is found counts. They are words, or the debug output of its enums.
MEANINGS = (
    (SETTINGS, r"Invalid client settings|JsonApiError|HTTP error: 4(00|05|15|22)"),
    (REFUSED, r"HTTP error: 40[13]|(invalid|expired)[- ]?token|token.*(expired|invalid)|[Uu]nauthori[sz]ed|not authorized"),
    (ROOM_GONE, r"HTTP error: (404|410)|no-room|NoLongerAvailable|NotYetAvailable|no longer available|not available yet"),
    (ROOM_GONE, r"[Ee]ject|[Rr]oom.*(deleted|full|expir)|[Mm]eeting.*(ended|full)"),
)
WORDS = {
    REFUSED: "Daily does not take the token",
    ROOM_GONE: "there is no such room, not yet, or not any more",
    NETWORK: "Daily cannot be reached",
    SETTINGS: "Daily does not take the settings",
    ABANDONED: "the gateway says nothing any more",
    MISSING: "daily-python is not installed: run scripts/enable-daily",
    CRASHED: "the sidecar or Daily's SDK is broken",
}


def meaning(text):
    """Which of the codes a text of the SDK stands for. What nobody knows is worth another attempt."""
    for code, pattern in MEANINGS:
        if re.search(pattern, text):
            return code
    return NETWORK


class Failure(Exception):
    """The process has to end, with this code; the message holds no secret."""

    def __init__(self, code, detail=""):
        super().__init__(f"{WORDS[code]}: {detail}" if detail else WORDS[code])
        self.code = code


class Voice:
    """Says events to the gateway. Nothing else may write where it writes."""

    def __init__(self):
        self._lock = threading.Lock()
        # The SDK writes to standard output, too; that goes where its complaints go.
        self._file = os.fdopen(os.dup(1), "w", buffering=1, encoding="utf-8")
        os.dup2(2, 1)

    def say(self, event, **fields):
        with self._lock:
            try:
                self._file.write(json.dumps({"ev": event, **fields}) + "\n")
            except OSError:
                pass  # The end of standard input tells the same.


class Orders(threading.Thread):
    """Reads orders, with the files that come with them, and tells them to the main thread."""

    def __init__(self, inbox):
        super().__init__(name="orders", daemon=True)
        self._inbox = inbox
        self._socket = socket.socket(fileno=os.dup(0))
        self._socket.setblocking(True)

    def run(self):
        rest, files = b"", []
        while True:
            try:
                data, new, _, _ = socket.recv_fds(self._socket, LINE_BYTES, 1)
            except OSError:
                data, new = b"", []
            files += new
            if not data or len(rest) + len(data) > LINE_BYTES:
                self._inbox.put(("end",))
                return
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                try:
                    order = json.loads(line)
                    file = files.pop(0) if order["op"] == "media" else None
                except (ValueError, KeyError, TypeError, IndexError):
                    self._inbox.put(("failed", CRASHED, "an order makes no sense"))
                    return
                self._inbox.put(("order", order, file))


class Media(threading.Thread):
    """Hands pictures and sound from one file to the SDK, until the file ends."""

    def __init__(self, file, sources, picture_bytes, inbox):
        super().__init__(name="media", daemon=True)
        self._file = os.fdopen(file, "rb")
        self._sources = sources
        self._picture_bytes = picture_bytes
        self._inbox = inbox

    def run(self):
        try:
            while self._next():
                pass
        except Failure as failure:
            self._inbox.put(("failed", failure.code, "the media are out of step"))
        except Exception as error:  # The SDK raises what it likes.
            self._inbox.put(("failed", CRASHED, type(error).__name__))
        finally:
            self._file.close()

    def _next(self):
        head = self._file.read(HEAD.size)
        if len(head) < HEAD.size:
            return False
        kind, flags, nothing, length, _ = HEAD.unpack(head)
        expected = {PICTURE: self._picture_bytes, SOUND: SOUND_BYTES}.get(kind)
        # Older SDKs take a picture of a wrong length without a word.
        if length != expected or flags or nothing:
            raise Failure(CRASHED)
        body = self._file.read(length)
        if len(body) < length:
            return False
        if kind == PICTURE:
            self._sources.show(body)
        else:
            self._sources.sound(body)
        return True


class Sources:
    """What the SDK takes pictures and sound from, and how many it was given."""

    def __init__(self, daily, width, height):
        self._video = daily.CustomVideoSource(width, height, "I420")
        self._audio = daily.CustomAudioSource(48_000, 2, True)
        self.video_track = daily.CustomVideoTrack(self._video)
        self.audio_track = daily.CustomAudioTrack(self._audio)
        self._lock = threading.Lock()
        self._waiting = 0
        self.pictures = self.blocks = self.dropped = 0

    def show(self, picture):
        self._video.write_frame(picture)
        self.pictures += 1

    def sound(self, block):
        with self._lock:
            if self._waiting >= WAITING_BLOCKS:
                self.dropped += 1
                return
            self._waiting += 1
        self.blocks += 1
        self._audio.write_frames(block, completion=self._written)

    def _written(self, _frames):
        with self._lock:
            self._waiting -= 1


def publishing(order, sources):
    """How the show is sent: one layer of H.264, as it is, whatever the SDK thinks of the network."""
    return {
        "inputs": {
            "camera": {"isEnabled": True, "settings": {"customTrack": {"id": sources.video_track.id}}},
            "microphone": {"isEnabled": True, "settings": {"customTrack": {"id": sources.audio_track.id}}},
        },
        "publishing": {
            "camera": {
                "isPublishing": True,
                "sendSettings": {
                    "preferredCodec": "H264",
                    "allowAdaptiveLayers": False,
                    "encodings": {
                        "low": {
                            "maxBitrate": order["videoBitsPerSecond"],
                            "maxFramerate": float(order["framesPerSecond"]),
                            "scaleResolutionDownBy": 1.0,
                        }
                    },
                },
            },
            "microphone": {
                "isPublishing": True,
                "sendSettings": {"channelConfig": "stereo", "bitrate": order["audioBitsPerSecond"]},
            },
        },
    }


class Sidecar:
    """One stay in one call. All decisions are made on the main thread; the SDK's threads only tell what happened."""

    def __init__(self, voice, inbox):
        self._voice = voice
        self._inbox = inbox
        self._daily = None
        self._call = None
        self._sources = None
        self._picture_bytes = 0
        self._join_by = None
        self._joined = False
        self._flowing = False
        self._heard = time.monotonic()
        self._beaten = 0.0

    def run(self):
        """Returns the code to end with."""
        try:
            self._daily = self._load()
            self._voice.say("ready", sdk=getattr(self._daily, "__version__", "unknown"))
            while True:
                if self._beat() == LEFT:
                    return LEFT
        except Failure as failure:
            self._voice.say("failed", code=failure.code, message=str(failure))
            return failure.code
        except Exception as error:
            # Its text may repeat what it was given.
            self._voice.say("failed", code=CRASHED, message=f"{WORDS[CRASHED]}: {type(error).__name__}")
            return CRASHED

    def _load(self):
        try:
            import daily

            daily.Daily.init(worker_threads=2, log_level=daily.LogLevel.Off)
        except Exception as error:
            raise Failure(MISSING, type(error).__name__) from None
        return daily

    def _beat(self):
        """One event, or a second without one. Returns what to end with, or None."""
        try:
            what, *rest = self._inbox.get(timeout=BEAT_SECONDS / 4)
        except queue.Empty:
            what, rest = "nothing", []
        if what == "end":
            return LEFT
        # What is wrong with joining is told by the end of joining, in other words before.
        if what == "failed" or (what == "thrown out" and self._joined):
            raise Failure(*rest)
        if what == "order":
            self._heard = time.monotonic()
            if self._obey(*rest) == LEFT:
                return LEFT
        if what == "joined":
            self._join_by, self._joined = None, True
            self._voice.say("joined", participant=rest[0])
        if what == "network":
            self._voice.say("network", status=rest[0])
        self._look_around()
        return None

    def _look_around(self):
        now = time.monotonic()
        if now - self._heard > SILENCE_SECONDS:
            raise Failure(ABANDONED)
        if self._join_by is not None and now > self._join_by:
            raise Failure(NETWORK, "joining took too long")
        if self._joined and not self._flowing and self._sources.pictures:
            self._flowing = True
            self._voice.say("flowing")
        if now - self._beaten >= BEAT_SECONDS:
            self._beaten = now
            sources = self._sources
            counts = (sources.pictures, sources.blocks, sources.dropped) if sources else (0, 0, 0)
            self._voice.say("alive", **dict(zip(("pictures", "blocks", "dropped"), counts)))

    def _obey(self, order, file):
        op = order["op"]
        if op == "join" and self._call is None:
            self._join(order)
        elif op == "media" and self._sources is not None:
            Media(file, self._sources, self._picture_bytes, self._inbox).start()
        elif op == "leave":
            return LEFT
        elif op != "alive":
            raise Failure(CRASHED, "an order comes at the wrong time")
        return None

    def _join(self, order):
        daily = self._daily
        self._resolve(order.get("proxy") or order["room"])
        self._picture_bytes = order["width"] * order["height"] * 3 // 2
        self._sources = Sources(daily, order["width"], order["height"])
        self._call = daily.CallClient(self._listener())
        if order.get("proxy"):
            self._call.set_proxy_url(order["proxy"])
        self._call.set_user_name(order["name"])
        # Nothing of the call is wanted.
        self._call.update_subscription_profiles({"base": {"camera": "unsubscribed", "microphone": "unsubscribed"}})
        self._join_by = time.monotonic() + JOIN_SECONDS
        settings = publishing(order, self._sources)
        self._call.join(order["room"], order["token"], settings, completion=self._on_join)

    def _resolve(self, url):
        """Fails quickly where the name has no address."""
        host = re.sub(r"^\w+://", "", url).split("/")[0].rsplit("@")[-1]
        host = re.sub(r":\d+$", "", host).strip("[]")
        found = queue.Queue()

        def look():
            try:
                found.put(bool(socket.getaddrinfo(host, 443)))
            except OSError:
                found.put(False)

        threading.Thread(target=look, name="resolve", daemon=True).start()
        try:
            has_address = found.get(timeout=RESOLVE_SECONDS)
        except queue.Empty:
            has_address = False
        if not has_address:
            raise Failure(NETWORK, "its name has no address")

    def _on_join(self, data, error):
        if error is not None:
            self._inbox.put(("failed", meaning(error)))
            return
        local = ((data or {}).get("participants") or {}).get("local") or {}
        self._inbox.put(("joined", str(local.get("id", ""))))

    def _listener(self):
        inbox = self._inbox

        class Listener(self._daily.EventHandler):
            """The SDK calls it on threads of its own."""

            def on_error(self, message):
                inbox.put(("thrown out", meaning(message)))

            def on_call_state_updated(self, state):
                # We do not leave while anybody listens here.
                if state == "left":
                    inbox.put(("thrown out", ROOM_GONE, "we were asked to leave"))

            def on_network_connection_status_updated(self, status):
                inbox.put(("network", str(status)[:64] if isinstance(status, str) else json.dumps(status)[:256]))

        return Listener()

    def leave(self):
        """Leaves the call in order, if it is in one."""
        if self._call is None:
            return
        left = threading.Event()
        try:
            self._call.leave(completion=lambda _error: left.set())
            left.wait(LEAVE_SECONDS)
            self._call.release()
        except Exception:
            pass  # It ends in any case.


def main():
    voice = Voice()
    # Orders wait for room; the SDK's events are few.
    inbox = queue.Queue(maxsize=64)
    Orders(inbox).start()
    sidecar = Sidecar(voice, inbox)
    code = sidecar.run()
    # Whatever hangs in the SDK, this process ends.
    end = threading.Timer(LEAVE_SECONDS + 0.5, os._exit, [code])
    end.daemon = True
    end.start()
    sidecar.leave()
    # Tracks that are freed after the SDK's own end make it abort, so nothing is freed.
    os._exit(code)


if __name__ == "__main__":
    main()
