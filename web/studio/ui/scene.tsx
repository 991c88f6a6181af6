/** Pictures, layout, title and size. */

import type { JSX } from "preact";
import { type PictureName, SIZES, VIDEO_KBPS } from "../broadcast/parameters.ts";
import type { Layout } from "../compositor/layout.ts";
import { useDesk } from "./context.ts";
import { bitrate } from "./format.ts";
import { Icon } from "./icons.tsx";
import { Switch } from "./switch.tsx";

const PICTURE_WORDS: Readonly<Record<PictureName, string>> = {
  test: "Test picture",
  camera: "Camera",
  screen: "Screen",
  none: "None",
};

const LAYOUT_WORDS: Readonly<Record<Layout, string>> = {
  full: "Full",
  "picture-in-picture": "Inset",
  "side-by-side": "Side by side",
};

export function ScenePanel(): JSX.Element {
  const { studio } = useDesk();
  const usesCamera = studio.main.value === "camera" || studio.second.value === "camera";
  return (
    <section class="panel" aria-labelledby="scene-heading">
      <h2 id="scene-heading">Scene</h2>
      <div class="row row-pictures">
        <PictureSelect place="main" label="Main picture" names={["test", "camera", "screen"]} />
        <button
          type="button"
          class="button button-icon"
          aria-label="Swap the pictures"
          title="Swap the pictures"
          disabled={studio.second.value === "none"}
          onClick={() => studio.swap()}
        >
          <Icon name="swap" />
        </button>
        <PictureSelect place="second" label="Second picture" names={["none", "test", "camera", "screen"]} />
      </div>
      {usesCamera && studio.cameras.value.length > 1 && <CameraSelect />}
      {studio.usesTest.value && <PatternSelect />}
      <LayoutChoice />
      <TitleFields />
      <OutputFields />
    </section>
  );
}

function PictureSelect(props: {
  place: "main" | "second";
  label: string;
  names: readonly PictureName[];
}): JSX.Element {
  const { studio } = useDesk();
  const id = `picture-${props.place}`;
  const current = props.place === "main" ? studio.main : studio.second;
  const choose = async (select: HTMLSelectElement): Promise<void> => {
    studio.wake();
    await studio.show(props.place, select.value as PictureName);
    // A refused device leaves the picture as it was, and the list has to say so.
    select.value = current.value;
  };
  return (
    <div class="field">
      <label for={id}>{props.label}</label>
      <select id={id} value={current.value} onChange={(event) => void choose(event.currentTarget)}>
        {props.names.map((name) => (
          <option key={name} value={name}>
            {PICTURE_WORDS[name]}
          </option>
        ))}
      </select>
    </div>
  );
}

function CameraSelect(): JSX.Element {
  const { studio } = useDesk();
  return (
    <div class="field">
      <label for="camera">Camera</label>
      <select
        id="camera"
        value={studio.camera.value}
        onChange={(event) => void studio.chooseCamera(event.currentTarget.value)}
      >
        {studio.cameras.value.map(({ deviceId, label }) => (
          <option key={deviceId} value={deviceId}>
            {label}
          </option>
        ))}
      </select>
    </div>
  );
}

function PatternSelect(): JSX.Element {
  const { studio } = useDesk();
  return (
    <div class="field">
      <label for="pattern">Test picture shows</label>
      <select
        id="pattern"
        value={studio.pattern.value}
        onChange={(event) => {
          studio.wake();
          studio.pattern.value = event.currentTarget.value === "flash" ? "flash" : "motion";
        }}
      >
        <option value="motion">Moving picture with a tune</option>
        <option value="flash">Flash and beep each second</option>
      </select>
    </div>
  );
}

function LayoutChoice(): JSX.Element {
  const { studio } = useDesk();
  return (
    <fieldset class="choice" disabled={studio.second.value === "none"}>
      <legend>Layout</legend>
      <div class="segments">
        {(Object.keys(LAYOUT_WORDS) as Layout[]).map((layout) => (
          <label key={layout} class="segment">
            <input
              type="radio"
              name="layout"
              value={layout}
              checked={studio.layout.value === layout}
              onChange={() => (studio.layout.value = layout)}
            />
            <span>{LAYOUT_WORDS[layout]}</span>
          </label>
        ))}
      </div>
    </fieldset>
  );
}

function TitleFields(): JSX.Element {
  const { studio } = useDesk();
  const title = studio.title.value;
  const change = (part: Partial<typeof title>): void => {
    studio.title.value = { ...studio.title.value, ...part };
  };
  return (
    <div class="title-fields">
      <div class="row">
        <div class="field">
          <label for="headline">Title</label>
          <input
            id="headline"
            type="text"
            maxLength={80}
            placeholder="Name of the show"
            value={title.headline}
            onInput={(event) => change({ headline: event.currentTarget.value })}
          />
        </div>
        <div class="field">
          <label for="subline">Second line</label>
          <input
            id="subline"
            type="text"
            maxLength={120}
            placeholder="Who is speaking"
            value={title.subline}
            onInput={(event) => change({ subline: event.currentTarget.value })}
          />
        </div>
      </div>
      <Switch on={title.visible} onChange={(visible) => change({ visible })}>
        Show the title
      </Switch>
    </div>
  );
}

function OutputFields(): JSX.Element {
  const { studio, session } = useDesk();
  const fixed = session.phase.value !== "offline";
  const { width, height } = studio.size.value;
  const sizes = SIZES.some((size) => size.width === width && size.height === height)
    ? SIZES
    : [...SIZES, studio.size.value];
  const rates = VIDEO_KBPS.includes(studio.videoKbps.value)
    ? VIDEO_KBPS
    : [...VIDEO_KBPS, studio.videoKbps.value];
  return (
    <div class="row">
      <div class="field">
        <label for="size">Size</label>
        <select
          id="size"
          disabled={fixed}
          value={`${width}x${height}`}
          onChange={(event) => {
            const [w = 1280, h = 720] = event.currentTarget.value.split("x").map(Number);
            studio.size.value = { width: w, height: h };
          }}
        >
          {sizes.map((size) => (
            <option key={size.width} value={`${size.width}x${size.height}`}>
              {size.width} × {size.height}
            </option>
          ))}
        </select>
      </div>
      <div class="field">
        <label for="kbps">Picture bitrate</label>
        <select
          id="kbps"
          disabled={fixed}
          value={String(studio.videoKbps.value)}
          onChange={(event) => (studio.videoKbps.value = Number(event.currentTarget.value))}
        >
          {rates.map((kbps) => (
            <option key={kbps} value={String(kbps)}>
              up to {bitrate(kbps)}
            </option>
          ))}
        </select>
      </div>
    </div>
  );
}
