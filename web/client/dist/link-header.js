/** ICE servers from the `Link` header of a WHIP answer (RFC 9725, section 4.6). */
/** Reads `<turn:…>; rel="ice-server"; username="…"; credential="…"` entries; others are passed over. */
export function iceServersFromLink(header) {
    return splitOutsideQuotes(header ?? "", ",").flatMap((entry) => {
        const [target = "", ...parameters] = splitOutsideQuotes(entry, ";");
        const url = /^<(.+)>$/.exec(target)?.[1];
        const values = new Map(parameters.map(parameter));
        const relations = (values.get("rel") ?? "").toLowerCase().split(/\s+/);
        if (url === undefined || !relations.includes("ice-server") || !/^(stun|turn)s?:/i.test(url))
            return [];
        const server = { urls: url };
        const username = values.get("username");
        const credential = values.get("credential");
        if (username !== undefined)
            server.username = username;
        if (credential !== undefined)
            server.credential = credential;
        return [server];
    });
}
function parameter(text) {
    const equals = text.indexOf("=");
    if (equals < 0)
        return [text.trim().toLowerCase(), ""];
    const value = text.slice(equals + 1).trim();
    const quoted = /^"(.*)"$/s.exec(value)?.[1];
    return [text.slice(0, equals).trim().toLowerCase(), quoted?.replace(/\\(.)/gs, "$1") ?? value];
}
/** Splits at a separator that stands neither in quotes nor in angle brackets. */
function splitOutsideQuotes(text, separator) {
    const parts = [];
    let part = "";
    let quoted = false;
    let bracketed = false;
    for (let index = 0; index < text.length; index += 1) {
        const character = text.charAt(index);
        if (quoted && character === "\\") {
            part += character + text.charAt(index + 1);
            index += 1;
            continue;
        }
        if (character === '"' && !bracketed)
            quoted = !quoted;
        if (character === "<" && !quoted)
            bracketed = true;
        if (character === ">" && !quoted)
            bracketed = false;
        if (character === separator && !quoted && !bracketed) {
            parts.push(part.trim());
            part = "";
        }
        else {
            part += character;
        }
    }
    parts.push(part.trim());
    return parts.filter((entry) => entry !== "");
}
//# sourceMappingURL=link-header.js.map