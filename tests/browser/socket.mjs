// Joins a room with the unmodified socket.io-client by one transport, asks many times, and prints what came of it as JSON.
// usage: node socket.mjs URL polling|websocket TIMES
// Certificates that sign themselves are taken: it is for tests of a proxy.

import { io } from "socket.io-client";

const [url, transport, times] = process.argv.slice(2);
const socket = io(url, { transports: [transport], reconnection: false, rejectUnauthorized: false });
socket.on("connect_error", (error) => {
  console.log(JSON.stringify({ error: error.message }));
  process.exit(1);
});
socket.on("disconnect", (reason) => {
  console.log(JSON.stringify({ error: reason }));
  process.exit(1);
});
await new Promise((resolve) => socket.once("connect", resolve));

const joined = await socket.emitWithAck("joinRoom", { roomId: "proxied", peerId: `ada-${transport}` });
let answers = 0;
for (let time = 0; time < Number(times); time++) {
  const answer = await socket.emitWithAck("getRouterRtpCapabilities", { roomId: "proxied" });
  if (answer.rtpCapabilities.codecs.length > 0) answers += 1;
}
console.log(JSON.stringify({ transport: socket.io.engine.transport.name, joined, answers }));
socket.off("disconnect");
socket.close();
