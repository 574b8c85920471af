-- ARGV: worker, lease in ms, most leases at once, patience in ms. Leases to the worker what another held that vanished.
-- Returns whether there is more to do and who vanished, then job, lane, fence of each lease.
call('SET', base .. 'gate', '')
local worker, max = ARGV[1], tonumber(ARGV[3])
call('ZADD', base .. 'workers', int(now + tonumber(ARGV[2])), worker)
-- While nobody looked, nobody may have been heard: the server stood still, was full or was away. Then whoever lives is
-- heard before anybody is taken for lost.
local patience = tonumber(ARGV[4])
local looked = tonumber(call('GET', base .. 'looked') or 0)
call('SET', base .. 'looked', int(now))
if now - looked > patience then
  local late = call('ZRANGEBYSCORE', base .. 'workers', '-inf', int(now + patience), 'LIMIT', 0, 1000)
  for _, one in ipairs(late) do call('ZADD', base .. 'workers', int(now + patience), one) end
end
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
  call('HDEL', base .. 'about', vanished)
end
finish()
return answer
