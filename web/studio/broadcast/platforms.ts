/** The platforms that the studio knows the address of. */

export type PlatformName = "youtube" | "twitch" | "facebook" | "custom" | "local";

export interface Platform {
  name: PlatformName;
  label: string;
  /** Where the platform takes streams; empty when the user has to say. */
  rtmpUrl: string;
  /** Where the key is to be found. */
  keyHint: string;
}

export const PLATFORMS: readonly Platform[] = [
  {
    name: "youtube",
    label: "YouTube",
    rtmpUrl: "rtmps://a.rtmps.youtube.com:443/live2",
    keyHint: "YouTube Studio › Create › Go live › Stream › Stream key",
  },
  {
    name: "twitch",
    label: "Twitch",
    rtmpUrl: "rtmps://ingest.global-contribute.live-video.net:443/app",
    keyHint: "Creator Dashboard › Settings › Stream › Primary stream key",
  },
  {
    name: "facebook",
    label: "Facebook",
    rtmpUrl: "rtmps://live-api-s.facebook.com:443/rtmp/",
    keyHint: "Live Producer › Streaming software › Stream key",
  },
  {
    name: "custom",
    label: "RTMP server",
    rtmpUrl: "",
    keyHint: "May also stand at the end of the address",
  },
];

export const LOCAL_LABEL = "Local receiver";

/** What a destination is called on the page. */
export function platformLabel(name: string | null | undefined): string {
  if (name === "local") return LOCAL_LABEL;
  return PLATFORMS.find((platform) => platform.name === name)?.label ?? "RTMP server";
}

/** Why an address cannot be a destination, in words; `undefined` when it can. */
export function addressMistake(url: string, key: string): string | undefined {
  const rest = /^rtmps?:\/\/(.*)$/is.exec(url.trim())?.[1];
  if (rest === undefined) return "The address must start with rtmp:// or rtmps://";
  if (/\s/.test(url.trim()) || /\s/.test(key.trim())) return "Address and key must not contain blanks";
  const [host = "", ...path] = rest.split("/");
  if (host === "" || host.startsWith(":")) return "The address has no host name";
  if (host.includes("@")) return "User and password in the address are not supported";
  const places =
    path
      .join("/")
      .split("?")[0]
      ?.split("/")
      .filter((place) => place !== "") ?? [];
  if (places.length === 0) return "The address needs an application, such as /live2";
  if (key.trim() === "" && places.length < 2) return "The stream key is missing";
  return undefined;
}

/** Scheme and host of an address: all of it that may be shown. */
export function serverOf(url: string): string {
  return /^rtmps?:\/\/[^/?#]+/i.exec(url.trim())?.[0] ?? "";
}
