/** The HTTP half of WHIP (RFC 9725): offers, fragments and the end of a session. No media here. */
import { type TokenSource } from "./api.ts";
/** Names the studio across connections: with it a second one takes over instead of being refused. */
export declare const RESUME_TOKEN_HEADER = "Castgate-Resume-Token";
/** A session that the gateway has opened. */
export interface WhipSession {
    url: string;
    answer: string;
    etag?: string;
    iceServers: RTCIceServer[];
    resumeToken?: string;
}
export interface WhipSignallingOptions {
    token?: TokenSource;
    fetch?: typeof fetch;
}
export declare class WhipSignalling {
    #private;
    constructor(options?: WhipSignallingOptions);
    /** Posts an offer; redirects to the assigned node are followed by `fetch`. */
    open(url: string, offer: string, resumeToken?: string, signal?: AbortSignal): Promise<WhipSession>;
    /** Hands candidates over. A gateway without trickle support (405, 501) is no error: it needs none. */
    trickle(session: WhipSession, fragment: string): Promise<void>;
    /** Asks for an ICE restart and returns the gateway's fragment. The session's tag changes with it. */
    restart(session: WhipSession, fragment: string): Promise<string>;
    /** Ends a session. One that is gone already is no error; it survives the page's end. */
    close(session: WhipSession): Promise<void>;
}
