/** Which codec a studio should send: H.264 passes through the gateway to every platform untouched. */
/** The codecs in order of preference: H.264 in packetization mode 1 by profile, then the rest as they were. */
export declare function byPreference<T extends {
    mimeType: string;
    sdpFmtpLine?: string;
}>(codecs: readonly T[]): T[];
/** Prefers H.264 on a transceiver where the browser lets us. */
export declare function preferH264(transceiver: RTCRtpTransceiver): void;
