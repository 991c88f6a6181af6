/** What WHIP needs of SDP: fragments for PATCH (RFC 8840) and new ICE credentials for an old answer. */
/** Whether the peer is an ICE-lite agent, which has no use for our candidates. */
export declare function isIceLite(sdp: string): boolean;
/** A fragment that asks for an ICE restart: the credentials, medium lines and candidates of a fresh offer. */
export declare function restartFragment(offer: string): string;
/** A fragment that trickles candidates for the session that the offer began. */
export declare function candidateFragment(offer: string, candidates: readonly RTCIceCandidate[], complete: boolean): string;
/** The old answer with the credentials and candidates of the fragment that a restart was answered with. */
export declare function answerAfterRestart(answer: string, fragment: string): string;
