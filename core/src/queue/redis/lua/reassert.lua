-- ARGV: worker, lease in ms, then for each lease that it holds: lane, job, fence. Returns whether it is the current one:
-- fences only grow, so an older one is what is left of an earlier lease. It is the worker's from now on, whoever had it.
call('ZADD', base .. 'workers', int(now + tonumber(ARGV[2])), ARGV[1])
local answers = {}
for at = 3, #ARGV, 3 do
  local lane, job, fence = open(ARGV[at]), ARGV[at + 1], ARGV[at + 2]
  local lease = lease_of(lane, job)
  if lease and tonumber(lease.fence) > tonumber(fence) then
    answers[#answers + 1] = 0
  elseif lease then
    call('SREM', base .. 'w:' .. lease.worker, job .. lane.name)
    call('HSET', base .. 'f:' .. lane.name, job, fence .. ' ' .. int(lease.rank) .. ' - ' .. ARGV[1])
    call('SADD', base .. 'w:' .. ARGV[1], job .. lane.name)
    answers[#answers + 1] = 1
  else
    local rank = call('ZSCORE', base .. 'r:' .. lane.name, job)
    if rank then
      call('ZREM', base .. 'r:' .. lane.name, job)
      lane.ready = lane.ready - 1
    elseif call('ZREM', base .. 'd:' .. lane.name, job) == 1 then
      lane.delayed = lane.delayed - 1
    end
    call('HSET', base .. 'f:' .. lane.name, job, fence .. ' ' .. (rank or int(now)) .. ' - ' .. ARGV[1])
    call('SADD', base .. 'w:' .. ARGV[1], job .. lane.name)
    lane.flying = lane.flying + 1
    answers[#answers + 1] = 1
  end
end
finish()
return answers
