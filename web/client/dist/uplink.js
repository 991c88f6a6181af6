/** What the browser itself says about the stream it sends, in one flat record. */
/** Reads a report; rates need the measurement before. */
export function uplinkFromReport(report, at, before) {
    const entries = new Map([...report].map(([id, entry]) => [id, entry]));
    const all = [...entries.values()];
    const outbound = (kind) => all.find((entry) => entry.type === "outbound-rtp" && entry["kind"] === kind);
    const video = outbound("video");
    const audio = outbound("audio");
    const codec = (entry) => entries.get(text(entry, "codecId") ?? "");
    const remote = all.filter((entry) => entry.type === "remote-inbound-rtp");
    const pair = entries.get(text(all.find((entry) => entry.type === "transport"), "selectedCandidatePairId") ?? "") ??
        all.find((entry) => entry.type === "candidate-pair" && entry["nominated"] === true && entry["state"] === "succeeded");
    const elapsed = before === undefined ? 0 : (at - before.at) / 1000;
    const rate = (now, then) => (elapsed > 0 && now >= then ? (now - then) / elapsed : 0);
    const framesSent = count(video, "framesSent");
    const videoBytesSent = count(video, "bytesSent");
    const audioBytesSent = count(audio, "bytesSent");
    const roundTrip = number(pair, "currentRoundTripTime") ?? number(remote[0], "roundTripTime");
    const available = number(pair, "availableOutgoingBitrate");
    return {
        at,
        ...present("videoCodec", text(codec(video), "mimeType")),
        ...present("audioCodec", text(codec(audio), "mimeType")),
        ...present("audioChannels", number(codec(audio), "channels")),
        ...present("width", number(video, "frameWidth")),
        ...present("height", number(video, "frameHeight")),
        framesEncoded: count(video, "framesEncoded"),
        framesSent,
        keyframesEncoded: count(video, "keyFramesEncoded"),
        framesPerSecond: rate(framesSent, before?.framesSent ?? 0),
        videoKbps: (rate(videoBytesSent, before?.videoBytesSent ?? 0) * 8) / 1000,
        audioKbps: (rate(audioBytesSent, before?.audioBytesSent ?? 0) * 8) / 1000,
        videoBytesSent,
        audioBytesSent,
        audioPacketsSent: count(audio, "packetsSent"),
        retransmittedPackets: count(video, "retransmittedPacketsSent"),
        pictureLossIndications: count(video, "pliCount"),
        qualityLimitation: text(video, "qualityLimitationReason") ?? "none",
        ...present("roundTripMs", roundTrip === undefined ? undefined : roundTrip * 1000),
        ...present("availableKbps", available === undefined ? undefined : available / 1000),
        packetsLost: remote.reduce((sum, entry) => sum + count(entry, "packetsLost"), 0),
    };
}
function number(entry, name) {
    const value = entry?.[name];
    return typeof value === "number" ? value : undefined;
}
function count(entry, name) {
    return number(entry, name) ?? 0;
}
function text(entry, name) {
    const value = entry?.[name];
    return typeof value === "string" ? value : undefined;
}
function present(key, value) {
    return value === undefined ? {} : { [key]: value };
}
//# sourceMappingURL=uplink.js.map