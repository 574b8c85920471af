-- ARGV: lane, job
call('SET', base .. 'gate', '')
local lane, job = open(ARGV[1]), ARGV[2]
local due = call('ZSCORE', base .. 'd:' .. lane.name, job)
local rank = call('ZSCORE', base .. 'r:' .. lane.name, job)
local changed = 1
if due then
  call('ZREM', base .. 'd:' .. lane.name, job)
  lane.delayed = lane.delayed - 1
  insert_ready(lane, job, int(tonumber(due) % 16 * SPAN + now))
elseif rank and tonumber(rank) < 0 and lane.hold > now then
  lane.hold = 0
else
  changed = 0
end
finish()
return changed
