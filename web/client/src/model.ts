/** The JSON of Castgate's public contract, as TypeScript sees it. */

export type BroadcastState = "waiting" | "live" | "slate" | "ended";

export type DestinationState = "pending" | "connecting" | "live" | "retrying" | "failed" | "stopped";

/** Why a destination was last lost. */
export interface DestinationFailure {
  /** Stable reason code, such as `key_refused`. */
  code: string;
  /** One sentence without secrets. */
  message: string;
  fault: "studio" | "destination" | "gateway";
  retry: "never" | "backoff";
  at: string;
}

/** A destination as the gateway shows it: never with its key. */
export interface Destination {
  id: string;
  platform?: string | null;
  /** Scheme, host and port. */
  server: string;
  state: DestinationState;
  since?: string;
  enabled?: boolean;
  bytesSent?: number;
  bitrateKbps?: number;
  framesSent?: number;
  framesDropped?: number;
  reconnects?: number;
  keyframeIntervalMs?: number | null;
  lastError?: DestinationFailure | null;
}

/** A destination as it is handed to the gateway. */
export interface DestinationRequest {
  id?: string;
  platform?: string;
  /** `rtmp://` or `rtmps://`. */
  rtmpUrl: string;
  streamKey?: string;
  backupRtmpUrl?: string;
  required?: boolean;
  enabled?: boolean;
}

/** What may be changed of a destination, also while it is live. */
export interface DestinationChange {
  enabled?: boolean;
  streamKey?: string;
}

/** What comes in from the studio. */
export interface Ingest {
  protocol: string;
  video?: {
    codec: string;
    width?: number | null;
    height?: number | null;
    framesPerSecond?: number | null;
    bitrateKbps?: number | null;
    keyframeIntervalMs?: number | null;
  } | null;
  audio?: { codec: string; channels?: number | null; bitrateKbps?: number | null } | null;
  roundTripMs?: number | null;
  packetsLost?: number;
  packetsRecovered?: number;
}

export interface Broadcast {
  id: string;
  state: BroadcastState;
  method?: string;
  node?: string;
  createdAt?: string;
  startedAt?: string | null;
  whipUrl: string;
  whepUrl?: string;
  ingest?: Ingest | null;
  egress?: { video?: string; audioCodec?: string } | null;
  destinations: Destination[];
}

export interface BroadcastRequest {
  id?: string;
  method?: string;
  /** Open the destinations as soon as the studio sends; true when absent. */
  autoStart?: boolean;
  destinations?: DestinationRequest[];
}

/** One stream that the built-in RTMP receiver holds. */
export interface LocalStream {
  id: string;
  application?: string;
  state?: string;
  width?: number | null;
  height?: number | null;
  videoFrames?: number;
}

/** The gateway's own RTMP receiver, which stands in for a platform. */
export interface LocalReceiver {
  rtmpUrl: string;
  streams: LocalStream[];
}

/** What a dry run of a destination found. */
export interface ProbeResult {
  ok?: boolean;
  code?: string | null;
  message?: string | null;
}
