// Fills rooms, and misbehaves, with the unmodified socket.io-client and without a browser: signalling is real, nobody comes
// by ICE or DTLS. Obeys as rooms.mjs does: one JSON document a line on standard input, one a line as its answer.
// usage: node crowd.mjs
// commands: {"verb": VERB, "options": {...}}; the verbs are the functions of `verbs`. The words state and quit stand alone.

import { createInterface } from "node:readline";
import { Participant, Person } from "./crowd/person.mjs";
import { dtlsParameters, rtpParameters } from "./crowd/recorded.mjs";

const people = new Map();
const crowd = [];
const paces = new Map();

/** As many at a time as a browser has connections; each of them is asked in order. */
async function all(items, work, width = 25) {
  const queue = items.entries();
  const worker = async () => {
    for (const [index, item] of queue) await work(item, index);
  };
  await Promise.all(Array.from({ length: width }, worker));
}

const verbs = {
  /** Everybody comes into rooms, and receives what all others of the room send. */
  async gather({ url, rooms }) {
    const arriving = rooms.flatMap(({ room, dialect, size }, number) =>
      Array.from({ length: size }, (_, index) => ({ room, dialect, size, name: `p${number}-${index}` })),
    );
    const come = [];
    await all(arriving, async ({ room, dialect, size, name }) => {
      const person = await Person.open({ url, auth: { dialect, userId: name } });
      const participant = new Participant(person, dialect, room, name, url);
      participant.others = size - 1;
      await participant.join();
      come.push(participant);
      crowd.push(participant);
    });
    await all(come, (participant) => participant.makeTransports());
    await all(come, (participant) => participant.produce());
    await all(come, (participant) => participant.consume(2 * participant.others));
    return crowd.reduce((sum, { consumers }) => sum + consumers.length, 0);
  },

  /** All go: every other one, or all, by the dialect's word, the rest as if their network had broken. */
  async scatter({ byWord = false } = {}) {
    await all(crowd.splice(0), (participant, index) => participant.leave(byWord || index % 2 === 0));
  },

  /** Two come, and one makes as much of everything as it is granted: how much, and how the next was refused. */
  async fill({ url, dialect, room }) {
    const arrive = async (name) => {
      const person = await Person.open({ url, auth: { dialect, userId: name } });
      const participant = new Participant(person, dialect, room, name, url);
      await participant.join();
      await participant.makeTransports();
      return participant;
    };
    const [source, greedy] = [await arrive("source"), await arrive("greedy")];
    await source.produce();
    const asks = {
      // It has two already.
      transport: [2, () => greedy.words.transport(room, "send", greedy.person)],
      producer: [0, (number) => greedy.sending("audio", `${number}`)],
      consumer: [0, (number) => greedy.receiving(source.producers[number % 2])],
    };
    const filled = {};
    for (const [what, [already, ask]] of Object.entries(asks)) {
      let granted = already;
      let refusal = await greedy.person.ask(...ask(granted));
      while (!refusal.error && !refusal.hung && !refusal.ended && granted < 1000) {
        granted += 1;
        // Below the rate that everybody is granted.
        await new Promise((resolve) => setTimeout(resolve, 20));
        refusal = await greedy.person.ask(...ask(granted));
      }
      filled[what] = { granted, refusal };
    }
    for (const participant of [source, greedy]) participant.person.close();
    return filled;
  },

  /** How many of the crowd are still connected. */
  connected: () => crowd.filter(({ person }) => !person.ended).length,

  /** Somebody connects. What `connect_error` says is the answer where that is refused. */
  async open({ name, ...options }) {
    try {
      people.set(name, await Person.open(options));
    } catch (error) {
      return { refused: error.message };
    }
  },

  /** Somebody of Streamlick sends picture and sound; their names. */
  async compose({ name, room }) {
    const participant = new Participant(people.get(name), "streamlick", room, name);
    await participant.makeTransports();
    await participant.produce();
    const [audioProducerId, videoProducerId] = participant.producers;
    return { audioProducerId, videoProducerId };
  },

  /** Asks one after another, each an array of event and arguments; the answers in order. */
  async ask({ name, asks }) {
    const answers = [];
    for (const ask of asks) answers.push((await people.get(name).ask(...ask)) ?? null);
    return answers;
  },

  /** Asks all at once. */
  async rush({ name, ask, times }) {
    const person = people.get(name);
    return Promise.all(Array.from({ length: times }, () => person.ask(...ask)));
  },

  /** Says events that nobody answers. */
  say({ name, says, times = 1 }) {
    for (let time = 0; time < times; time += 1) {
      for (const event of says) people.get(name).socket.emit(...event);
    }
  },

  /** What somebody was told of this name: the first arguments. */
  heard: ({ name, event }) =>
    people.get(name).heard.filter(([heard]) => heard === event).map(([, content]) => content ?? null),

  /** Why somebody's connection ended; null while it lives. */
  ended: ({ name }) => people.get(name).ended,

  /** Asks with an argument of so many bytes of text, of so deep arrays, or of binary. */
  async monster({ name, event, field, bytes, depth, binary }) {
    let value = "x".repeat(bytes ?? 0);
    if (depth) value = JSON.parse("[".repeat(depth) + "]".repeat(depth));
    if (binary) value = Buffer.alloc(binary, 7);
    return (await people.get(name).ask(event, { [field]: value })) ?? null;
  },

  /** Sends text as it is, below Socket.IO, as a WebSocket message; then asks: whether the answer comes or the end. */
  async write({ name, text, ask }) {
    const person = people.get(name);
    person.socket.io.engine.transport.ws.send(text);
    return ask ? ((await person.ask(...ask)) ?? null) : null;
  },

  /** Reads nothing more from the network. */
  deafen({ name }) {
    people.get(name).socket.io.engine.transport.ws._socket.pause();
  },

  /** Goes; `how` is close or cut. */
  go({ name, how }) {
    people.get(name)[how]();
  },

  /** Somebody tries what is not theirs, beside whose it is: the answers by what was tried. */
  async trespass({ url, dialect, room }) {
    const arrive = async (name) => {
      const person = await Person.open({ url, auth: { dialect, userId: name } });
      const participant = new Participant(person, dialect, room, name, url);
      await participant.join();
      await participant.makeTransports();
      await participant.produce();
      return participant;
    };
    const [owner, eve] = [await arrive("owner"), await arrive("eve")];
    const ask = async ([event, content], change) => (await eve.person.ask(event, { ...content, ...change })) ?? null;
    const connect = eve.words.connect(room);
    const answers = {
      connect: await ask(connect, { transportId: owner.send, dtlsParameters: dtlsParameters() }),
      connectAgain: await ask(connect, { transportId: eve.send, dtlsParameters: dtlsParameters() }),
      produce: await ask(eve.sending("audio", "7"), { transportId: owner.send }),
      consume: await ask(eve.words.consume(room, owner.recv, eve.person), {
        transportId: owner.recv,
        producerId: owner.producers[0],
        rtpCapabilities: eve.capabilities,
      }),
      consumeNothing: await ask(eve.receiving("00000000-0000-4000-8000-000000000000")),
      consumeOwn: await ask(eve.receiving(eve.producers[0])),
      sameMid: await ask(eve.sending("audio", "0")),
      otherKind: await ask(eve.sending("video", "8"), { kind: "audio" }),
      manyCodecs: await ask(eve.sending("video", "9"), {
        rtpParameters: { ...rtpParameters("video", "9"), codecs: Array(65).fill(rtpParameters("video", "9").codecs[0]) },
      }),
      hugeNumber: await ask(eve.sending("audio", "10"), {
        rtpParameters: { ...rtpParameters("audio", "10"), encodings: [{ ssrc: 2 ** 40 }] },
      }),
      largeAppData: await ask(eve.sending("audio", "11"), { appData: { text: "x".repeat(4096) } }),
    };
    await eve.join();
    answers.produceAfterJoiningAgain = await ask(eve.sending("audio", "12"));
    answers.ownerIsThere = await owner.person.ask(...owner.sending("audio", "13"));
    for (const participant of [owner, eve]) participant.person.close();
    return answers;
  },

  /** Asks again and again, until `paced` asks how that went. */
  pace({ name, ask }) {
    const run = { took: [], ends: false };
    const person = people.get(name);
    run.over = (async () => {
      while (!run.ends || run.took.length < run.ends) {
        const begin = performance.now();
        const answer = await person.ask(...ask);
        if (!answer || answer.error || answer.hung || answer.ended) throw new Error(JSON.stringify(answer));
        run.took.push(performance.now() - begin);
        // Below the rate that everybody is granted.
        await new Promise((resolve) => setTimeout(resolve, 25));
      }
    })();
    run.over.catch(() => {});
    paces.set(name, run);
  },

  /** Ends that once so many were answered; how long each took, in milliseconds. */
  async paced({ name, atLeast }) {
    const run = paces.get(name);
    run.ends = atLeast;
    await run.over;
    return run.took;
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  if (line === "quit") break;
  let answer;
  try {
    if (line === "state") {
      answer = { done: [...people.keys()] };
    } else {
      const { verb, options } = JSON.parse(line);
      answer = { done: (await verbs[verb](options ?? {})) ?? null };
    }
  } catch (error) {
    answer = { failed: String(error) };
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
process.exit(0);
