/** ICE servers from the `Link` header of a WHIP answer (RFC 9725, section 4.6). */
/** Reads `<turn:…>; rel="ice-server"; username="…"; credential="…"` entries; others are passed over. */
export declare function iceServersFromLink(header: string | null): RTCIceServer[];
