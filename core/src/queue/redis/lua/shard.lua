-- What all scripts share: one shard's keys, its lanes, and the rings. Goes before each script's own text.
--
-- Keys, all behind KEYS[1], which holds the shard's hash tag; <lane> is 16 bytes of tenant and the lane's name:
--   l:<lane>    string settings, what is known of the receiver, flags and counts of the lane: what `pack` writes
--   r:<lane>    zset   ready tickets by rank        d:<lane>  zset  delayed ones by due * 16 + (9 - priority)
--   f:<lane>    hash   job -> "fence rank claim worker" of what is leased
--   tenants<s>  list   tenants with lanes in the ring of standing s (1 answering, 2 unknown, 3 failing)
--   t<s>:<tenant>  list  those lanes                turn  string  the standing whose turn was last
--   due         zset   lanes by the time at which they must be looked at again
--   depth       zset   lanes by number of tickets       spilled     zset  the same, of spilled lanes
--   workers     zset   workers by the end of their lease   known    set   those that registered
--   w:<worker>  set    job .. lane of its leases        claims      hash  worker -> its last claim
--   about       hash   worker -> what it says of itself
--   news        stream  what was told last, each with its number    news:n  string  the last number
--   serial, tickets, epoch, run, looked  strings        wake        list  one token for one idle worker
local base = KEYS[1]
local call = redis.call
local SPAN = 4398046511104 -- 2^42 ms, the width of one priority
local IDLE_S = 3600
local RUN = 500 -- arguments that one command is given at most, since what `unpack` can hold is bounded
local time = call('TIME')
local now_us = tonumber(time[1]) * 1000000 + tonumber(time[2])
local now = math.floor(now_us / 1000)
local opened, by_name = {}, {}
local lines, by_key = {}, {}
local stirred = false
local freed = {} -- worker -> leases that `write_all` removes
local ANSWERING, UNKNOWN, FAILING = 1, 2, 3
local LIMIT_START = 2
local UNSET, IN_FLIGHT_MAX, QUICK_IN_FLIGHT_MAX, QUICK_MS = -1, 64, 256, 100 -- a lane's `conc` may be UNSET
local HEARD_STEP_MS = 100 -- a lane's last answer is noted this exactly, so that not each one is a write

local function int(n) return string.format('%.0f', n) end

-- Gives a command all values, in as many runs as it takes: each call costs more than a value.
local function in_runs(command, key, values)
  for from = 1, #values, RUN do
    call(command, key, unpack(values, from, math.min(from + RUN - 1, #values)))
  end
end

-- Asks a command about all values, in as many runs as it takes. Returns its answers in their order, false where there is none.
local function ask_in_runs(command, key, values)
  local answers = {}
  for from = 1, #values, RUN do
    local run = call(command, key, unpack(values, from, math.min(from + RUN - 1, #values)))
    for at = 1, #run do answers[from + at - 1] = run[at] end
  end
  return answers
end

local function pack(lane)
  return cmsgpack.pack(lane.conc, lane.rate, lane.ord, lane.pause, lane.limit, lane.streak, lane.rest, lane.tat,
    lane.hold, lane.spill, lane.gen, lane.ring, lane.wake, lane.told, lane.good, lane.heard, lane.ready, lane.delayed,
    lane.flying)
end

local function unpack_into(lane, packed)
  lane.conc, lane.rate, lane.ord, lane.pause, lane.limit, lane.streak, lane.rest, lane.tat,
    lane.hold, lane.spill, lane.gen, lane.ring, lane.wake, lane.told, lane.good, lane.heard, lane.ready, lane.delayed,
    lane.flying = cmsgpack.unpack(packed)
end

-- A lane as it stands; what a script changes in it is written by `seat_all` and `write_all`.
local function open(name)
  local lane = by_name[name]
  if lane then return lane end
  lane = {
    name = name, tenant = string.sub(name, 1, 16),
    conc = UNSET, rate = 0, ord = 0, pause = 0, limit = LIMIT_START, streak = 0, rest = 0, tat = 0,
    hold = 0, spill = 0, gen = 0, ring = 0, wake = 0, told = 0, good = 0, heard = 0, ready = 0, delayed = 0,
    flying = 0,
    leases = {}, ended = {}, ready_in = {}, delayed_in = {},
  }
  local packed = call('GET', base .. 'l:' .. name)
  if packed then unpack_into(lane, packed) end
  lane.packed = packed or pack(lane)
  lane.was, lane.delayed_was = lane.ready + lane.delayed + lane.flying, lane.delayed
  by_name[name] = lane
  opened[#opened + 1] = lane
  return lane
end

-- Writes a lane where it has changed; one that holds nothing is forgotten after a while.
local function write(lane, depth)
  local packed = pack(lane)
  if packed == lane.packed then return end
  if depth == 0 and lane.spill == 0 and lane.pause == 0 then
    call('SET', base .. 'l:' .. lane.name, packed, 'EX', IDLE_S)
  else
    call('SET', base .. 'l:' .. lane.name, packed)
  end
end

-- Opens the lanes that ARGV names from a place on, every `step`, each before a job. Returns lane -> its jobs.
local function jobs_by_lane(first, step)
  local jobs = {}
  for at = first, #ARGV, step do
    local lane = open(ARGV[at])
    jobs[lane] = jobs[lane] or {}
    table.insert(jobs[lane], ARGV[at + 1])
  end
  return jobs
end

-- A list that takes turns: what is taken from its front and put behind it goes through memory, and reaches the list
-- in `write_all`.
local function line_of(key)
  local line = by_key[key]
  if not line then
    line = { key = key, front = {}, at = 1, back = {}, next = 1 }
    by_key[key] = line
    lines[#lines + 1] = line
  end
  return line
end

local function length(line)
  line.left = line.left or call('LLEN', line.key)
  return #line.front - line.at + 1 + line.left + #line.back
end

local function take(line)
  if length(line) == 0 then return nil end
  if line.at > #line.front then
    if line.left > 0 then
      line.front = call('LPOP', line.key, line.next)
      line.left = line.left - #line.front
      line.next = math.min(line.next * 4, 64)
    else
      line.front, line.back = line.back, {}
    end
    line.at = 1
  end
  line.at = line.at + 1
  return line.front[line.at - 1]
end

local function put(line, value) line.back[#line.back + 1] = value end

local function close(line)
  local front = {}
  for at = #line.front, line.at, -1 do front[#front + 1] = line.front[at] end
  in_runs('LPUSH', line.key, front)
  in_runs('RPUSH', line.key, line.back)
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
  lane.gen = serials(1) + 1
  lane.spill = 1
  return int(lane.gen)
end

-- Gauge::in_flight_max of domain/lane.rs; rest is 0 while the breaker is closed.
local function in_flight_max(lane)
  local bears = (lane.ord == 1 or lane.rest > 0) and 1 or lane.limit
  return lane.conc == UNSET and bears or math.min(bears, lane.conc)
end

-- Gauge::limit_after_good of domain/lane.rs
local function limit_after_good(lane, took)
  local bearable = took <= QUICK_MS and QUICK_IN_FLIGHT_MAX or IN_FLIGHT_MAX
  if lane.conc == UNSET and lane.limit >= bearable then return math.max(bearable, lane.limit - 1) end
  if lane.conc ~= UNSET and lane.limit >= lane.conc then return lane.limit end
  return lane.limit + 1
end

-- Gauge::after of domain/lane.rs
local function judge(lane, health, took)
  if health ~= 'neutral' and now - lane.heard >= HEARD_STEP_MS then lane.heard = now end
  if health == 'good' then
    lane.good = 1
    lane.limit = lane.rest > 0 and 1 or limit_after_good(lane, took)
    lane.streak = 0
    lane.rest = 0
  elseif health == 'bad' then
    lane.streak = math.min(lane.streak + 1, 5)
    lane.limit = math.max(math.floor(lane.limit / 2), 1)
    if lane.streak == 5 then lane.rest = now + math.max(5, math.min(took, 5000)) end
  end
end

-- Gauge::standing of domain/lane.rs
local function standing(lane)
  if lane.streak > 0 then return FAILING end
  return lane.good == 1 and ANSWERING or UNKNOWN
end

-- When the first ready ticket may start (its rate as RateMark::lane_next_us of domain/rate.rs); nil when something other than time must happen first.
local function starts_at(lane)
  if lane.ready == 0 or lane.pause == 1 or lane.flying >= in_flight_max(lane) then return nil end
  local at = math.max(lane.hold, lane.rest)
  if lane.rate > 0 then
    local interval, at_once = math.floor(1000000 / lane.rate), math.max(math.floor(lane.rate / 20), 1)
    at = math.max(at, math.ceil((lane.tat + interval - interval * at_once) / 1000))
  end
  return at
end

-- RateMark::spend of domain/rate.rs
local function spend(lane)
  if lane.rate > 0 then
    lane.tat = math.max(lane.tat, now_us) + math.floor(1000000 / lane.rate)
  end
end

-- A lane joins behind its tenant's other lanes of that standing; a new tenant joins behind the others.
local function push(lane, ring)
  lane.ring = ring
  local lanes = line_of(base .. 't' .. ring .. ':' .. lane.tenant)
  if length(lanes) == 0 then put(line_of(base .. 'tenants' .. ring), lane.tenant) end
  put(lanes, lane.name)
  stirred = true
end

-- Puts a lane that may start in the ring.
local function seat(lane)
  local at = starts_at(lane)
  if at and at <= now and lane.ring == 0 then push(lane, standing(lane)) end
  return at
end

-- Puts a lane among those that wait for a time, or nowhere.
local function await(lane, at)
  -- As long as nothing was put into the delayed ones or taken out, their first one is as it was.
  if lane.delayed == lane.delayed_was and lane.wake > now and not (at and at > now) then return end
  lane.delayed_was = lane.delayed
  local wake = 0
  if lane.delayed > 0 then
    local first = call('ZRANGE', base .. 'd:' .. lane.name, 0, 0, 'WITHSCORES')
    wake = math.max(math.floor(tonumber(first[2]) / 16), now)
  end
  if at and at > now and (wake == 0 or at < wake) then wake = at end
  if wake == lane.wake then return end
  lane.wake = wake
  if wake == 0 then
    call('ZREM', base .. 'due', lane.name)
  else
    call('ZADD', base .. 'due', int(wake), lane.name)
    if call('ZRANK', base .. 'due', lane.name) == 0 then stirred = true end
  end
end

local function insert_ready(lane, job, rank)
  local rows = lane.ready_in
  rows[#rows + 1] = rank
  rows[#rows + 1] = job
  lane.ready = lane.ready + 1
end

-- `below` is 9 - priority
local function insert(lane, job, rank, below, delay)
  if delay == 0 then return insert_ready(lane, job, rank) end
  local due = math.min(now + delay, SPAN - 1)
  local rows = lane.delayed_in
  rows[#rows + 1] = int(due * 16 + below)
  rows[#rows + 1] = job
  lane.delayed = lane.delayed + 1
end

-- A rank before all priorities that keeps the order of `rank`.
local function front(rank) return int(rank % SPAN - SPAN) end

-- Reads many leases at once, for `lease_of`.
local function read_leases(lane, jobs)
  for at, value in ipairs(ask_in_runs('HMGET', base .. 'f:' .. lane.name, jobs)) do lane.leases[jobs[at]] = value end
end

local function lease_of(lane, job)
  local value = lane.leases[job]
  if value == nil then value = call('HGET', base .. 'f:' .. lane.name, job) end
  if not value then return nil end
  local fence, rank, claim, worker = string.match(value, '^(%S+) (%S+) (%S+) (.+)$')
  return { fence = fence, rank = tonumber(rank), claim = claim, worker = worker }
end

local function end_lease(lane, job, worker)
  lane.leases[job] = false
  lane.ended[#lane.ended + 1] = job
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
      taken[#taken + 1] = job
      taken[#taken + 1] = lane.name
    end
  end
  return taken, #held
end

-- Brings a lane's sets up to what the script knows of them.
local function flush(lane)
  if #lane.ended > 0 then in_runs('HDEL', base .. 'f:' .. lane.name, lane.ended) end
  if #lane.ready_in > 0 then in_runs('ZADD', base .. 'r:' .. lane.name, lane.ready_in) end
  if #lane.delayed_in > 0 then
    in_runs('ZADD', base .. 'd:' .. lane.name, lane.delayed_in)
    lane.delayed_was = nil
  end
  lane.ended, lane.ready_in, lane.delayed_in = {}, {}, {}
end

-- Puts every lane that was opened where its state says: in the ring, among those that wait for a time, or nowhere.
local function seat_all()
  for _, lane in ipairs(opened) do
    flush(lane)
    await(lane, not lane.silent and seat(lane) or nil)
  end
end

local function magnitude(depth)
  local _, exponent = math.frexp(depth)
  return exponent
end

-- Writes what else was changed.
local function write_all()
  for worker, leases in pairs(freed) do in_runs('SREM', base .. 'w:' .. worker, leases) end
  for _, line in ipairs(lines) do close(line) end
  local grown = 0
  for _, lane in ipairs(opened) do
    local depth = lane.ready + lane.delayed + lane.flying
    grown = grown + depth - lane.was
    write(lane, depth)
    -- Which lanes are the deepest need not be known any better than to a factor of two.
    if depth == 0 and lane.was > 0 then
      call('ZREM', base .. 'depth', lane.name)
    elseif magnitude(depth) ~= magnitude(lane.was) then
      call('ZADD', base .. 'depth', depth, lane.name)
    end
    if lane.spill == 1 then call('ZADD', base .. 'spilled', depth, lane.name) end
  end
  if grown ~= 0 then call('INCRBY', base .. 'tickets', grown) end
end

-- Wakes one idle worker.
local function wake_one()
  if call('EXISTS', base .. 'wake') == 0 then call('LPUSH', base .. 'wake', '1') end
end

-- Writes what was changed, and wakes one idle worker if there is something for it.
local function finish()
  seat_all()
  write_all()
  if stirred then wake_one() end
end
