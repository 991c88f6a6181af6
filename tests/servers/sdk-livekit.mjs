// What LiveKit's own SDK makes of the fake, of its webhooks, and of what our client has sent to it.
//
//   node sdk-livekit.mjs drive BASE KEY SECRET
//   node sdk-livekit.mjs requests JSON                    [{ "operation": …, "body": … }, …]
//   node sdk-livekit.mjs webhooks KEY SECRET JSON         [{ "headers": …, "body": "…" }, …]
//   node sdk-livekit.mjs sign KEY SECRET BODY             prints the header
//   node sdk-livekit.mjs verify KEY SECRET TOKEN          prints the token's grants

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import * as protocol from '@livekit/protocol';
import {
  AccessToken,
  EgressClient,
  IngressClient,
  RoomServiceClient,
  TokenVerifier,
  WebhookReceiver,
} from 'livekit-server-sdk';

const { EgressStatus, IngressInput, IngressState_Status: IngressStatus, StreamInfo_Status: StreamStatus } = protocol;

const [verb, ...rest] = process.argv.slice(2);
console.log((await { drive, requests, webhooks, sign, verify }[verb](...rest)) ?? 'content');

async function drive(base, key, secret) {
  const rooms = new RoomServiceClient(base, key, secret);
  const ingress = new IngressClient(base, key, secret);
  const egress = new EgressClient(base, key, secret);

  const room = await rooms.createRoom({ name: 'sdk', emptyTimeout: 60, metadata: 'ours' });
  assert.equal((await rooms.createRoom({ name: 'sdk' })).sid, room.sid, 'a room was made twice');
  assert.deepEqual((await rooms.listRooms(['sdk', 'none'])).map(({ name, metadata }) => [name, metadata]), [['sdk', 'ours']]);

  const way = await ingress.createIngress(IngressInput.WHIP_INPUT, {
    name: 'sdk',
    roomName: 'sdk',
    participantIdentity: 'sdk',
    enableTranscoding: false,
  });
  assert.ok(way.streamKey && way.url.startsWith('http'), 'no way in');
  const [listed] = await ingress.listIngress({ roomName: 'sdk' });
  assert.equal(listed.ingressId, way.ingressId);
  await eventually('the show arrives', async () => {
    const [{ state }] = await ingress.listIngress({ ingressId: way.ingressId });
    return state.status === IngressStatus.ENDPOINT_PUBLISHING;
  });

  const first = 'rtmps://a.example:443/live2/first-of-the-keys';
  const second = 'rtmps://a.example:443/live2/second-of-the-keys';
  const started = await egress.startParticipantEgress(
    'sdk',
    'sdk',
    { stream: new protocol.StreamOutput({ protocol: protocol.StreamProtocol.RTMP, urls: [first] }) },
    { encodingOptions: new protocol.EncodingOptions({ keyFrameInterval: 2 }) },
  );
  assert.equal(started.status, EgressStatus.EGRESS_STARTING);
  assert.equal(started.roomId, room.sid);
  const { egressId } = started;
  const info = async () => (await egress.listEgress({ egressId }))[0];
  await eventually('it is active', async () => (await info()).status === EgressStatus.EGRESS_ACTIVE);
  const [stream] = (await info()).streamResults;
  assert.equal(stream.url, 'rtmps://a.example:443/live2/{fir...eys}');
  assert.ok(stream.startedAt > 0n);

  await egress.updateStream(egressId, [second]);
  const updated = await egress.updateStream(egressId, [], [first]);
  assert.deepEqual(
    updated.streamResults.map(({ url, status }) => [url.slice(-11), status]),
    [['{fir...eys}', StreamStatus.FINISHED], ['{sec...eys}', StreamStatus.ACTIVE]],
  );
  await refused(egress.updateStream(egressId, [], [first]), 404, 'not_found');
  await refused(egress.updateStream(egressId, ['https://a.example']), 400, 'invalid_argument');
  assert.equal((await egress.listEgress({ roomName: 'sdk', active: true })).length, 1);

  assert.equal((await egress.stopEgress(egressId)).status, EgressStatus.EGRESS_ENDING);
  await eventually('it is complete', async () => (await info()).status === EgressStatus.EGRESS_COMPLETE);
  await refused(egress.stopEgress(egressId), 412, 'failed_precondition');
  assert.deepEqual(await egress.listEgress({ roomName: 'sdk', active: true }), []);

  await ingress.deleteIngress(way.ingressId);
  await refused(ingress.deleteIngress(way.ingressId), 404, 'not_found');
  await rooms.deleteRoom('sdk');
  await refused(rooms.deleteRoom('sdk'), 404, 'not_found');
  await refused(egress.startParticipantEgress('sdk', 'sdk', { stream: { urls: [first] } }), 404, 'not_found');

  // Its middleware refuses in plain text: there is no code.
  await refused(new RoomServiceClient(base, key, 'another-secret').listRooms(), 401, undefined);
  await strict(base, key, secret);
}

// The SDK reads past fields that it does not know. The fake must have none of those.
async function strict(base, key, secret) {
  const token = new AccessToken(key, secret);
  token.addGrant({ roomCreate: true, roomList: true, ingressAdmin: true, roomRecord: true });
  const authorization = `Bearer ${await token.toJwt()}`;
  const call = async (method, body) => {
    const headers = { authorization, 'content-type': 'application/json' };
    const answer = await fetch(`${base}twirp/livekit.${method}`, { method: 'POST', headers, body: JSON.stringify(body) });
    assert.ok(answer.ok, `${method}: ${answer.status}`);
    return answer.json();
  };
  // In both spellings.
  protocol.Room.fromJson(await call('RoomService/CreateRoom', { name: 'strict', empty_timeout: 60 }));
  protocol.IngressInfo.fromJson(
    await call('Ingress/CreateIngress', { input_type: 'WHIP_INPUT', room_name: 'strict', participant_identity: 'sdk' }),
  );
  const outputs = [{ protocol: 'RTMP', urls: ['rtmp://a.example/live/key'] }];
  const started = protocol.EgressInfo.fromJson(
    await call('Egress/StartParticipantEgress', { room_name: 'strict', identity: 'sdk', stream_outputs: outputs }),
  );
  protocol.ListRoomsResponse.fromJson(await call('RoomService/ListRooms', {}));
  const ingresses = protocol.ListIngressResponse.fromJson(await call('Ingress/ListIngress', { roomName: 'strict' }));
  protocol.ListEgressResponse.fromJson(await call('Egress/ListEgress', { egressId: started.egressId }));
  protocol.EgressInfo.fromJson(await call('Egress/StopEgress', { egressId: started.egressId }));
  protocol.IngressInfo.fromJson(await call('Ingress/DeleteIngress', { ingressId: ingresses.items[0].ingressId }));
  await call('RoomService/DeleteRoom', { room: 'strict' });
}

// A request that is not one of the protocol's is an error here: unknown fields, unknown words, wrong types.
function requests(json) {
  const declared = {
    CreateRoom: protocol.CreateRoomRequest,
    ListRooms: protocol.ListRoomsRequest,
    DeleteRoom: protocol.DeleteRoomRequest,
    CreateIngress: protocol.CreateIngressRequest,
    ListIngress: protocol.ListIngressRequest,
    DeleteIngress: protocol.DeleteIngressRequest,
    StartParticipantEgress: protocol.ParticipantEgressRequest,
    UpdateStream: protocol.UpdateStreamRequest,
    ListEgress: protocol.ListEgressRequest,
    StopEgress: protocol.StopEgressRequest,
  };
  const recorded = JSON.parse(json);
  for (const { operation, body } of recorded) {
    const request = declared[operation].fromJson(body);
    if (operation !== 'StartParticipantEgress') continue;
    assert.equal(request.options.case, 'advanced');
    assert.equal(request.options.value.keyFrameInterval, 2);
    assert.equal(request.options.value.videoCodec, protocol.VideoCodec.H264_MAIN);
    assert.equal(request.options.value.audioCodec, protocol.AudioCodec.AAC);
    assert.equal(request.streamOutputs[0].protocol, protocol.StreamProtocol.RTMP);
  }
  const told = new Set(recorded.map(({ operation }) => operation));
  assert.deepEqual([...told].sort(), Object.keys(declared).sort());
}

async function webhooks(key, secret, json) {
  const receiver = new WebhookReceiver(key, secret);
  const told = new Set();
  for (const { headers, body } of JSON.parse(json)) {
    assert.equal(headers['content-type'], 'application/webhook+json');
    const event = await receiver.receive(body, headers.authorization);
    protocol.WebhookEvent.fromJson(JSON.parse(body));
    told.add(event.event);
    if (event.event.startsWith('egress')) assert.ok(event.egressInfo.egressId && event.egressInfo.roomName);
    if (event.event.startsWith('ingress')) assert.ok(event.ingressInfo.ingressId && event.ingressInfo.roomName);
    assert.ok(event.id && event.createdAt > 0n);
    await assert.rejects(receiver.receive(`${body} `, headers.authorization), /checksum/);
    await assert.rejects(new WebhookReceiver(key, 'another').receive(body, headers.authorization));
  }
  return [...told].sort().join(' ');
}

async function sign(key, secret, body) {
  const token = new AccessToken(key, secret, { ttl: '5m' });
  token.sha256 = createHash('sha256').update(body).digest('base64');
  return token.toJwt();
}

async function verify(key, secret, token) {
  return JSON.stringify((await new TokenVerifier(key, secret).verify(token)).video);
}

async function refused(call, status, code) {
  await assert.rejects(call, (error) => {
    assert.equal(error.status, status, String(error));
    assert.equal(error.code, code, String(error));
    return true;
  });
}

async function eventually(what, reached) {
  for (let look = 0; look < 250; look += 1) {
    if (await reached()) return;
    await sleep(20);
  }
  assert.fail(`never: ${what}`);
}
