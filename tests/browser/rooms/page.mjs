// `window.room`: what the driver steers. One page is one participant, whose dialect is chosen when it joins.

import { Device } from "mediasoup-client";
import { io } from "socket.io-client";
import { Camel } from "./camel.mjs";
import { Hermes } from "./hermes.mjs";
import { HermesSdp } from "./hermes-sdp.mjs";
import { Meetlite } from "./meetlite.mjs";
import { Meetlite2 } from "./meetlite2.mjs";
import { Nself } from "./nself.mjs";
import { Streamlick } from "./streamlick.mjs";

const DIALECTS = {
  hermes: Hermes,
  "hermes-sdp": HermesSdp,
  camel: Camel,
  meetlite: Meetlite,
  meetlite2: Meetlite2,
  nself: Nself,
  streamlick: Streamlick,
};

let participant;

window.room = {
  async join({ dialect, ...options }) {
    const member = new DIALECTS[dialect]({ Device, io, options });
    participant = member;
    await member.join();
    return { joinedMs: performance.now() - member.began };
  },
  journal: () => participant.signalling.journal,
  troubles: () => participant.troubles,
  break: () => participant.signalling.break(),
  /** Everything else is the participant's own. */
  do: (verb, options) => participant[verb](options ?? {}),
};
