/** The server-sent events format, read from a fetch body: `EventSource` cannot send a token. */
export interface ServerEvent {
    event: string;
    data: string;
    id?: string;
}
/** Cuts text into events, however the text is cut into chunks. */
export declare class EventParser {
    #private;
    /** Takes the next piece of text and returns the events that are now complete. */
    push(chunk: string): ServerEvent[];
}
/** Yields the events of a response body until it ends. */
export declare function serverEvents(body: ReadableStream<Uint8Array>): AsyncGenerator<ServerEvent>;
