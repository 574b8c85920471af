-- ARGV: lane, job
call('SET', base .. 'gate', '')
local lane, job = open(ARGV[1]), ARGV[2]
local rank = call('ZSCORE', base .. 'r:' .. lane.name, job)
local removed = 1
if rank then
  -- An ordered lane waits with its first ticket, and not without it.
  if tonumber(rank) < 0 then lane.hold = 0 end
  call('ZREM', base .. 'r:' .. lane.name, job)
  lane.ready = lane.ready - 1
elseif call('ZREM', base .. 'd:' .. lane.name, job) == 1 then
  lane.delayed = lane.delayed - 1
else
  removed = 0
end
finish()
return removed
