"""A WHIP server on aiortc, which shares no code with the gateway: decodes what it is sent, and measures it.

usage: whip_receiver.py [--bearer TOKEN] [--port PORT]
It prints its URL as one JSON document, and then obeys: one command a line on standard input, one document a line as its
answer.
commands: report (what was decoded so far), keyframe (asks for one by PLI), forget (what was measured so far), quit
"""

import argparse
import asyncio
import json
import sys
import time
from array import array

from aiohttp import web
from aiortc import RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError
from aiortc.rtp import RtcpSrPacket

# Mean luma above which a picture is a flash of the synthetic studio, and amplitude above which sound is its beep.
FLASH, BEEP = 200, 3_000

# Two onsets of one kind are at least this far apart, in seconds.
LEAST_PAUSE = 0.5

# Pixels from one that is looked at to the next; a prime, so that they lie in all columns.
STRIDE = 101

# Stereo samples of 5 ms.
BLOCK = 480

# More than a test needs; the oldest go.
PICTURES_LIMIT = 20_000


class Track:
    """What one track brought. Times are the sender's wall clock, by its reports."""

    def __init__(self, receiver, rate):
        self.receiver, self.rate = receiver, rate
        self.report = None
        self.frames, self.onsets, self.levels = 0, [], []
        handle = receiver._handle_rtcp_packet

        async def listen(packet):
            if isinstance(packet, RtcpSrPacket):
                self.report = (packet.sender_info.ntp_timestamp, packet.sender_info.rtp_timestamp)
            await handle(packet)

        receiver._handle_rtcp_packet = listen

    def time(self, pts):
        """When that was, by the latest report; None before the first one."""
        if self.report is None:
            return None
        ntp, reported = self.report
        origin = self.receiver._RTCRtpReceiver__timestamp_mapper._origin
        apart = (origin + pts - reported + (1 << 31)) % (1 << 32) - (1 << 31)
        return ntp / (1 << 32) + apart / self.rate

    def hear(self, time, level, limit):
        if time is None:
            return
        self.levels.append((round(time, 3), round(level, 1)))
        del self.levels[:-PICTURES_LIMIT]
        if level > limit and (not self.onsets or time - self.onsets[-1] > LEAST_PAUSE):
            self.onsets.append(time)

    def forget(self):
        self.frames, self.onsets, self.levels = 0, [], []


class Session:
    """The one session there is."""

    def __init__(self):
        self.connection, self.tracks, self.offer, self.tasks = None, {}, "", []
        self.sizes, self.began = [], None

    async def answer(self, offer):
        self.connection, self.offer = RTCPeerConnection(), offer
        self.connection.on("track", self.take)
        await self.connection.setRemoteDescription(RTCSessionDescription(offer, "offer"))
        await self.connection.setLocalDescription(await self.connection.createAnswer())
        self.began = time.time()
        return self.connection.localDescription.sdp

    def take(self, track):
        receiver = next(
            one.receiver for one in self.connection.getTransceivers() if one.receiver.track is track
        )
        taken = Track(receiver, 90_000 if track.kind == "video" else 48_000)
        self.tracks[track.kind] = taken
        watch = self.see if track.kind == "video" else self.listen
        task = asyncio.ensure_future(watch(track, taken))
        task.add_done_callback(complain)
        self.tasks.append(task)

    async def see(self, track, taken):
        while True:
            frame = await track.recv()
            taken.frames += 1
            if taken.frames == 1:
                taken.first_after = time.time() - self.began
            size = [frame.width, frame.height]
            if not self.sizes or self.sizes[-1] != size:
                self.sizes.append(size)
            # The luma of YUV 4:2:0; one of so many pixels is enough for the mean.
            pixels = bytes(frame.planes[0])[::STRIDE]
            taken.hear(taken.time(frame.pts), sum(pixels) / len(pixels), FLASH)

    async def listen(self, track, taken):
        while True:
            frame = await track.recv()
            taken.frames += 1
            samples = array("h", bytes(frame.planes[0]))[: frame.samples * 2]
            begin = taken.time(frame.pts)
            for first in range(0, len(samples), BLOCK):
                level = max(map(abs, samples[first : first + BLOCK]))
                taken.hear(None if begin is None else begin + first / 96_000, level, BEEP)

    async def end(self):
        if self.connection is not None:
            await self.connection.close()
        for task in self.tasks:
            task.cancel()

    def report(self):
        picture, sound = self.tracks.get("video"), self.tracks.get("audio")
        if picture is None or sound is None:
            return {"state": self.connection.connectionState if self.connection else "none"}
        offsets = []
        for flash in picture.onsets:
            nearest = min(sound.onsets, key=lambda beep: abs(beep - flash), default=None)
            if nearest is not None and abs(nearest - flash) < LEAST_PAUSE:
                offsets.append(round(1_000 * (nearest - flash)))
        return {
            "state": self.connection.connectionState,
            "pictures": picture.frames,
            "sounds": sound.frames,
            "sizes": self.sizes,
            "firstPictureAfter": getattr(picture, "first_after", None),
            "flashes": len(picture.onsets),
            "beeps": len(sound.onsets),
            "offsets": offsets,
            "lumas": picture.levels,
        }


def complain(task):
    """A track ends with its connection; whatever else ends it is a fault of this receiver's."""
    error = None if task.cancelled() else task.exception()
    if error is not None and not isinstance(error, MediaStreamError):
        print(f"a track is not read any more: {error!r}", file=sys.stderr, flush=True)


session = Session()
ended = 0


async def offered(request):
    global session
    if arguments.bearer and request.headers.get("authorization") != f"Bearer {arguments.bearer}":
        return web.Response(status=401, text="unauthorized")
    if request.content_type != "application/sdp":
        return web.Response(status=415, text="application/sdp is wanted")
    await session.end()
    session = Session()
    answer = await session.answer(await request.text())
    headers = {"location": "/sessions/1", "content-type": "application/sdp"}
    return web.Response(status=201, text=answer, headers=headers)


async def deleted(_request):
    global ended
    ended += 1
    await session.end()
    return web.Response(status=200)


async def redirected(request):
    return web.Response(status=307, headers={"location": "/whip"})


async def obey():
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        command = line.decode().strip()
        if command == "quit":
            break
        answer = None
        if command == "report":
            answer = session.report() | {"ended": ended}
        elif command == "keyframe":
            receiver = session.tracks["video"].receiver
            for ssrc in receiver._RTCRtpReceiver__remote_streams:
                await receiver._send_rtcp_pli(ssrc)
        elif command == "forget":
            for track in session.tracks.values():
                track.forget()
        print(json.dumps(answer), flush=True)


async def main():
    app = web.Application()
    app.router.add_post("/whip", offered)
    app.router.add_post("/elsewhere", redirected)
    app.router.add_delete("/sessions/1", deleted)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", arguments.port)
    await site.start()
    port = site._server.sockets[0].getsockname()[1]
    print(json.dumps({"url": f"http://127.0.0.1:{port}/whip"}), flush=True)
    await obey()
    await session.end()
    await runner.cleanup()


parser = argparse.ArgumentParser()
parser.add_argument("--bearer")
parser.add_argument("--port", type=int, default=0)
arguments = parser.parse_args()
asyncio.run(main())
