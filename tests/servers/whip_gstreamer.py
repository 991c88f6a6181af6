"""A WHIP server on GStreamer's webrtcbin, which shares no code with the gateway: decodes what it is sent, and measures it.

Wants gstreamer1.0-nice, python3-gst-1.0 and gir1.2-gst-plugins-bad-1.0, and the system's own Python. Its candidates are
those of libnice, which leaves loopback out: it needs a network.
usage: whip_gstreamer.py ADDRESS
It prints its URL as one JSON document, and then obeys: one command a line on standard input, one document a line as its
answer.
commands: report (what was decoded so far), quit
"""

import json
import sys
import threading
from array import array
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstWebRTC", "1.0")
gi.require_version("GstSdp", "1.0")
from gi.repository import Gst, GstSdp, GstWebRTC  # noqa: E402

# Mean luma above which a picture is a flash of the synthetic studio, and amplitude above which sound is its beep.
FLASH, BEEP = 200, 3_000

# Two onsets of one kind are at least this far apart, in seconds.
LEAST_PAUSE = 0.5

# Stereo samples of 5 ms.
BLOCK = 480

# How long candidates may take, on a machine that is busy.
GATHERING_SECONDS = 20

PICTURE = "queue ! rtph264depay ! h264parse ! avdec_h264 ! videoconvert ! videoscale \
  ! video/x-raw,format=GRAY8,width=64,height=36 ! appsink name=sink emit-signals=true sync=false"
SOUND = "queue ! rtpopusdepay ! opusdec ! audioconvert ! audioresample \
  ! audio/x-raw,format=S16LE,channels=2,rate=48000 ! appsink name=sink emit-signals=true sync=false"


class Session:
    """One session. Times are those that the jitter buffers give, which they move by the sender's reports."""

    def __init__(self, offer):
        self.frames, self.onsets = {"video": 0, "audio": 0}, {"video": [], "audio": []}
        self.pipeline = Gst.Pipeline.new(None)
        self.connection = Gst.ElementFactory.make("webrtcbin", None)
        self.connection.set_property("bundle-policy", GstWebRTC.WebRTCBundlePolicy.MAX_BUNDLE)
        self.connection.set_property("latency", 300)
        self.connection.connect("pad-added", self.take)
        self.pipeline.add(self.connection)
        self.pipeline.set_state(Gst.State.PLAYING)
        _, sdp = GstSdp.SDPMessage.new()
        GstSdp.sdp_message_parse_buffer(offer.encode(), sdp)
        description = GstWebRTC.WebRTCSessionDescription.new(GstWebRTC.WebRTCSDPType.OFFER, sdp)
        self.ask("set-remote-description", description)
        reply = self.ask("create-answer", None)
        answer = reply.get_value("answer")
        gathered = threading.Event()

        def changed(connection, _parameter):
            if connection.get_property("ice-gathering-state") == GstWebRTC.WebRTCICEGatheringState.COMPLETE:
                gathered.set()

        self.connection.connect("notify::ice-gathering-state", changed)
        self.ask("set-local-description", answer)
        del answer, reply
        changed(self.connection, None)
        if not gathered.wait(GATHERING_SECONDS):
            raise TimeoutError("candidates")
        self.answer = self.connection.get_property("local-description").sdp.as_text()

    def ask(self, signal, argument):
        promise = Gst.Promise.new()
        self.connection.emit(signal, argument, promise)
        promise.wait()
        # What is taken out of a reply lives only as long as the reply: an answer without it is empty.
        return promise.get_reply()

    def take(self, _connection, pad):
        if pad.direction != Gst.PadDirection.SRC:
            return
        kind = pad.get_current_caps().get_structure(0).get_string("media")
        chain = Gst.parse_bin_from_description(PICTURE if kind == "video" else SOUND, True)
        chain.get_by_name("sink").connect("new-sample", self.see if kind == "video" else self.listen)
        self.pipeline.add(chain)
        chain.sync_state_with_parent()
        pad.link(chain.get_static_pad("sink"))

    def see(self, sink):
        buffer = sink.emit("pull-sample").get_buffer()
        self.frames["video"] += 1
        pixels = buffer.extract_dup(0, buffer.get_size())
        self.hear("video", buffer.pts, sum(pixels) / len(pixels), FLASH)
        return Gst.FlowReturn.OK

    def listen(self, sink):
        buffer = sink.emit("pull-sample").get_buffer()
        self.frames["audio"] += 1
        samples = array("h", buffer.extract_dup(0, buffer.get_size()))
        for first in range(0, len(samples), BLOCK):
            level = max(map(abs, samples[first : first + BLOCK]))
            self.hear("audio", buffer.pts + first * Gst.SECOND // 96_000, level, BEEP)
        return Gst.FlowReturn.OK

    def hear(self, kind, pts, level, limit):
        time, onsets = pts / Gst.SECOND, self.onsets[kind]
        if level > limit and (not onsets or time - onsets[-1] > LEAST_PAUSE):
            onsets.append(time)

    def report(self):
        offsets = []
        for flash in self.onsets["video"]:
            nearest = min(self.onsets["audio"], key=lambda beep: abs(beep - flash), default=None)
            if nearest is not None and abs(nearest - flash) < LEAST_PAUSE:
                offsets.append(round(1_000 * (nearest - flash)))
        return {
            "pictures": self.frames["video"],
            "sounds": self.frames["audio"],
            "flashes": len(self.onsets["video"]),
            "beeps": len(self.onsets["audio"]),
            "offsets": offsets,
        }

    def end(self):
        self.pipeline.set_state(Gst.State.NULL)


class Door(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    session, ended = None, 0

    def do_POST(self):
        offer = self.rfile.read(int(self.headers["content-length"])).decode()
        try:
            Door.session = Session(offer)
        except Exception as error:
            self.send_error(500, str(error))
            raise
        answer = Door.session.answer.encode()
        self.send_response(201)
        self.send_header("location", "/sessions/1")
        self.send_header("content-type", "application/sdp")
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def do_DELETE(self):
        Door.ended += 1
        Door.session.end()
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


Gst.init(None)
address = sys.argv[1]
server = ThreadingHTTPServer((address, 0), Door)
threading.Thread(target=server.serve_forever, daemon=True).start()
print(json.dumps({"url": f"http://{address}:{server.server_port}/whip"}), flush=True)
for line in sys.stdin:
    command = line.strip()
    if command == "quit":
        break
    report = Door.session.report() if Door.session and command == "report" else {}
    print(json.dumps(report | {"ended": Door.ended}), flush=True)
if Door.session:
    Door.session.end()
