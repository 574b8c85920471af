-- ARGV: window, refill (1 or 0), the tokens of all shards' epochs or nothing, then for each ticket: lane, job, rank,
-- 9 - priority, delay in ms
if ARGV[3] ~= '' then
  local token = string.match(call('GET', base .. 'epoch') or '', '^%S+')
  if not token or not string.find(ARGV[3], token, 1, true) then return redis.error_reply('EMPTIED since') end
end
-- The first write of every script is one that a full server refuses, so that none is left half done.
call('SET', base .. 'gate', '')
local window, refill = tonumber(ARGV[1]), ARGV[2] == '1'
local answers = {}

-- What each lane holds of the jobs that are offered to it.
local held = {}
local function look(command, key, jobs)
  for at, found in ipairs(ask_in_runs(command, key, jobs)) do held[jobs[at]] = held[jobs[at]] or found end
end
for lane, jobs in pairs(jobs_by_lane(4, 5)) do
  if lane.ready > 0 then look('ZMSCORE', base .. 'r:' .. lane.name, jobs) end
  if lane.delayed > 0 then look('ZMSCORE', base .. 'd:' .. lane.name, jobs) end
  if lane.flying > 0 then look('HMGET', base .. 'f:' .. lane.name, jobs) end
end

for at = 4, #ARGV, 5 do
  local lane, job = open(ARGV[at]), ARGV[at + 1]
  if held[job] then
    answers[#answers + 1] = 'held'
  elseif lane.told == 0 then
    answers[#answers + 1] = 'unknown'
  elseif lane.ready + lane.delayed + lane.flying >= window or (lane.spill == 1 and not refill) then
    -- A refill is no news to whoever refills: only what was offered must be seen by unspill.
    if not refill or lane.spill == 0 then spill(lane) end
    answers[#answers + 1] = 'spilled'
  else
    local rank, delay = ARGV[at + 2], tonumber(ARGV[at + 4])
    if tonumber(rank) >= 0 then
      insert(lane, job, rank, tonumber(ARGV[at + 3]), delay)
    else
      if delay > 0 then lane.hold = math.min(now + delay, SPAN - 1) end
      insert_ready(lane, job, rank)
    end
    held[job] = true
    answers[#answers + 1] = 'taken'
  end
end
finish()
return answers
