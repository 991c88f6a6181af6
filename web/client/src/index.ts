/** The Castgate client: publish a canvas over WHIP, drive broadcasts and their destinations. */

export {
  type ApiOptions,
  type BroadcastChange,
  CastgateApi,
  type TokenSource,
  type Upload,
  type WatchOptions,
} from "./api.ts";
export { Backoff, type BackoffOptions, pause } from "./backoff.ts";
export { CastgateError } from "./errors.ts";
export type * from "./model.ts";
export { type Ending, endingOf } from "./recovery.ts";
export type { UplinkStatistics } from "./uplink.ts";
export { type PublisherOptions, type PublisherState, WhipPublisher } from "./whip.ts";
export {
  RESUME_TOKEN_HEADER,
  type WhipSession,
  WhipSignalling,
  type WhipSignallingOptions,
} from "./whip-signalling.ts";
