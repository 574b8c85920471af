-- ARGV: worker, lease in ms, most leases at once. Leases to the worker what another held that vanished.
-- Returns whether there is more to do and who vanished, then job, lane, fence of each lease.
call('SET', base .. 'gate', '')
local worker, max = ARGV[1], tonumber(ARGV[3])
call('ZADD', base .. 'workers', int(now + tonumber(ARGV[2])), worker)
local vanished = call('ZRANGEBYSCORE', base .. 'workers', '-inf', int(now), 'LIMIT', 0, 1)[1]
if not vanished then return { '0', '' } end
call('SREM', base .. 'known', vanished)
local held = call('SPOP', base .. 'w:' .. vanished, max)
local serial = serials(#held)
local answer = { '1', vanished }
for at, member in ipairs(held) do
  local job, lane = string.sub(member, 1, 16), open(string.sub(member, 17))
  local lease = lease_of(lane, job)
  if lease and lease.worker == vanished then
    local fence = int(serial + at)
    call('HSET', base .. 'f:' .. lane.name, job, fence .. ' ' .. int(lease.rank) .. ' - ' .. worker)
    call('SADD', base .. 'w:' .. worker, member)
    for _, value in ipairs({ job, lane.name, fence }) do answer[#answer + 1] = value end
  end
end
if #held < max then
  call('ZREM', base .. 'workers', vanished)
  call('HDEL', base .. 'claims', vanished)
end
finish()
return answer
