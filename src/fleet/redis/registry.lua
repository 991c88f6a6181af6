-- The rules of src/fleet/ledger.rs as one step each, which nothing comes between.
-- KEYS[1] is what all keys begin with; its hash tag keeps them in one slot of a cluster. ARGV[1] names the step.
-- The server's clock is the only one: everything that lasts for a while has a time to live.

local root = KEYS[1]
local step = ARGV[1]

local function key(...)
  return root .. ':' .. table.concat({...}, ':')
end

local function next_number()
  return redis.call('INCR', key('numbers'))
end

local function at_least(number)
  if tonumber(redis.call('GET', key('numbers')) or '0') < tonumber(number) then
    redis.call('SET', key('numbers'), number)
  end
end

local function seconds()
  return tonumber(redis.call('TIME')[1])
end

local function microseconds()
  local now = redis.call('TIME')
  return tonumber(now[1]) * 1000000 + tonumber(now[2])
end

local function is_alive(node, epoch)
  return redis.call('HGET', key('node', node), 'epoch') == epoch
end

-- Places are kept by broadcast; each node has the set of those that are kept on it.
local function drop_place(broadcast)
  local node = redis.call('HGET', key('place', broadcast), 'node')
  if node then
    redis.call('SREM', key('places', node), broadcast)
    redis.call('DEL', key('place', broadcast))
  end
end

local function kept_on(node)
  local sum = 0
  for _, broadcast in ipairs(redis.call('SMEMBERS', key('places', node))) do
    local place = redis.call('HMGET', key('place', broadcast), 'node', 'cost')
    if place[1] == node then
      sum = sum + tonumber(place[2])
    else
      redis.call('SREM', key('places', node), broadcast)
    end
  end
  return sum
end

local function note_life(node, epoch, life, instance, report, taken, capacity, draining, region)
  redis.call('SET', key('began'), string.format('%.0f', microseconds()), 'NX')
  local name = key('node', node)
  redis.call('HSET', name, 'epoch', epoch, 'instance', instance, 'report', report, 'taken', taken,
    'capacity', capacity, 'draining', draining, 'region', region)
  redis.call('PEXPIRE', name, life)
  redis.call('ZADD', key('nodes'), seconds(), node)
  redis.call('SADD', key('lives'), node .. ':' .. epoch)
end

local function hold(broadcast, node, epoch, fence, state)
  local before = redis.call('HMGET', key('broadcast', broadcast), 'node', 'epoch')
  if before[1] then
    redis.call('SREM', key('held', before[1], before[2]), broadcast)
  end
  redis.call('HSET', key('broadcast', broadcast), 'node', node, 'epoch', epoch, 'fence', fence, 'state', state)
  redis.call('SADD', key('held', node, epoch), broadcast)
end

local function has_ended(broadcast, fence)
  return tonumber(redis.call('GET', key('ended', broadcast)) or '-1') >= tonumber(fence)
end

-- What is wrong with a number, if it is not the newest.
local function fault(broadcast, fence)
  local newest = redis.call('HGET', key('broadcast', broadcast), 'fence')
  if newest == fence then
    return nil
  elseif newest or has_ended(broadcast, fence) then
    return {'fenced'}
  end
  return {'forgotten'}
end

local steps = {}

function steps.register(node, life, instance, report, taken, capacity, draining, region)
  local known = redis.call('HGET', key('node', node), 'instance')
  if known and known ~= instance then
    return {'name_taken'}
  end
  local epoch = tostring(next_number())
  note_life(node, epoch, life, instance, report, taken, capacity, draining, region)
  return {'ok', epoch}
end

function steps.heartbeat(node, life, instance, report, taken, capacity, draining, region, epoch)
  local known = redis.call('HGET', key('node', node), 'epoch')
  if known and known ~= epoch then
    return {'superseded'}
  end
  at_least(epoch)
  for _, broadcast in ipairs(redis.call('SMEMBERS', key('places', node))) do
    if redis.call('HGET', key('place', broadcast), 'used') then
      drop_place(broadcast)
    end
  end
  note_life(node, epoch, life, instance, report, taken, capacity, draining, region)
  return {'ok', known and '1' or '0', tostring(redis.call('SCARD', key('held', node, epoch)))}
end

function steps.held_by(node, epoch)
  local answer = redis.call('SMEMBERS', key('held', node, epoch))
  table.insert(answer, 1, 'ok')
  return answer
end

function steps.leave(node, epoch)
  local newest = redis.call('HGET', key('node', node), 'epoch')
  if not newest or newest == epoch then
    redis.call('DEL', key('node', node))
    redis.call('ZREM', key('nodes'), node)
  end
  return {'ok'}
end

-- How many nodes there are, with those that died within `memory` seconds, and the reports of the living.
function steps.nodes(memory)
  redis.call('ZREMRANGEBYSCORE', key('nodes'), '-inf', seconds() - tonumber(memory))
  local all = redis.call('ZRANGE', key('nodes'), 0, -1)
  local answer = {'ok', tostring(#all)}
  for _, node in ipairs(all) do
    local report = redis.call('HGET', key('node', node), 'report')
    if report then
      table.insert(answer, report)
      table.insert(answer, tostring(kept_on(node)))
    end
  end
  return answer
end

local function room(node)
  local known = redis.call('HMGET', key('node', node), 'taken', 'capacity', 'draining', 'region')
  if not known[1] or known[3] == '1' then
    return nil
  end
  local taken = tonumber(known[1]) + kept_on(node)
  return {node = node, taken = taken, capacity = tonumber(known[2]), region = known[4]}
end

function steps.reserve(broadcast, cost, region, life, ...)
  local held = redis.call('HMGET', key('broadcast', broadcast), 'node', 'epoch')
  if held[1] and is_alive(held[1], held[2]) then
    return {'lives', held[1]}
  end
  cost = tonumber(cost)
  local best
  local place = redis.call('HMGET', key('place', broadcast), 'node', 'used')
  if place[1] and not place[2] then
    best = room(place[1])
  end
  if not best then
    local best_rank
    for _, candidate in ipairs({...}) do
      local found = room(candidate)
      if found and found.taken + cost <= found.capacity then
        local rank = (found.taken + cost) / found.capacity
        if region ~= '' and found.region ~= region then
          rank = rank + 1e9
        end
        if not best_rank or rank < best_rank then
          best, best_rank = found, rank
        end
      end
    end
  end
  if not best then
    return {'full'}
  end
  drop_place(broadcast)
  redis.call('HSET', key('place', broadcast), 'node', best.node, 'cost', cost)
  redis.call('PEXPIRE', key('place', broadcast), life)
  redis.call('SADD', key('places', best.node), broadcast)
  return {'ok', best.node, string.format('%.0f', math.max(0, best.capacity - best.taken)), best.region}
end

function steps.claim(broadcast, node, epoch)
  if not is_alive(node, epoch) then
    return {'not_registered'}
  end
  local held = redis.call('HMGET', key('broadcast', broadcast), 'node', 'epoch', 'fence')
  if held[1] == node and held[2] == epoch then
    return {'ok', held[3]}
  elseif held[1] and is_alive(held[1], held[2]) then
    return {'held', held[1]}
  elseif held[1] then
    return {'orphaned'}
  end
  if redis.call('HGET', key('place', broadcast), 'node') == node then
    redis.call('HSET', key('place', broadcast), 'used', 1)
  else
    drop_place(broadcast)
  end
  local fence = tostring(next_number())
  hold(broadcast, node, epoch, fence, '')
  return {'ok', fence}
end

function steps.reclaim(broadcast, node, epoch, fence, state)
  local newest = redis.call('HGET', key('broadcast', broadcast), 'fence')
  if newest and tonumber(newest) > tonumber(fence) or has_ended(broadcast, fence) then
    return {'fenced'}
  end
  at_least(fence)
  hold(broadcast, node, epoch, fence, state)
  return {'ok'}
end

function steps.save(broadcast, fence, state)
  local wrong = fault(broadcast, fence)
  if wrong then
    return wrong
  end
  redis.call('HSET', key('broadcast', broadcast), 'state', state)
  return {'ok'}
end

function steps.release(broadcast, fence, memory)
  local held = redis.call('HMGET', key('broadcast', broadcast), 'node', 'epoch', 'fence')
  if held[3] == fence then
    redis.call('SREM', key('held', held[1], held[2]), broadcast)
    redis.call('DEL', key('broadcast', broadcast))
    for _, stream in ipairs(redis.call('SMEMBERS', key('keys', broadcast))) do
      if redis.call('GET', key('key', stream)) == broadcast then
        redis.call('DEL', key('key', stream))
      end
    end
    redis.call('DEL', key('keys', broadcast))
    redis.call('SET', key('ended', broadcast), fence, 'EX', memory)
  end
  return {'ok'}
end

function steps.holder(broadcast)
  local held = redis.call('HMGET', key('broadcast', broadcast), 'node', 'fence')
  if not held[1] then
    return {'nobody'}
  end
  return {'ok', held[1], held[2]}
end

function steps.orphans(limit)
  local answer = {'ok'}
  for _, life in ipairs(redis.call('SMEMBERS', key('lives'))) do
    local node, epoch = string.match(life, '^(.*):(%d+)$')
    if not is_alive(node, epoch) then
      local held = redis.call('SMEMBERS', key('held', node, epoch))
      if #held == 0 then
        redis.call('SREM', key('lives'), life)
      end
      for _, broadcast in ipairs(held) do
        if #answer >= tonumber(limit) * 3 then
          return answer
        end
        local fence = redis.call('HGET', key('broadcast', broadcast), 'fence')
        if fence then
          table.insert(answer, broadcast)
          table.insert(answer, node)
          table.insert(answer, fence)
        else
          redis.call('SREM', key('held', node, epoch), broadcast)
        end
      end
    end
  end
  return answer
end

function steps.adopt(broadcast, seen, node, epoch)
  if not is_alive(node, epoch) then
    return {'not_registered'}
  end
  local held = redis.call('HMGET', key('broadcast', broadcast), 'node', 'epoch', 'fence', 'state')
  if held[3] ~= seen then
    return {'fenced'}
  elseif is_alive(held[1], held[2]) then
    return {'held', held[1]}
  end
  local fence = tostring(next_number())
  hold(broadcast, node, epoch, fence, held[4])
  return {'ok', fence, held[4]}
end

function steps.hand_over(broadcast, seen, to)
  local wrong = fault(broadcast, seen)
  if wrong then
    return wrong
  end
  local state = redis.call('HGET', key('broadcast', broadcast), 'state')
  local epoch = redis.call('HGET', key('node', to), 'epoch')
  if not epoch then
    return {'not_registered'}
  end
  local fence = tostring(next_number())
  hold(broadcast, to, epoch, fence, state)
  return {'ok', fence, state}
end

-- `quiet`: for how many milliseconds a registry that lost its memory is told of keys before it gives new ones; without it
-- the key is told again.
function steps.take_key(stream, broadcast, fence, quiet)
  local wrong = fault(broadcast, fence)
  if wrong then
    return wrong
  end
  local holder = redis.call('GET', key('key', stream))
  if holder and holder ~= broadcast and redis.call('EXISTS', key('broadcast', holder)) == 1 then
    return {'key_held', holder}
  end
  if holder ~= broadcast and quiet then
    local began = redis.call('GET', key('began'))
    if not began or microseconds() < tonumber(began) + tonumber(quiet) * 1000 then
      return {'retelling'}
    end
  end
  redis.call('SET', key('key', stream), broadcast)
  redis.call('SADD', key('keys', broadcast), stream)
  return {'ok'}
end

function steps.give_back_key(stream, broadcast, fence)
  if redis.call('HGET', key('broadcast', broadcast), 'fence') == fence
    and redis.call('GET', key('key', stream)) == broadcast then
    redis.call('DEL', key('key', stream))
    redis.call('SREM', key('keys', broadcast), stream)
  end
  return {'ok'}
end

function steps.put_note(shelf, name, note)
  redis.call('HSET', key('notes', shelf), name, note)
  return {'ok'}
end

function steps.remove_note(shelf, name)
  redis.call('HDEL', key('notes', shelf), name)
  return {'ok'}
end

function steps.notes(shelf, limit)
  local answer = {'ok'}
  for _, note in ipairs(redis.call('HVALS', key('notes', shelf))) do
    if #answer > tonumber(limit) then
      break
    end
    table.insert(answer, note)
  end
  return answer
end

-- The same as src/fleet/pace.rs, in microseconds.
function steps.take_turn(rate, burst, each)
  local name, now = key('rate', rate), microseconds()
  local paid = math.max(tonumber(redis.call('GET', name) or '0'), now)
  local wait = paid - (tonumber(burst) - 1) * tonumber(each) - now
  if wait > 0 then
    return {'wait', string.format('%.0f', wait)}
  end
  local until_then = paid + tonumber(each)
  redis.call('SET', name, string.format('%.0f', until_then), 'PX', math.ceil((until_then - now) / 1000))
  return {'ok'}
end

return steps[step](unpack(ARGV, 2))
