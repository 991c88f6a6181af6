/** The server-sent events format, read from a fetch body: `EventSource` cannot send a token. */
/** The longest event that is believed, in characters; a broadcast is a few thousand. */
const LONGEST_EVENT = 1_048_576;
/** Cuts text into events, however the text is cut into chunks. */
export class EventParser {
    #line = "";
    #endedWithReturn = false;
    #event = "";
    #data = [];
    #dataLength = 0;
    #id;
    /** Takes the next piece of text and returns the events that are now complete. */
    push(chunk) {
        const events = [];
        let text = chunk;
        if (this.#endedWithReturn && text.startsWith("\n"))
            text = text.slice(1);
        if (text !== "")
            this.#endedWithReturn = text.endsWith("\r");
        const lines = (this.#line + text).split(/\r\n|\n|\r/);
        this.#line = lines.pop() ?? "";
        for (const line of lines) {
            const event = this.#take(line);
            if (event !== undefined)
                events.push(event);
        }
        if (this.#line.length + this.#dataLength > LONGEST_EVENT) {
            throw new RangeError("an event is longer than any event should be");
        }
        return events;
    }
    #take(line) {
        if (line === "")
            return this.#dispatch();
        const colon = line.indexOf(":");
        if (colon === 0)
            return undefined;
        const field = colon < 0 ? line : line.slice(0, colon);
        const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
        if (field === "event")
            this.#event = value;
        if (field === "id")
            this.#id = value;
        if (field === "data") {
            this.#data.push(value);
            this.#dataLength += value.length;
        }
        return undefined;
    }
    #dispatch() {
        const event = { event: this.#event || "message", data: this.#data.join("\n") };
        if (this.#id !== undefined)
            event.id = this.#id;
        const complete = this.#data.length > 0;
        this.#event = "";
        this.#data = [];
        this.#dataLength = 0;
        return complete ? event : undefined;
    }
}
/** Yields the events of a response body until it ends. */
export async function* serverEvents(body) {
    const reader = body.getReader();
    const decoder = new TextDecoder();
    const parser = new EventParser();
    try {
        for (;;) {
            const { done, value } = await reader.read();
            if (done)
                return;
            yield* parser.push(decoder.decode(value, { stream: true }));
        }
    }
    finally {
        await reader.cancel().catch(() => undefined);
    }
}
//# sourceMappingURL=event-stream.js.map