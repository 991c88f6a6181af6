/** The JSON of Castgate's public contract, as TypeScript sees it. */

export type BroadcastState = "waiting" | "live" | "slate" | "ended";

export type DestinationState = "pending" | "connecting" | "live" | "retrying" | "failed" | "stopped";

/** What goes out now; `freeze` is the last picture standing still, `slate` the stand-in picture. */
export type Showing = "nothing" | "studio" | "freeze" | "slate";

/** What a backup server is for: to be tried after a loss, or to be sent the same at the same time. */
export type BackupMode = "failover" | "simultaneous";

/** What a destination gets after a cut: the newest picture, or all that it missed, a little faster. */
export type AfterCut = "jump" | "catchUp";

/** Who carries to destinations: the gateway itself (`own`), or a hosted provider. */
export type Provider = "own" | "daily" | "livekit" | "cloudflare" | "mux" | "restream";

/** Who carries a broadcast: the gateway (with FFmpeg or without), a hosted provider, or one of them by rule. */
export type Method = "gstreamer" | "ffmpeg" | Exclude<Provider, "own"> | "hybrid";

/** What becomes of a picture that could go out as it is: it does, or it is encoded anew all the same. */
export type VideoMode = "auto" | "transcode";

/** A picture of a fixed size and rate. */
export interface Rendition {
  width: number;
  height: number;
  framesPerSecond: number;
  bitrateKbps: number;
}

/** The same by one of the gateway's names, such as `720p-medium`, or by its numbers. */
export type RenditionRequest = { preset: string } | Rendition;

/** Why a destination was last lost. */
export interface DestinationFailure {
  /** Stable reason code, such as `key_refused`. */
  code: string;
  /** One sentence without secrets. */
  message: string;
  fault: "studio" | "destination" | "gateway";
  retry: "never" | "backoff";
  at?: string;
}

/** How a backup server fares that is sent the same at the same time. */
export interface DestinationBackup {
  server: string;
  state: DestinationState;
  since?: string;
  bytesSent?: number;
  bitrateKbps?: number;
  framesSent?: number;
  framesDropped?: number;
  reconnects?: number;
  lastError?: DestinationFailure | null;
}

/** A destination as the gateway shows it: never with its key. */
export interface Destination {
  id: string;
  platform?: string | null;
  /** Who carries to it, or did so last. */
  provider?: Provider;
  /** Scheme, host and port. */
  server: string;
  state: DestinationState;
  since?: string;
  enabled?: boolean;
  /** Whether the show is pointless without it; only then is the studio asked to send less for its sake. */
  required?: boolean;
  /** Whether it is sent the slate in place of the show. */
  paused?: boolean;
  afterCut?: AfterCut;
  /** What it is sent in place of the show's own picture. */
  rendition?: Rendition | null;
  backupMode?: BackupMode;
  /** Which server is connected, or was last tried. */
  using?: "primary" | "backup";
  /** Whether it waits before the next try, so that no many short videos come to be. */
  heldBack?: boolean;
  /** How far the server is behind, in milliseconds of media. */
  queueMs?: number;
  /** Whether it is being sent what it missed, faster than it was made. */
  catchingUp?: boolean;
  bytesSent?: number;
  bitrateKbps?: number;
  framesSent?: number;
  framesDropped?: number;
  reconnects?: number;
  keyframeIntervalMs?: number | null;
  lastError?: DestinationFailure | null;
  /** Of a simultaneous backup only. */
  backup?: DestinationBackup | null;
}

/** A destination as it is handed to the gateway. */
export interface DestinationRequest {
  id?: string;
  platform?: string;
  /** `rtmp://` or `rtmps://`. */
  rtmpUrl: string;
  streamKey?: string;
  backupRtmpUrl?: string;
  /** `failover` when absent. */
  backupMode?: BackupMode;
  /** `jump` when absent. */
  afterCut?: AfterCut;
  /** The show's own picture when absent. */
  rendition?: RenditionRequest;
  /** Who is to carry to it, whatever the broadcast's method says. */
  provider?: Provider;
  required?: boolean;
  enabled?: boolean;
  paused?: boolean;
}

/** What may be changed of a destination, also while it is live. */
export interface DestinationChange {
  enabled?: boolean;
  paused?: boolean;
  required?: boolean;
  afterCut?: AfterCut;
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
  /** How often a packet was asked for, repeated requests included. */
  packetsRequested?: number;
  /** What the studio is asked to stay below, while a required destination cannot keep up. */
  bitrateLimitKbps?: number | null;
}

/** How the picture and the sound go out. */
export interface Egress {
  /** `passthrough`: the studio's own coding. */
  video?: "passthrough" | "transcode";
  /** Who makes the pictures; absent before there was one. */
  engine?: "passthrough" | "gstreamer" | "ffmpeg";
  engineState?: "starting" | "running" | "failing";
  /** How often a process of the engine was replaced. */
  engineRestarts?: number;
  width?: number;
  height?: number;
  audioCodec?: string;
  /** Who carries it to most destinations; absent for `hybrid` before one was chosen. */
  provider?: Provider;
  /** How it is at each hosted provider that carries it, or did so before. */
  hosted?: Hosted[];
}

/** How a broadcast is at a hosted provider. */
export interface Hosted {
  provider: Provider;
  state:
    | "waiting"
    | "preparing"
    | "contributing"
    | "starting"
    | "live"
    | "interrupted"
    | "stopping"
    | "ended";
  since: string;
  contribution: {
    kind: "push" | "whip" | "sidecar" | "direct";
    /** Whether the show gets there, as the provider says. */
    arrival: "arriving" | "absent" | "unknown";
    /** These three are absent where the gateway does not know them. */
    bytesSent?: number;
    bitrateKbps?: number;
    framesSent?: number;
  };
  /** An estimate by the node's prices; absent without any. */
  cost?: { currency: string; perHour: number; soFar: number };
}

/** What stands in for a studio that is away. */
export interface Slate {
  enabled: boolean;
  title: string;
  /** How long the studio's picture may be missing, in milliseconds. */
  afterMs: number;
  /** After how many minutes the broadcast ends. */
  maxMinutes: number;
  /** `card` is the one that the gateway draws from the title. */
  source: "card" | "image" | "video";
  music: boolean;
  /** Whether it is ready to be shown. */
  ready: boolean;
}

/** What may be asked of the slate when the broadcast is made. */
export interface SlateRequest {
  enabled?: boolean;
  /** At most 80 characters. */
  title?: string;
  /** 0 to 60 000; 2000 when absent. */
  afterMs?: number;
  /** 1 to 720; 10 when absent. */
  maxMinutes?: number;
}

/** Something that the host should know of, until it has passed. */
export interface Alarm {
  /** Stable code, such as `picture_frozen`. */
  code: string;
  /** One sentence for the host. */
  message: string;
  since?: string;
}

/** An alarm that has come up or has passed. */
export interface AlarmChange {
  alarm: string;
  state: "raised" | "cleared";
  /** One sentence for the host. */
  reason: string;
  at: string;
}

export interface Broadcast {
  id: string;
  state: BroadcastState;
  showing?: Showing;
  /** When the broadcast ends unless the studio comes back; only while something stands in for it. */
  endsAt?: string | null;
  slate?: Slate | null;
  alarms?: Alarm[];
  method?: string;
  /** Whether it is marked as one that matters. */
  production?: boolean;
  node?: string;
  createdAt?: string;
  startedAt?: string | null;
  whipUrl: string;
  whepUrl?: string;
  ingest?: Ingest | null;
  video?: { mode?: VideoMode } | null;
  egress?: Egress | null;
  destinations: Destination[];
}

export interface BroadcastRequest {
  id?: string;
  /** The gateway's own choice when absent. */
  method?: string;
  /** Whether it matters more than a rehearsal; rules for `hybrid` may ask for it. */
  production?: boolean;
  /** `auto` when absent. */
  video?: { mode: VideoMode };
  /** Open the destinations as soon as the studio sends; true when absent. */
  autoStart?: boolean;
  destinations?: DestinationRequest[];
  slate?: SlateRequest;
}

/** What may be changed of a broadcast, also while it is live. */
export interface BroadcastPatch {
  method?: string;
  video?: { mode: VideoMode };
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

/** A destination that is to be tried without being added. */
export interface ProbeRequest {
  rtmpUrl: string;
  streamKey?: string;
  /**
   * Whether to name the key and ask to publish, which alone shows whether it is right; false when absent.
   *
   * No media are sent, but a platform may take it for the beginning of a broadcast.
   */
  publish?: boolean;
}

/** One step of a dry run. */
export interface ProbeStep {
  /** `dns`, `connect`, `tls`, `handshake`, `connectReply`, `createStream` or `publish`. */
  step: string;
  elapsedMs: number;
  detail?: string | null;
}

/** What a dry run of a destination found. */
export interface ProbeResult {
  ok: boolean;
  server?: string;
  /** Stable reason code, when it failed. */
  code?: string | null;
  message?: string | null;
  fault?: string | null;
  retry?: string | null;
  steps?: ProbeStep[];
}

/** One second of a destination's record. What the system does not tell is absent. */
export interface BlackBoxSample {
  at?: string | null;
  bytesSent?: number | null;
  bitrateKbps?: number | null;
  /** How far the server is behind, in milliseconds of media. */
  queueMs?: number | null;
  unacknowledgedBytes?: number | null;
  roundTripMs?: number | null;
  retransmits?: number | null;
  congestionWindow?: number | null;
  framesSent?: number | null;
  framesDropped?: number | null;
}

/** Something that happened on the way to or from a destination. */
export interface BlackBoxEvent {
  at?: string | null;
  /** `connect`, `publish`, `live`, `stalled`, … */
  what: string;
  elapsedMs?: number | null;
  /** More about it, without secrets. */
  words?: string | null;
}

/** The last minute of a destination, and the last things that happened to it; holds no key. */
export interface BlackBox {
  destination: string;
  server?: string;
  samples: BlackBoxSample[];
  events: BlackBoxEvent[];
}
