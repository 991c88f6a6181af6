/** Which files can be a slate, judged before they are sent. */

/** The largest file that a gateway takes, in bytes. */
export const LARGEST_SLATE_BYTES = 20_000_000;

export const PICTURE_ACCEPT = "image/png,image/jpeg,video/mp4";
export const MUSIC_ACCEPT = "audio/mpeg,audio/ogg,audio/wav,audio/mp4,audio/flac,.mp3,.ogg,.wav,.m4a,.flac";

/** Types by the ends of names: browsers call the same type by several names, or by none. */
const PICTURES: Readonly<Record<string, string>> = {
  png: "image/png",
  jpg: "image/jpeg",
  jpeg: "image/jpeg",
  mp4: "video/mp4",
};
const MUSIC: Readonly<Record<string, string>> = {
  mp3: "audio/mpeg",
  ogg: "audio/ogg",
  oga: "audio/ogg",
  wav: "audio/wav",
  m4a: "audio/mp4",
  flac: "audio/flac",
};

type Judged = { type: string } | { mistake: string };
type Named = Pick<File, "name" | "type" | "size">;

export function judgePicture(file: Named): Judged {
  return judge(file, PICTURES, "The slate can be a PNG or JPEG picture, or an MP4 video.");
}

export function judgeMusic(file: Named): Judged {
  return judge(file, MUSIC, "The music can be an MP3, Ogg, WAV, M4A or FLAC file.");
}

function judge(file: Named, known: Readonly<Record<string, string>>, words: string): Judged {
  const end = file.name.split(".").at(-1)?.toLowerCase() ?? "";
  const type = Object.values(known).find((each) => each === file.type) ?? known[end];
  if (type === undefined) return { mistake: words };
  if (file.size > LARGEST_SLATE_BYTES) return { mistake: "The file is larger than 20 MB." };
  return { type };
}
