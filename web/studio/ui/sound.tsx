/** The mixing desk. */

import type { JSX } from "preact";
import { decibels, faderGain } from "../audio/levels.ts";
import type { ChannelName } from "../audio/mixer.ts";
import { useDesk } from "./context.ts";
import { Icon } from "./icons.tsx";
import { Meter } from "./meter.tsx";
import { Switch } from "./switch.tsx";

export function SoundPanel(): JSX.Element {
  const { studio } = useDesk();
  const tests = studio.tuneOn.value || studio.pattern.value === "flash";
  return (
    <section class="panel" aria-labelledby="sound-heading">
      <div class="panel-head">
        <h2 id="sound-heading">Sound</h2>
        <button
          type="button"
          class="button button-small"
          aria-pressed={studio.monitoring.value}
          onClick={() => {
            studio.wake();
            studio.monitoring.value = !studio.monitoring.value;
          }}
        >
          <Icon name="headphones" /> {studio.monitoring.value ? "Listening" : "Listen"}
        </button>
      </div>
      <Microphone />
      {studio.screenHasSound.value && <StripRow name="screen" label="Shared sound" />}
      {studio.usesTest.value && tests && <StripRow name="test" label="Test sound" />}
      {studio.usesTest.value && studio.pattern.value === "motion" && (
        <Switch
          on={studio.tuneOn.value}
          onChange={(on) => {
            studio.wake();
            studio.tuneOn.value = on;
          }}
        >
          Play the test tune
        </Switch>
      )}
      <div class="mix">
        <span class="strip-name">Programme</span>
        <div class="meters">
          <Meter label="Programme, left" level={() => studio.mixer.levels()[0]} />
          <Meter label="Programme, right" level={() => studio.mixer.levels()[1]} />
        </div>
      </div>
    </section>
  );
}

function Microphone(): JSX.Element {
  const { studio } = useDesk();
  if (!studio.microphoneOn.value) {
    return (
      <button
        type="button"
        class="button"
        onClick={() => {
          studio.wake();
          void studio.useMicrophone(true);
        }}
      >
        <Icon name="plus" /> Add microphone
      </button>
    );
  }
  return (
    <div class="strip-group">
      <StripRow name="microphone" label="Microphone" onRemove={() => void studio.useMicrophone(false)} />
      {studio.microphones.value.length > 1 && (
        <div class="field">
          <label for="microphone">Microphone device</label>
          <select
            id="microphone"
            value={studio.microphone.value}
            onChange={(event) => void studio.useMicrophone(true, event.currentTarget.value)}
          >
            {studio.microphones.value.map(({ deviceId, label }) => (
              <option key={deviceId} value={deviceId}>
                {label}
              </option>
            ))}
          </select>
        </div>
      )}
    </div>
  );
}

function StripRow(props: { name: ChannelName; label: string; onRemove?: () => void }): JSX.Element {
  const { studio } = useDesk();
  const { fader, muted } = studio.strips.value[props.name];
  const db = decibels(faderGain(fader));
  const words = Number.isFinite(db) ? `${db > 0 ? "+" : ""}${db.toFixed(0)} dB` : "off";
  return (
    <fieldset class="strip">
      <legend class="strip-name">{props.label}</legend>
      <button
        type="button"
        class="button button-icon"
        aria-pressed={muted}
        aria-label={`Mute ${props.label.toLowerCase()}`}
        title={muted ? "Muted" : "Mute"}
        onClick={() => studio.setStrip(props.name, { muted: !muted })}
      >
        <Icon name={muted ? "muted" : "sound"} />
      </button>
      <div class="strip-body">
        <input
          type="range"
          min="0"
          max="1"
          step="0.01"
          value={fader}
          aria-label={`Volume of ${props.label.toLowerCase()}`}
          aria-valuetext={words}
          onInput={(event) => studio.setStrip(props.name, { fader: Number(event.currentTarget.value) })}
        />
        <Meter
          label={`Level of ${props.label.toLowerCase()}`}
          level={() => studio.mixer.channels[props.name].level()}
        />
      </div>
      <span class="strip-value">{words}</span>
      {props.onRemove !== undefined && (
        <button
          type="button"
          class="button button-icon"
          aria-label={`Remove ${props.label.toLowerCase()}`}
          onClick={props.onRemove}
        >
          <Icon name="remove" />
        </button>
      )}
    </fieldset>
  );
}
