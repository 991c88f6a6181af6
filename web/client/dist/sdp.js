/** What WHIP needs of SDP: fragments for PATCH (RFC 8840) and new ICE credentials for an old answer. */
const LINE_END = "\r\n";
/** Whether the peer is an ICE-lite agent, which has no use for our candidates. */
export function isIceLite(sdp) {
    return lines(sdp).includes("a=ice-lite");
}
/** A fragment that asks for an ICE restart: the credentials, medium lines and candidates of a fresh offer. */
export function restartFragment(offer) {
    const { session, media } = sections(offer);
    const credentials = firstCredentials(offer);
    const options = session.filter((line) => line.startsWith("a=ice-options:") || line.startsWith("a=group:BUNDLE"));
    const kept = media.map((section) => section.filter((line) => line.startsWith("m=") ||
        line.startsWith("a=mid:") ||
        line.startsWith("a=candidate:") ||
        line === "a=end-of-candidates"));
    return joined([...options, ...credentials, ...kept.flat()]);
}
/** A fragment that trickles candidates for the session that the offer began. */
export function candidateFragment(offer, candidates, complete) {
    const { session, media } = sections(offer);
    const group = session.filter((line) => line.startsWith("a=group:BUNDLE"));
    const described = media.flatMap((section, index) => {
        const mid = section.find((line) => line.startsWith("a=mid:"));
        const mine = candidates.filter((candidate) => (candidate.sdpMid !== null ? mid === `a=mid:${candidate.sdpMid}` : candidate.sdpMLineIndex === index));
        const last = complete && index === 0;
        if (mine.length === 0 && !last)
            return [];
        const medium = section.filter((line) => line.startsWith("m="));
        return [
            ...medium,
            ...(mid === undefined ? [] : [mid]),
            ...mine.map((candidate) => `a=${candidate.candidate}`),
            ...(last ? ["a=end-of-candidates"] : []),
        ];
    });
    return joined([...group, ...firstCredentials(offer), ...described]);
}
/** The old answer with the credentials and candidates of the fragment that a restart was answered with. */
export function answerAfterRestart(answer, fragment) {
    const credentials = firstCredentials(fragment);
    if (credentials.length < 2)
        throw new SyntaxError("the fragment has no ICE credentials");
    const candidates = [...new Set(lines(fragment).filter((line) => line.startsWith("a=candidate:")))];
    const { session, media } = sections(answer);
    const withoutIce = (section) => section.filter((line) => !line.startsWith("a=ice-ufrag:") &&
        !line.startsWith("a=ice-pwd:") &&
        !line.startsWith("a=candidate:") &&
        line !== "a=end-of-candidates");
    const replaced = media.flatMap((section) => [
        ...withoutIce(section),
        ...credentials,
        ...candidates,
        ...(candidates.length > 0 ? ["a=end-of-candidates"] : []),
    ]);
    return joined([...withoutIce(session), ...replaced]);
}
function firstCredentials(sdp) {
    const all = lines(sdp);
    return ["a=ice-ufrag:", "a=ice-pwd:"].flatMap((prefix) => all.find((line) => line.startsWith(prefix)) ?? []);
}
function sections(sdp) {
    const session = [];
    const media = [];
    for (const line of lines(sdp)) {
        if (line.startsWith("m="))
            media.push([]);
        (media.at(-1) ?? session).push(line);
    }
    return { session, media };
}
function lines(sdp) {
    return sdp.split(/\r?\n/).filter((line) => line !== "");
}
function joined(all) {
    return all.join(LINE_END) + LINE_END;
}
//# sourceMappingURL=sdp.js.map