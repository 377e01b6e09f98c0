-- Limits and budgets shared by many gateways. Each call is one script, so it happens whole or not at
-- all, and the server's clock is everybody's. All keys begin with the same hash tag: one slot.
--
--   minute:SCOPE     hash    r<second>, t<second>: requests and tokens of that second
--   running:SCOPE    set     ids of requests under way
--   spend:SCOPE:...  hash    spent, reserved (nano-USD); missing: nobody has told what was spent
--   hold:ID          hash    what a request reserved, and in which life of a gateway; gone when it
--                            is settled
--   over:ID          text    a settlement came first: what is asked for later has ended
--   leases           zset    ids of holds by the time their gateway must have renewed them
--   lapsed           zset    ids whose gateway has not, by when: what they reserved counts as spent
--
-- Amounts of money stay texts: the server adds 64-bit integers, Lua would add floats.

local prefix = KEYS[1]
local call = ARGV[1]
local ask = cjson.decode(ARGV[2])
local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000) + ask.offset_ms
local second = math.floor(now / 1000)
local window = 61
-- Lapsed requests that one gateway is told of at once.
local told_at_once = 100
-- How long a settlement may overtake its reservation, in seconds: both were sent within one.
local overtaken_s = 600

local function negative(amount)
  return amount == '0' and '0' or '-' .. amount
end

local function add(key, field, amount)
  if amount ~= '0' and redis.call('EXISTS', key) == 1 then
    redis.call('HINCRBY', key, field, amount)
  end
end

-- What a dead gateway reserved counts as spent until somebody knows better.
local function reap()
  local late = redis.call('ZRANGEBYSCORE', prefix .. 'leases', '-inf', now, 'LIMIT', 0, 64)
  for _, id in ipairs(late) do
    local key = prefix .. 'hold:' .. id
    local hold = redis.call('HMGET', key, 'cost', 'bounds')
    if hold[2] then
      for _, bound in ipairs(cjson.decode(hold[2])) do
        redis.call('SREM', prefix .. 'running:' .. bound.scope, id)
        for _, spend in ipairs(bound.spends) do
          add(prefix .. spend.key, 'reserved', negative(hold[1]))
          add(prefix .. spend.key, 'spent', hold[1])
        end
      end
      redis.call('HSET', key, 'lapsed', '1')
      redis.call('EXPIRE', key, ask.lapsed_s)
      redis.call('ZADD', prefix .. 'lapsed', now, id)
    end
    redis.call('ZREM', prefix .. 'leases', id)
  end
end

-- What the last minute holds, and for each second what is used of requests and tokens.
local function minute(scope)
  local key = prefix .. 'minute:' .. scope
  local fields = redis.call('HGETALL', key)
  local used = { r = 0, t = 0 }
  local seconds = { r = {}, t = {} }
  for i = 1, #fields, 2 do
    local kind, at = string.sub(fields[i], 1, 1), tonumber(string.sub(fields[i], 2))
    local amount = tonumber(fields[i + 1])
    if at + window <= second then
      redis.call('HDEL', key, fields[i])
    elseif amount > 0 then
      used[kind] = used[kind] + amount
      table.insert(seconds[kind], { at, amount })
    end
  end
  for _, kind in ipairs({ 'r', 't' }) do
    table.sort(seconds[kind], function(one, other) return one[1] < other[1] end)
  end
  return used, seconds
end

local function until_second(at)
  return math.max(0, (at + window) * 1000 - now)
end

-- How long until `needed` fits under `limit`: milliseconds, or -1 when it never does.
local function wait(used, seconds, needed, limit)
  if needed > limit then return -1 end
  local left = used
  if left + needed <= limit then return 0 end
  for _, entry in ipairs(seconds) do
    left = left - entry[2]
    if left + needed <= limit then return until_second(entry[1]) end
  end
  return -1
end

local function remaining(limit, used, seconds)
  if not limit then return nil end
  local last = seconds[#seconds]
  return { limit = limit, remaining = math.max(0, limit - used), reset_ms = last and until_second(last[1]) or 0 }
end

local function standing(bounds)
  local all = {}
  for _, bound in ipairs(bounds) do
    if bound.rpm or bound.tpm then
      local used, seconds = minute(bound.scope)
      table.insert(all, {
        requests = remaining(bound.rpm, used.r, seconds.r),
        tokens = remaining(bound.tpm, used.t, seconds.t),
      })
    end
  end
  return all
end

-- What one bound has too little of; nil when it has enough.
local function shortage(bound)
  for _, budget in ipairs(bound.budgets) do
    if budget.hard then
      local spend = redis.call('HMGET', prefix .. budget.key, 'spent', 'reserved')
      if not spend[1] then return { what = 'unknown', budget = budget.index } end
      local spent, reserved = tonumber(spend[1]), tonumber(spend[2] or '0')
      local cost, hard = tonumber(ask.cost), tonumber(budget.hard)
      if cost > 0 and spent + reserved + cost > hard then
        local way = cost > hard and 'never' or spent + cost <= hard and 'soon' or 'next'
        return { what = 'budget', budget = budget.index, spent = spend[1], reserved = spend[2] or '0', way = way }
      end
    end
  end
  if bound.concurrent and redis.call('SCARD', prefix .. 'running:' .. bound.scope) >= bound.concurrent then
    return { what = 'concurrent' }
  end
  if bound.rpm or bound.tpm then
    local used, seconds = minute(bound.scope)
    if bound.rpm then
      local ms = wait(used.r, seconds.r, 1, bound.rpm)
      if ms ~= 0 then return { what = 'requests', wait_ms = ms } end
    end
    if bound.tpm then
      local ms = wait(used.t, seconds.t, ask.tokens, bound.tpm)
      if ms ~= 0 then return { what = 'tokens', wait_ms = ms } end
    end
  end
end

local function take(bound)
  if bound.rpm or bound.tpm then
    local key = prefix .. 'minute:' .. bound.scope
    redis.call('HINCRBY', key, 'r' .. second, 1)
    redis.call('HINCRBY', key, 't' .. second, ask.tokens)
    redis.call('EXPIRE', key, window + 1)
  end
  if bound.concurrent then
    redis.call('SADD', prefix .. 'running:' .. bound.scope, ask.id)
  end
  local spends = {}
  for _, budget in ipairs(bound.budgets) do
    add(prefix .. budget.key, 'reserved', ask.cost)
    table.insert(spends, { key = budget.key, soft = budget.soft })
  end
  return { scope = bound.scope, spends = spends }
end

local function reserve()
  reap()
  if redis.call('EXISTS', prefix .. 'over:' .. ask.id) == 1 then
    return { short = { what = 'over', bound = 0 } }
  end
  local key = prefix .. 'hold:' .. ask.id
  if redis.call('EXISTS', key) == 0 then
    for index, bound in ipairs(ask.bounds) do
      local short = shortage(bound)
      if short then
        short.bound = index - 1
        return { short = short, standing = standing(ask.bounds) }
      end
    end
    local held = {}
    for _, bound in ipairs(ask.bounds) do table.insert(held, take(bound)) end
    redis.call('HSET', key, 'cost', ask.cost, 'tokens', ask.tokens, 'second', second, 'bounds', cjson.encode(held),
      'life', ask.life)
    redis.call('ZADD', prefix .. 'leases', now + ask.lease_ms, ask.id)
  end
  return { standing = standing(ask.bounds) }
end

local function settle()
  local key = prefix .. 'hold:' .. ask.id
  local hold = redis.call('HMGET', key, 'cost', 'tokens', 'second', 'bounds', 'lapsed')
  local alerts = {}
  if hold[4] then
    for _, bound in ipairs(cjson.decode(hold[4])) do
      redis.call('SREM', prefix .. 'running:' .. bound.scope, ask.id)
      local minutes, field = prefix .. 'minute:' .. bound.scope, 't' .. hold[3]
      if redis.call('HEXISTS', minutes, field) == 1 then
        redis.call('HINCRBY', minutes, field, ask.tokens - tonumber(hold[2]))
      end
      for _, spend in ipairs(bound.spends) do
        local spent = prefix .. spend.key
        add(spent, hold[5] and 'spent' or 'reserved', negative(hold[1]))
        add(spent, 'spent', ask.cost)
        if spend.soft and tonumber(redis.call('HGET', spent, 'spent') or '0') >= tonumber(spend.soft)
          and redis.call('HSETNX', spent, 'told', '1') == 1 then
          table.insert(alerts, spend.key)
        end
      end
    end
    redis.call('DEL', key)
    redis.call('ZREM', prefix .. 'leases', ask.id)
    redis.call('ZREM', prefix .. 'lapsed', ask.id)
  else
    redis.call('SET', prefix .. 'over:' .. ask.id, '1', 'EX', overtaken_s)
    if ask.keys and redis.call('SET', prefix .. 'charged:' .. ask.id, '1', 'NX', 'EX', ask.lapsed_s) then
      -- Admitted without the accounts: charged afterwards, once.
      for _, spend in ipairs(ask.keys) do add(prefix .. spend, 'spent', ask.cost) end
    end
  end
  return { alerts = alerts }
end

local function renew()
  for _, id in ipairs(ask.ids) do
    redis.call('ZADD', prefix .. 'leases', 'XX', now + ask.lease_ms, id)
  end
  reap()
  -- What nobody could tell for so long stays spent.
  redis.call('ZREMRANGEBYSCORE', prefix .. 'lapsed', '-inf', now - ask.lapsed_s * 1000)
  local found = redis.call('ZRANGE', prefix .. 'lapsed', ask.skip, ask.skip + told_at_once - 1)
  local lapsed = {}
  for _, id in ipairs(found) do
    local hold = redis.call('HMGET', prefix .. 'hold:' .. id, 'cost', 'life')
    if hold[1] then
      table.insert(lapsed, { id = id, cost = hold[1], life = hold[2] or '' })
    else
      redis.call('ZREM', prefix .. 'lapsed', id)
    end
  end
  -- The next time, it goes on behind these; at the end, from the beginning.
  return { lapsed = lapsed, skip = #found == told_at_once and ask.skip + #lapsed or 0 }
end

local function unknown()
  local missing = {}
  for index, key in ipairs(ask.keys) do
    if redis.call('HEXISTS', prefix .. key, 'spent') == 0 then table.insert(missing, index - 1) end
  end
  return { missing = missing }
end

local function restore()
  local key = prefix .. ask.key
  if redis.call('HSETNX', key, 'spent', ask.cost) == 1 then
    redis.call('HSET', key, 'reserved', '0')
    if ask.until_s then redis.call('EXPIREAT', key, ask.until_s) end
  end
  return {}
end

local function standings()
  local all = {}
  for _, key in ipairs(ask.keys) do
    local spend = redis.call('HMGET', prefix .. key, 'spent', 'reserved')
    table.insert(all, { spent = spend[1] or '0', reserved = spend[2] or '0' })
  end
  return {
    standings = all,
    held = redis.call('ZCARD', prefix .. 'leases'),
    lapsed_count = redis.call('ZCARD', prefix .. 'lapsed'),
  }
end

local calls = {
  reserve = reserve, settle = settle, renew = renew,
  unknown = unknown, restore = restore, standings = standings,
}
return cjson.encode(calls[call]())
