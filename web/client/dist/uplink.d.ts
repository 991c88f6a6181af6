/** What the browser itself says about the stream it sends, in one flat record. */
export interface UplinkStatistics {
    /** When it was measured, in milliseconds of the page's clock. */
    at: number;
    videoCodec?: string;
    audioCodec?: string;
    audioChannels?: number;
    width?: number;
    height?: number;
    framesEncoded: number;
    framesSent: number;
    keyframesEncoded: number;
    /** Per second, since the measurement before. */
    framesPerSecond: number;
    videoKbps: number;
    audioKbps: number;
    videoBytesSent: number;
    audioBytesSent: number;
    audioPacketsSent: number;
    retransmittedPackets: number;
    pictureLossIndications: number;
    /** `none`, `cpu`, `bandwidth` or `other`. */
    qualityLimitation: string;
    roundTripMs?: number;
    availableKbps?: number;
    packetsLost: number;
}
/** Reads a report; rates need the measurement before. */
export declare function uplinkFromReport(report: Iterable<readonly [string, unknown]>, at: number, before?: UplinkStatistics): UplinkStatistics;
