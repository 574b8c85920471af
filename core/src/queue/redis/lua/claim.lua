-- ARGV: worker, lease in ms, this claim's name, silence in ms, heard after in ms, then the room, each time as jobs in all, of unknown lanes,
-- of failing lanes: of all tenants, of each tenant, and for tenants with another room the tenant before it.
-- Returns the time now and of the next look (0: none); '1' when there is more for this worker, '-1' when it has no room
-- for what there is, else '0'; then the first lease's fence, from which they go on by one, and of each lease its job, one
-- digit of standing, and its lane, as one string.
local worker, lease_ms, claim, silence = ARGV[1], tonumber(ARGV[2]), ARGV[3], tonumber(ARGV[4])
local function room_at(at) return { tonumber(ARGV[at]), tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2]) } end
local room, room_of = room_at(6), {}
for at = 12, #ARGV, 4 do room_of[ARGV[at]] = room_at(at + 1) end
local count = math.min(room[ANSWERING], 1000)
local DUE_LANES_MAX, PROMOTED_MAX, EMPTY_TURNS_MAX = 100, 200, 1000
-- A lane costs much more than one of its tickets, and all others who need this shard wait for a claim's end.
local LANES_MAX = 48

local last = call('HGET', base .. 'claims', worker)
call('HSET', base .. 'claims', worker, claim)
call('ZADD', base .. 'workers', int(now + lease_ms), worker)
-- The same claim once more: its first answer got lost on the way, so what it leased is nobody's.
if last == claim then take_back(worker, 0, claim) end

-- What is ready here may run already: nothing is leased before every live worker had the time to say what it runs.
local heard_at = this_since() + tonumber(ARGV[5])
if heard_at > now then
  seat_all()
  write_all()
  return { int(now), int(heard_at), '0', '0' }
end

-- Lanes whose time has come: their due tickets join the ready ones, and they get a seat.
for _, name in ipairs(call('ZRANGEBYSCORE', base .. 'due', '-inf', int(now), 'LIMIT', 0, DUE_LANES_MAX)) do
  local lane = open(name)
  local due = call('ZRANGEBYSCORE', base .. 'd:' .. name, '-inf', int(now * 16 + 15),
    'WITHSCORES', 'LIMIT', 0, PROMOTED_MAX)
  local jobs = {}
  for at = 1, #due, 2 do
    local score = tonumber(due[at + 1])
    jobs[#jobs + 1] = due[at]
    insert_ready(lane, due[at], int(score % 16 * SPAN + math.floor(score / 16)))
  end
  in_runs('ZREM', base .. 'd:' .. name, jobs)
  lane.delayed = lane.delayed - #jobs
  if lane.wake == 0 then call('ZREM', base .. 'due', name) end
end
seat_all()

local taken, lanes, empty = 0, 0, 0
local turns, taken_of, jobs_of = {}, {}, {} -- the lanes in the order of their leases; how many each has; their jobs
local last_turn = tonumber(call('GET', base .. 'turn') or FAILING)
local turn, passed = last_turn, { {}, {}, {} }
local function tenants(ring) return line_of(base .. 'tenants' .. ring) end

-- What there is room for of a tenant's lanes in a ring.
local function room_for(tenant, ring)
  room_of[tenant] = room_of[tenant] or room_at(9)
  return math.min(room_of[tenant][ANSWERING], room_of[tenant][ring])
end

-- Takes the lane whose turn it is in a ring, among those that there is room for; its tenant goes behind the others.
-- Tenants without room are kept apart until the end.
local function pop_from(ring)
  local tenant = take(tenants(ring))
  while tenant do
    if room_for(tenant, ring) > 0 then
      local lanes = line_of(base .. 't' .. ring .. ':' .. tenant)
      local name = take(lanes)
      if length(lanes) > 0 then put(tenants(ring), tenant) end
      if name then
        local lane = open(name)
        lane.ring = 0
        return lane
      end
    else
      table.insert(passed[ring], tenant)
    end
    tenant = take(tenants(ring))
  end
end

-- The rings take turns, as far as they have something that there is room for.
local function pop()
  for step = 1, FAILING do
    local ring = (turn + step - 1) % FAILING + 1
    local lane = room[ring] > 0 and pop_from(ring)
    if lane then
      turn = ring
      return lane, ring
    end
  end
end

-- Gauge::standing_at_start of domain/lane.rs: nil when it must wait for an answer first.
local function standing_at_start(lane)
  if lane.flying == 0 or now - lane.heard <= silence then return standing(lane) end
  return lane.flying < LIMIT_START and FAILING or nil
end

local function may_start(lane)
  local at = starts_at(lane)
  return at and at <= now
end

local function lease_first(lane, ring)
  taken = taken + 1
  for _, left in ipairs({ room, room_of[lane.tenant] }) do
    left[ANSWERING] = left[ANSWERING] - 1
    if ring ~= ANSWERING then left[ring] = left[ring] - 1 end
  end
  turns[taken] = { lane = lane, ring = ring }
  if not taken_of[lane] then lanes = lanes + 1 end
  taken_of[lane] = (taken_of[lane] or 0) + 1
  lane.ready = lane.ready - 1
  if lane.flying == 0 then lane.heard = now end -- Gauge::called
  lane.flying = lane.flying + 1
  spend(lane)
end

local function waiting()
  return length(tenants(ANSWERING)) + length(tenants(UNKNOWN)) + length(tenants(FAILING))
end

-- Nobody else waits for a turn: the next ones are this lane's as well.
local function goes_on(lane, ring)
  return waiting() == 0 and taken < count and room[ring] > 0 and room_for(lane.tenant, ring) > 0
    and may_start(lane) and standing_at_start(lane) == ring
end

local nothing_fits = false
while taken < count and lanes < LANES_MAX and empty < EMPTY_TURNS_MAX and not nothing_fits do
  local lane, ring = pop()
  if not lane then
    nothing_fits = true
  elseif not may_start(lane) then
    empty = empty + 1
    seat(lane)
  else
    local stands = standing_at_start(lane)
    if stands == ring then
      repeat lease_first(lane, ring) until not goes_on(lane, ring)
      seat(lane)
    else
      empty = empty + 1
      -- One that is silent gets its seat back with the next answer.
      if stands then push(lane, stands) else lane.silent = true end
    end
  end
end

for ring = ANSWERING, FAILING do
  for _, tenant in ipairs(passed[ring]) do put(tenants(ring), tenant) end
end
if turn ~= last_turn then call('SET', base .. 'turn', turn) end

-- The tickets themselves, lane by lane, and told in the order of their turns.
local first_fence = taken > 0 and serials(taken) + 1 or 0
for lane, leases in pairs(taken_of) do
  jobs_of[lane] = { next = 1, first = call('ZPOPMIN', base .. 'r:' .. lane.name, leases), held = {} }
end
local told, members = {}, {}
for at, one in ipairs(turns) do
  local lane, jobs = one.lane, jobs_of[one.lane]
  local job, rank = jobs.first[jobs.next], jobs.first[jobs.next + 1]
  jobs.next = jobs.next + 2
  table.insert(jobs.held, job)
  table.insert(jobs.held, int(first_fence + at - 1) .. ' ' .. rank .. ' ' .. claim .. ' ' .. worker)
  members[at] = job .. lane.name
  told[at] = job .. one.ring .. lane.name
end
for lane, jobs in pairs(jobs_of) do in_runs('HSET', base .. 'f:' .. lane.name, jobs.held) end

seat_all()
local next_due = call('ZRANGE', base .. 'due', 0, 0, 'WITHSCORES')
local more = waiting() > 0
write_all()
in_runs('SADD', base .. 'w:' .. worker, members) -- after those that are gone were removed
-- Others may have room for what is left; when nothing was taken, whoever has none need not be told again.
if more and not (nothing_fits and taken == 0) then wake_one() end
return { int(now), next_due[2] and int(tonumber(next_due[2])) or '0', more and (nothing_fits and '-1' or '1') or '0',
  int(first_fence), unpack(told) }
