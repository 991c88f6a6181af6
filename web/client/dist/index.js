/** The Castgate client: publish a canvas over WHIP, drive broadcasts and their destinations. */
export { CastgateApi } from "./api.js";
export { Backoff, pause } from "./backoff.js";
export { CastgateError } from "./errors.js";
export { WhipPublisher } from "./whip.js";
export { RESUME_TOKEN_HEADER, WhipSignalling } from "./whip-signalling.js";
//# sourceMappingURL=index.js.map