"""Daily's SDK as far as Castgate's sidecar uses it, without Daily: what is published in the call goes to an RTMP server.

It is found as `daily` by a sidecar whose PYTHONPATH has it under that name. Surroundings:
  FAKE_DAILY_RTMP      where to publish; a room's name is appended: rtmp://127.0.0.1:1935/live -> …/live/ROOM
  FAKE_DAILY_JOIN      the error that joining ends with, as the real SDK words it
  FAKE_DAILY_PRESENCE  a folder with a file for each participant, named by its room and its process
  FAKE_DAILY_END       seconds after joining that the call ends: we are thrown out
  FAKE_DAILY_USED      a folder in which used tokens are noted: each of them lets in once
  FAKE_DAILY_LOG       a file of lines: what was joined and how, with settings and without the token
Like Daily's media server it samples what it gets at a steady rate: the newest picture 30 times a second, and sound, or
silence, without end.
"""

import ctypes
import hashlib
import json
import os
import queue
import signal
import subprocess
import threading
import time
import uuid

__version__ = "fake"
RATE = 30
LATE_SECONDS = 3  # How long the encoder may take nothing.
CODECS = ("VP8", "VP9", "H264", "H265")
LIBC = ctypes.CDLL(None)
PR_SET_PDEATHSIG = 1


class LogLevel:
    Off = Error = Warn = Info = Debug = Trace = 0


class Daily:
    @staticmethod
    def init(worker_threads=2, log_level=LogLevel.Off):
        assert worker_threads > 0

    @staticmethod
    def deinit():
        pass


class EventHandler:
    def __init__(self):
        pass

    def on_error(self, message):
        pass

    def on_call_state_updated(self, state):
        pass

    def on_network_connection_status_updated(self, status):
        pass


class CustomVideoSource:
    def __init__(self, width, height, color_format="RGBA"):
        assert color_format == "I420"
        self.width, self.height = width, height
        self.newest = None

    def write_frame(self, frame):
        assert type(frame) is bytes, "the real one takes nothing else"
        if len(frame) != self.width * self.height * 3 // 2:
            raise ValueError("frame size mismatch")
        self.newest = frame


class CustomAudioSource:
    def __init__(self, sample_rate, channels, auto_silence=True):
        assert (sample_rate, channels) == (48_000, 2)
        self._lock = threading.Lock()
        self._waiting = []

    def write_frames(self, frame, completion=None):
        assert type(frame) is bytes and len(frame) % 4 == 0
        with self._lock:
            self._waiting.append((frame, completion))

    def take(self, blocks):
        """So many blocks of 10 ms, as far as they are there."""
        sound = b""
        for _ in range(blocks):
            with self._lock:
                frame, completion = self._waiting.pop(0) if self._waiting else (bytes(1_920), None)
            sound += frame
            if completion is not None:
                completion(len(frame) // 4)
        return sound


class _Track:
    by_id = {}

    def __init__(self, source):
        self.id = str(uuid.uuid4())
        self.by_id[self.id] = source


class CustomVideoTrack(_Track):
    pass


class CustomAudioTrack(_Track):
    pass


def _die_with_parent():
    """Whoever is killed publishes nothing any more, not even what was waiting."""
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class CallClient:
    def __init__(self, event_handler=None):
        self._handler = event_handler
        self._ended = threading.Event()
        self._thread = None
        self._presence = None

    def set_user_name(self, user_name):
        assert user_name

    def set_proxy_url(self, proxy_url=None, completion=None):
        pass

    def update_subscription_profiles(self, profile_settings, completion=None):
        assert "base" in profile_settings

    def join(self, meeting_url, meeting_token=None, client_settings=None, completion=None):
        threading.Thread(target=self._join, args=(meeting_url, meeting_token, client_settings, completion)).start()

    def _join(self, meeting_url, meeting_token, settings, completion):
        error = os.environ.get("FAKE_DAILY_JOIN") or self._mistake(settings) or self._used(meeting_token)
        log = os.environ.get("FAKE_DAILY_LOG")
        if log:
            with open(log, "a", encoding="utf-8") as file:
                line = {"room": meeting_url, "token": len(meeting_token or ""), "settings": settings, "error": error}
                file.write(json.dumps(line) + "\n")
        if error:
            completion(None, error)
            return
        room = meeting_url.rstrip("/").rsplit("/", 1)[-1]
        inputs = settings["inputs"]
        video = _Track.by_id[inputs["camera"]["settings"]["customTrack"]["id"]]
        audio = _Track.by_id[inputs["microphone"]["settings"]["customTrack"]["id"]]
        folder = os.environ.get("FAKE_DAILY_PRESENCE")
        if folder:
            self._presence = os.path.join(folder, f"{room}.{os.getpid()}")
            with open(self._presence, "w", encoding="utf-8"):
                pass
        self._thread = threading.Thread(target=self._publish, args=(room, video, audio))
        self._thread.start()
        self._handler.on_call_state_updated("joined")
        completion({"participants": {"local": {"id": str(uuid.uuid4())}}}, None)
        end = os.environ.get("FAKE_DAILY_END")
        if end and not self._ended.wait(float(end)):
            self._handler.on_call_state_updated("left")

    @staticmethod
    def _mistake(settings):
        encodings = settings["publishing"]["camera"]["sendSettings"]
        if encodings["preferredCodec"] not in CODECS or not isinstance(encodings["encodings"], dict):
            return "Invalid client settings: JsonApiError"
        return None

    @staticmethod
    def _used(token):
        folder = os.environ.get("FAKE_DAILY_USED")
        if not folder:
            return None
        try:
            with open(os.path.join(folder, hashlib.sha256(token.encode()).hexdigest()), "x", encoding="utf-8"):
                return None
        except FileExistsError:
            return 'Connection(Api(RoomLookup(RoomInfoError(Unhandled("expired-token")))))'

    def leave(self, completion=None):
        self._ended.set()
        if self._thread is not None:
            self._thread.join(2)
        if self._presence:
            os.unlink(self._presence)
            self._presence = None
        if completion is not None:
            completion(None)

    def release(self):
        pass

    def _publish(self, room, video, audio):
        base = os.environ.get("FAKE_DAILY_RTMP")
        if not base:
            self._ended.wait()
            return
        # A streaming server begins when it sees somebody.
        while video.newest is None and not self._ended.wait(0.01):
            pass
        pipes, process = self._start(f"{base}/{room}", video.width, video.height)
        # What is seen at a time is sent as of that time, whenever the encoder takes it.
        queues = [queue.Queue(maxsize=LATE_SECONDS * RATE), queue.Queue(maxsize=LATE_SECONDS * 100)]
        writers = [threading.Thread(target=self._write, args=pair) for pair in zip(pipes, queues)]
        for writer in writers:
            writer.start()
        begun, blocks, pictures = time.monotonic(), 0, 0
        while not self._ended.is_set():
            queues[1].put(audio.take(1))
            blocks += 1
            if pictures * 100 < blocks * RATE:
                queues[0].put(video.newest)
                pictures += 1
            time.sleep(max(0.0, begun + blocks / 100 - time.monotonic()))
        for waiting, writer in zip(queues, writers):
            waiting.put(None)
            writer.join(1)
        process.wait()

    def _write(self, pipe, waiting):
        try:
            while (media := waiting.get()) is not None:
                pipe.write(media)
        except BrokenPipeError:
            self._ended.set()
            while waiting.get() is not None:
                pass
        pipe.close()

    @staticmethod
    def _start(url, width, height):
        ends = [os.pipe(), os.pipe()]
        video, audio = (end[0] for end in ends)
        command = f"""ffmpeg -nostdin -loglevel error
            -thread_queue_size 64 -probesize 32 -analyzeduration 0
            -f rawvideo -pix_fmt yuv420p -s {width}x{height} -r {RATE} -i pipe:{video}
            -thread_queue_size 64 -probesize 32 -analyzeduration 0 -f s16le -ar 48000 -ac 2 -i pipe:{audio}
            -c:v libx264 -preset ultrafast -tune zerolatency -g {2 * RATE} -b:v 3M -pix_fmt yuv420p
            -c:a aac -b:a 128k -f flv {url}""".split()
        process = subprocess.Popen(
            command,
            pass_fds=(video, audio),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            preexec_fn=_die_with_parent,
        )
        for end in (video, audio):
            os.close(end)
        return [os.fdopen(end[1], "wb", buffering=0) for end in ends], process
