-- What all scripts share: one shard's keys, its lanes, and the rings. Goes before each script's own text.
--
-- Keys, all behind KEYS[1], which holds the shard's hash tag; <lane> is 16 bytes of tenant and the lane's name:
--   l:<lane>    hash   settings, what is known of the receiver, and the flags of the lane
--   r:<lane>    zset   ready tickets by rank        d:<lane>  zset  delayed ones by due * 16 + (9 - priority)
--   f:<lane>    hash   job -> "fence rank claim worker" of what is leased
--   tenants<s>  list   tenants with lanes in the ring of standing s (1 answering, 2 unknown, 3 failing)
--   t<s>:<tenant>  list  those lanes                turn  string  the standing whose turn was last
--   due         zset   lanes by the time at which they must be looked at again
--   depth       zset   lanes by number of tickets       spilled     zset  the same, of spilled lanes
--   workers     zset   workers by the end of their lease   known    set   those that registered
--   w:<worker>  set    job .. lane of its leases        claims      hash  worker -> its last claim
--   serial, tickets, epoch, run, looked  strings        wake        list  one token for one idle worker
local base = KEYS[1]
local call = redis.call
local SPAN = 4398046511104 -- 2^42 ms, the width of one priority
local IDLE_S = 3600
local time = call('TIME')
local now_us = tonumber(time[1]) * 1000000 + tonumber(time[2])
local now = math.floor(now_us / 1000)
local opened, by_name = {}, {}
local quiet, stirred = false, false
local freed = {} -- worker -> leases that `finish` removes
local tenants_in -- ring -> its tenants, as far as a claim counts them
local ANSWERING, UNKNOWN, FAILING = 1, 2, 3
local LIMIT_START = 2
local HEARD_STEP_MS = 100 -- a lane's last answer is noted this exactly, so that not each one is a write

local function int(n) return string.format('%.0f', n) end

-- A lane as it stands; what a script changes in it is written by `finish`.
local function open(name)
  local lane = by_name[name]
  if lane then return lane end
  local v = call('HMGET', base .. 'l:' .. name,
    'conc', 'rate', 'ord', 'pause', 'limit', 'streak', 'rest', 'tat', 'hold', 'spill', 'gen', 'ring', 'wake',
    'told', 'good', 'heard')
  lane = {
    name = name, changes = {}, changed = false,
    conc = tonumber(v[1]) or 64, rate = tonumber(v[2]) or 0, ord = tonumber(v[3]) or 0,
    pause = tonumber(v[4]) or 0, limit = tonumber(v[5]) or LIMIT_START, streak = tonumber(v[6]) or 0,
    rest = tonumber(v[7]) or 0, tat = tonumber(v[8]) or 0, hold = tonumber(v[9]) or 0,
    spill = tonumber(v[10]) or 0, gen = tonumber(v[11]) or 0, ring = tonumber(v[12]) or 0,
    wake = tonumber(v[13]) or 0, told = tonumber(v[14]) or 0,
    good = tonumber(v[15]) or 0, heard = tonumber(v[16]) or 0,
    ready = call('ZCARD', base .. 'r:' .. name),
    delayed = call('ZCARD', base .. 'd:' .. name),
    flying = call('HLEN', base .. 'f:' .. name),
  }
  lane.was = lane.ready + lane.delayed + lane.flying
  by_name[name] = lane
  opened[#opened + 1] = lane
  return lane
end

local function set(lane, field, value)
  if lane[field] == value then return end
  if lane.changes[field] == nil then lane.changes[field] = lane[field] end
  lane[field] = value
  lane.changed = true
end

-- The next `count` numbers that were never used, even if the server was emptied: they begin at the time.
local function serials(count)
  call('SET', base .. 'serial', int(now_us), 'NX')
  return tonumber(call('INCRBY', base .. 'serial', count)) - count
end

-- Since when the server is this one, by its own clock; 0 where it always was. One that restarted, or a replica that was
-- promoted, may hold what was true before: to it every worker is new, and each tells it what it runs. Where INFO is
-- forbidden that is not noticed.
local function this_since()
  local about = redis.pcall('INFO', 'server')
  local run = type(about) == 'string' and string.match(about, 'run_id:(%x+)')
  if not run then return 0 end
  local known, since = string.match(call('GET', base .. 'run') or '', '^(%x+) (%d+)$')
  if known == run then return tonumber(since) end
  since = known and now or 0 -- An emptied one is told by its epoch.
  call('SET', base .. 'run', run .. ' ' .. int(since))
  call('DEL', base .. 'known')
  return since
end

-- From now on nothing enters the lane but what is read from SQL. Returns which time this is.
local function spill(lane)
  set(lane, 'gen', serials(1) + 1)
  set(lane, 'spill', 1)
  return int(lane.gen)
end

-- Gauge::in_flight_max of domain/lane.rs; rest is 0 while the breaker is closed.
local function in_flight_max(lane)
  if lane.ord == 1 or lane.rest > 0 then return math.min(1, lane.conc) end
  return math.min(lane.limit, lane.conc)
end

-- Gauge::after of domain/lane.rs
local function judge(lane, health, took)
  if health ~= 'neutral' and now - lane.heard >= HEARD_STEP_MS then set(lane, 'heard', now) end
  if health == 'good' then
    set(lane, 'good', 1)
    if lane.rest > 0 then set(lane, 'limit', 1)
    else set(lane, 'limit', math.max(lane.limit, math.min(lane.limit + 1, lane.conc))) end
    set(lane, 'streak', 0)
    set(lane, 'rest', 0)
  elseif health == 'bad' then
    set(lane, 'streak', math.min(lane.streak + 1, 5))
    set(lane, 'limit', math.max(math.floor(lane.limit / 2), 1))
    if lane.streak == 5 then set(lane, 'rest', now + math.max(5, math.min(took, 5000))) end
  end
end

-- Gauge::standing of domain/lane.rs
local function standing(lane)
  if lane.streak > 0 then return FAILING end
  return lane.good == 1 and ANSWERING or UNKNOWN
end

-- When the first ready ticket may start (its rate as RateMark::lane_next_us of domain/lane.rs); nil when something other than time must happen first.
local function starts_at(lane)
  if lane.ready == 0 or lane.pause == 1 or lane.flying >= in_flight_max(lane) then return nil end
  local at = math.max(lane.hold, lane.rest)
  if lane.rate > 0 then
    local interval, at_once = math.floor(1000000 / lane.rate), math.max(math.floor(lane.rate / 20), 1)
    at = math.max(at, math.ceil((lane.tat + interval - interval * at_once) / 1000))
  end
  return at
end

-- RateMark::spend of domain/lane.rs
local function spend(lane)
  if lane.rate > 0 then
    set(lane, 'tat', math.max(lane.tat, now_us) + math.floor(1000000 / lane.rate))
  end
end

-- A lane joins behind its tenant's other lanes of that standing; a new tenant joins behind the others.
local function push(lane, ring)
  set(lane, 'ring', ring)
  local tenant = string.sub(lane.name, 1, 16)
  if call('RPUSH', base .. 't' .. ring .. ':' .. tenant, lane.name) == 1 then
    local tenants = call('RPUSH', base .. 'tenants' .. ring, tenant)
    if tenants_in then tenants_in[ring] = tenants end
  end
  stirred = true
end

-- Puts a lane where its state says: in the ring, among those that wait for a time, or nowhere.
local function seat(lane)
  local at = starts_at(lane)
  if at and at <= now and lane.ring == 0 then push(lane, standing(lane)) end
  local wake = 0
  if lane.delayed > 0 then
    local first = call('ZRANGE', base .. 'd:' .. lane.name, 0, 0, 'WITHSCORES')
    wake = math.max(math.floor(tonumber(first[2]) / 16), now)
  end
  if at and at > now and (wake == 0 or at < wake) then wake = at end
  if wake == lane.wake then return end
  set(lane, 'wake', wake)
  if wake == 0 then
    call('ZREM', base .. 'due', lane.name)
  else
    call('ZADD', base .. 'due', int(wake), lane.name)
    if call('ZRANK', base .. 'due', lane.name) == 0 then stirred = true end
  end
end

local function insert_ready(lane, job, rank)
  call('ZADD', base .. 'r:' .. lane.name, rank, job)
  lane.ready = lane.ready + 1
end

-- `below` is 9 - priority
local function insert(lane, job, rank, below, delay)
  if delay == 0 then return insert_ready(lane, job, rank) end
  local due = math.min(now + delay, SPAN - 1)
  call('ZADD', base .. 'd:' .. lane.name, int(due * 16 + below), job)
  lane.delayed = lane.delayed + 1
end

-- A rank before all priorities that keeps the order of `rank`.
local function front(rank) return int(rank % SPAN - SPAN) end

local function lease_of(lane, job)
  local value = call('HGET', base .. 'f:' .. lane.name, job)
  if not value then return nil end
  local fence, rank, claim, worker = string.match(value, '^(%S+) (%S+) (%S+) (.+)$')
  return { fence = fence, rank = tonumber(rank), claim = claim, worker = worker }
end

local function end_lease(lane, job, worker)
  call('HDEL', base .. 'f:' .. lane.name, job)
  freed[worker] = freed[worker] or {}
  table.insert(freed[worker], job .. lane.name)
  lane.flying = lane.flying - 1
end

-- Takes back what `worker` holds, at most `max` tickets and, where `claim` is given, only of that claim.
local function take_back(worker, max, claim)
  local held
  if claim then held = call('SMEMBERS', base .. 'w:' .. worker)
  else held = call('SPOP', base .. 'w:' .. worker, max) end
  local taken = {}
  for _, member in ipairs(held) do
    local job, lane = string.sub(member, 1, 16), open(string.sub(member, 17))
    local lease = lease_of(lane, job)
    if lease and lease.worker == worker and (not claim or lease.claim == claim) then
      end_lease(lane, job, worker)
      insert_ready(lane, job, front(lease.rank))
      seat(lane)
      taken[#taken + 1] = job
      taken[#taken + 1] = lane.name
    end
  end
  return taken, #held
end

local function write(lane)
  local pairs_ = {}
  for field, before in pairs(lane.changes) do
    if lane[field] ~= before then
      pairs_[#pairs_ + 1] = field
      pairs_[#pairs_ + 1] = int(lane[field])
    end
  end
  if #pairs_ > 0 then call('HSET', base .. 'l:' .. lane.name, unpack(pairs_)) end -- at most 16 fields
end

local function forget_freed()
  for worker, leases in pairs(freed) do
    for from = 1, #leases, 500 do
      call('SREM', base .. 'w:' .. worker, unpack(leases, from, math.min(from + 499, #leases)))
    end
  end
end

-- Writes what was changed, and wakes one idle worker if there is something for it.
local function finish()
  forget_freed()
  local grown = 0
  for _, lane in ipairs(opened) do
    if lane.changed then write(lane) end
    local depth = lane.ready + lane.delayed + lane.flying
    if depth ~= lane.was then
      grown = grown + depth - lane.was
      if depth == 0 then call('ZREM', base .. 'depth', lane.name)
      else call('ZADD', base .. 'depth', depth, lane.name) end
    end
    if lane.spill == 1 then call('ZADD', base .. 'spilled', depth, lane.name) end
    if depth == 0 and lane.spill == 0 and lane.pause == 0 then
      call('EXPIRE', base .. 'l:' .. lane.name, IDLE_S)
    elseif lane.was == 0 or lane.changes.pause ~= nil or lane.changes.spill ~= nil then
      call('PERSIST', base .. 'l:' .. lane.name)
    end
  end
  if grown ~= 0 then call('INCRBY', base .. 'tickets', grown) end
  if stirred and not quiet and call('EXISTS', base .. 'wake') == 0 then call('LPUSH', base .. 'wake', '1') end
end
