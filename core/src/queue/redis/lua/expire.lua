-- ARGV: most tickets at once. Returns whether there is more to do, then job and lane of each lost ticket.
call('SET', base .. 'gate', '')
local max = tonumber(ARGV[1])
local worker = call('ZRANGEBYSCORE', base .. 'workers', '-inf', int(now), 'LIMIT', 0, 1)[1]
if not worker then return { '0' } end
call('SREM', base .. 'known', worker)
local taken, held = take_back(worker, max)
if held < max then
  call('ZREM', base .. 'workers', worker)
  call('HDEL', base .. 'claims', worker)
end
finish()
table.insert(taken, 1, '1')
return taken
