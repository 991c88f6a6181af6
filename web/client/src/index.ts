/** The Castgate client: publish a canvas over WHIP, watch it over WHEP, drive broadcasts and their destinations. */

export {
  type ApiOptions,
  type BroadcastChange,
  CastgateApi,
  type TokenSource,
  type Upload,
  type WatchOptions,
} from "./api.ts";
export { Backoff, type BackoffOptions, pause } from "./backoff.ts";
export type { VideoCodecName } from "./codecs.ts";
export { CastgateError } from "./errors.ts";
export type * from "./model.ts";
export { type Ending, endingOf } from "./recovery.ts";
export type { UplinkStatistics } from "./uplink.ts";
export { type ViewerOptions, type ViewerState, type ViewerStatistics, WhepViewer, watch } from "./whep.ts";
export { type PublisherOptions, type PublisherState, WhipPublisher } from "./whip.ts";
export {
  RESUME_TOKEN_HEADER,
  type WhipSession,
  WhipSignalling,
  type WhipSignallingOptions,
} from "./whip-signalling.ts";
