// What Mux's own SDK makes of the fake, of its webhooks, and of what our client has sent to it.
//
//   node sdk-mux.mjs idle BASE TOKEN_ID TOKEN_SECRET      prints the id of a live stream with a target
//   node sdk-mux.mjs active BASE TOKEN_ID TOKEN_SECRET STREAM
//   node sdk-mux.mjs requests JSON                        [{ "operation": …, "body": … }, …]
//   node sdk-mux.mjs webhooks SECRET JSON                 [{ "headers": …, "body": "…" }, …]
//   node sdk-mux.mjs sign SECRET SECONDS BODY             prints the header

import assert from 'node:assert/strict';
import Mux from '@mux/mux-node';
import { conforms } from './sdk-types.mjs';

const STREAMS = '@mux/mux-node/resources/video/live-streams.d.ts';
const WEBHOOKS = '@mux/mux-node/resources/webhooks/webhooks.d.ts';

const [verb, ...rest] = process.argv.slice(2);
console.log((await { idle, active, requests, webhooks, sign }[verb](...rest)) ?? 'content');

function client(baseURL, tokenId, tokenSecret) {
  return new Mux({ baseURL, tokenId, tokenSecret, maxRetries: 0 });
}

async function idle(...account) {
  const { liveStreams } = client(...account).video;
  const target = { url: 'rtmps://a.example:443/live2', stream_key: 'key', passthrough: 'first' };
  const stream = await liveStreams.create({
    playback_policies: ['signed'],
    new_asset_settings: { playback_policies: ['signed'] },
    passthrough: 'sdk',
    simulcast_targets: [target],
  });
  check(stream);
  assert.equal(stream.status, 'idle');
  assert.equal(stream.simulcast_targets[0].passthrough, 'first');

  const { id } = stream;
  const more = await liveStreams.createSimulcastTarget(id, { ...target, passthrough: 'second' });
  conforms(more, STREAMS, 'SimulcastTarget');
  const again = await liveStreams.retrieveSimulcastTarget(id, more.id);
  assert.deepEqual(again, more);
  await liveStreams.deleteSimulcastTarget(id, more.id);
  await assert.rejects(liveStreams.retrieveSimulcastTarget(id, more.id), Mux.NotFoundError);
  await assert.rejects(
    liveStreams.createSimulcastTarget(id, { url: 'https://a.example' }),
    Mux.BadRequestError,
  );

  const others = [];
  for (let nth = 0; nth < 12; nth += 1) others.push((await liveStreams.create({ passthrough: 'other' })).id);
  const listed = [];
  for await (const { id } of liveStreams.list({ limit: 5 })) listed.push(id);
  assert.deepEqual(listed, [id, ...others].reverse(), 'the newest is not the first, or a page is missing');
  for (const other of others) await liveStreams.delete(other);
  await assert.rejects(liveStreams.retrieve(others[0]), (error) => {
    assert.ok(error instanceof Mux.NotFoundError, String(error));
    assert.equal(error.error.error.type, 'not_found');
    return true;
  });

  const stranger = client(account[0], account[1], 'another');
  await assert.rejects(stranger.video.liveStreams.list(), Mux.AuthenticationError);
  return id;
}

async function active(baseURL, tokenId, tokenSecret, id) {
  const { liveStreams, assets } = client(baseURL, tokenId, tokenSecret).video;
  const stream = await liveStreams.retrieve(id);
  check(stream);
  assert.equal(stream.status, 'active');
  assert.equal(stream.simulcast_targets[0].status, 'broadcasting');

  const target = { url: 'rtmps://b.example:443/live2', stream_key: 'key' };
  await assert.rejects(liveStreams.createSimulcastTarget(id, target), Mux.BadRequestError);
  const known = stream.simulcast_targets[0].id;
  await assert.rejects(liveStreams.deleteSimulcastTarget(id, known), Mux.BadRequestError);

  await liveStreams.complete(id);
  await liveStreams.disable(id);
  assert.equal((await liveStreams.retrieve(id)).status, 'disabled');
  await liveStreams.enable(id);
  await liveStreams.delete(id);
  await assets.delete(stream.active_asset_id);
  await assert.rejects(assets.delete(stream.active_asset_id), Mux.NotFoundError);
}

function check(stream) {
  conforms(stream, STREAMS, 'LiveStream');
  for (const target of stream.simulcast_targets) conforms(target, STREAMS, 'SimulcastTarget');
}

function requests(json) {
  const declared = {
    create_live_stream: 'LiveStreamCreateParams',
    create_simulcast_target: 'LiveStreamCreateSimulcastTargetParams',
  };
  const recorded = JSON.parse(json);
  for (const { operation, body } of recorded) {
    conforms(body, STREAMS, declared[operation]);
    for (const target of body.simulcast_targets ?? []) {
      conforms(target, STREAMS, 'LiveStreamCreateParams.SimulcastTarget');
    }
  }
  const told = new Set(recorded.map(({ operation }) => operation));
  assert.deepEqual([...told].sort(), Object.keys(declared).sort());
}

async function webhooks(secret, json) {
  const mux = new Mux({ tokenId: 'id', tokenSecret: 'secret', webhookSecret: secret });
  for (const { headers, body } of JSON.parse(json)) {
    const event = await mux.webhooks.unwrap(body, headers);
    conforms(event, WEBHOOKS, 'BaseWebhookEvent');
    if (event.type.includes('simulcast_target')) conforms(event.data, WEBHOOKS, 'WebhookSimulcastTarget');
    else if (event.type !== 'video.live_stream.deleted') check(event.data);
    await assert.rejects(mux.webhooks.unwrap(`${body} `, headers));
  }
}

async function sign(secret, seconds, body) {
  const mux = new Mux({ tokenId: 'id', tokenSecret: 'secret', webhookSecret: secret });
  return `t=${seconds},v1=${await mux.webhooks.computeSignature(`${seconds}.${body}`, secret)}`;
}
