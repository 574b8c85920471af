-- ARGV: worker, count, lease in ms, this claim's name
-- Returns the time now and of the next look (0: none), whether the ring holds more, then job, lane, fence each.
local worker, count, claim = ARGV[1], math.min(tonumber(ARGV[2]), 1000), ARGV[4]
local DUE_LANES_MAX, PROMOTED_MAX, EMPTY_TURNS_MAX = 100, 200, 1000
quiet = true

local last = call('HGET', base .. 'claims', worker)
call('HSET', base .. 'claims', worker, claim)
call('ZADD', base .. 'workers', int(now + tonumber(ARGV[3])), worker)
-- The same claim once more: its first answer got lost on the way, so what it leased is nobody's.
if last == claim then take_back(worker, 0, claim) end

-- Lanes whose time has come: their due tickets join the ready ones, and they get a seat.
for _, name in ipairs(call('ZRANGEBYSCORE', base .. 'due', '-inf', int(now), 'LIMIT', 0, DUE_LANES_MAX)) do
  local lane = open(name)
  local due = call('ZRANGEBYSCORE', base .. 'd:' .. name, '-inf', int(now * 16 + 15),
    'WITHSCORES', 'LIMIT', 0, PROMOTED_MAX)
  for at = 1, #due, 2 do
    local score = tonumber(due[at + 1])
    call('ZREM', base .. 'd:' .. name, due[at])
    lane.delayed = lane.delayed - 1
    insert_ready(lane, due[at], int(score % 16 * SPAN + math.floor(score / 16)))
  end
  if lane.wake == 0 then call('ZREM', base .. 'due', name) end
  seat(lane)
end

local answer, held, taken, empty, serial = { int(now), '0', '0' }, {}, 0, 0, nil

local function lease_first(lane)
  serial = serial or serials(count)
  taken = taken + 1
  local first = call('ZPOPMIN', base .. 'r:' .. lane.name)
  local job, fence = first[1], int(serial + taken)
  lane.ready = lane.ready - 1
  lane.flying = lane.flying + 1
  spend(lane)
  call('HSET', base .. 'f:' .. lane.name, job, fence .. ' ' .. first[2] .. ' ' .. claim .. ' ' .. worker)
  held[taken] = job .. lane.name
  answer[#answer + 1] = job
  answer[#answer + 1] = lane.name
  answer[#answer + 1] = fence
end

local function may_start(lane)
  local at = starts_at(lane)
  return at and at <= now
end

tenants_in_ring = call('LLEN', base .. 'tenants')
while taken < count and empty < EMPTY_TURNS_MAX do
  local lane = pop()
  if not lane then break end
  if may_start(lane) then
    lease_first(lane)
    -- Nobody else waits for a turn: the next ones are this lane's as well.
    if tenants_in_ring == 0 then
      while taken < count and may_start(lane) do lease_first(lane) end
    end
  else
    empty = empty + 1
  end
  seat(lane)
end

local next_due = call('ZRANGE', base .. 'due', 0, 0, 'WITHSCORES')
if next_due[2] then answer[2] = int(tonumber(next_due[2])) end
quiet = false
stirred = tenants_in_ring > 0
if stirred then answer[3] = '1' end
finish()
if taken > 0 then call('SADD', base .. 'w:' .. worker, unpack(held)) end -- after what `finish` removes
return answer
