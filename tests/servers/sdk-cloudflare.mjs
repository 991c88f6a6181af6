// What Cloudflare's own SDK makes of the fake, and of what our client has sent to it.
//
//   node sdk-cloudflare.mjs drive BASE ACCOUNT TOKEN
//   node sdk-cloudflare.mjs requests JSON    [{ "operation": …, "body": … }, …]

import assert from 'node:assert/strict';
import Cloudflare from 'cloudflare';
import { conforms } from './sdk-types.mjs';

const INPUTS = 'cloudflare/resources/stream/live-inputs/live-inputs.d.ts';
const OUTPUTS = 'cloudflare/resources/stream/live-inputs/outputs.d.ts';
const VIDEOS = 'cloudflare/resources/stream/videos.d.ts';

const [verb, ...rest] = process.argv.slice(2);
await { drive, requests }[verb](...rest);
console.log('content');

async function drive(baseURL, account_id, apiToken) {
  const client = new Cloudflare({ apiToken, baseURL, maxRetries: 0 });
  const { liveInputs, videos } = client.stream;

  const usage = await videos.storageUsage({ account_id });
  conforms(usage, VIDEOS, 'VideoStorageUsageResponse');

  const wanted = {
    account_id,
    meta: { name: 'sdk' },
    recording: { mode: 'off' },
    'Idempotency-Key': 'sdk-1',
  };
  const input = await liveInputs.create(wanted);
  checkInput(input);
  assert.deepEqual(input.meta, { name: 'sdk' });
  assert.equal((await liveInputs.create(wanted)).uid, input.uid, 'the key against doubles is not heeded');
  checkInput(await liveInputs.get(input.uid, { account_id }));

  const listing = await liveInputs.list({ account_id, include_counts: true });
  conforms(listing, INPUTS, 'LiveInputListResponse');
  assert.deepEqual(listing.liveInputs.map(({ uid }) => uid), [input.uid]);
  for (const listed of listing.liveInputs) conforms(listed, INPUTS, 'LiveInputListResponse.LiveInput');

  const ids = { account_id, live_input_identifier: input.uid };
  const destination = { url: 'rtmps://a.example:443/live2', streamKey: 'key' };
  const output = await liveInputs.outputs.create(input.uid, { account_id, ...destination });
  conforms(output, OUTPUTS, 'Output');
  assert.deepEqual({ url: output.url, streamKey: output.streamKey }, destination);
  const off = await liveInputs.outputs.update(output.uid, { ...ids, enabled: false });
  assert.equal(off.enabled, false);
  const all = [];
  for await (const listed of liveInputs.outputs.list(input.uid, { account_id })) all.push(listed.uid);
  assert.deepEqual(all, [output.uid]);
  await liveInputs.outputs.delete(output.uid, ids);
  await assert.rejects(liveInputs.outputs.delete(output.uid, ids), Cloudflare.NotFoundError);

  await liveInputs.delete(input.uid, { account_id });
  await assert.rejects(liveInputs.get(input.uid, { account_id }), Cloudflare.NotFoundError);
  await assert.rejects(liveInputs.create(wanted), Cloudflare.ConflictError);

  const stranger = new Cloudflare({ apiToken: 'another', baseURL, maxRetries: 0 });
  await assert.rejects(stranger.stream.liveInputs.list({ account_id }), (error) => {
    assert.ok(error instanceof Cloudflare.PermissionDeniedError, String(error));
    assert.deepEqual(error.errors, [{ code: 10000, message: 'Authentication error' }]);
    return true;
  });
}

function checkInput(input) {
  conforms(input, INPUTS, 'LiveInput');
  conforms(input.rtmps, INPUTS, 'LiveInput.Rtmps');
  conforms(input.srt, INPUTS, 'LiveInput.Srt');
  conforms(input.webRTC, INPUTS, 'LiveInput.WebRtc');
  conforms(input.recording, INPUTS, 'LiveInput.Recording');
}

// Path and header parameters are declared with the body's; those our client puts elsewhere.
function requests(json) {
  const elsewhere = { account_id: 'a', live_input_identifier: 'i' };
  const declared = {
    create_live_input: [INPUTS, 'LiveInputCreateParams', { account_id: 'a' }],
    create_output: [OUTPUTS, 'OutputCreateParams', { account_id: 'a' }],
    enable_output: [OUTPUTS, 'OutputUpdateParams', elsewhere],
  };
  const recorded = JSON.parse(json);
  for (const { operation, body } of recorded) {
    const [file, name, others] = declared[operation];
    conforms({ ...others, ...body }, file, name);
    if (body.recording) conforms(body.recording, INPUTS, 'LiveInputCreateParams.Recording');
  }
  const told = new Set(recorded.map(({ operation }) => operation));
  assert.deepEqual([...told].sort(), Object.keys(declared).sort());
}
