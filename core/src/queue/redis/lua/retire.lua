-- ARGV: worker, most tickets at once. Returns how many it held, so that the caller comes again while there are more.
call('SET', base .. 'gate', '')
local max = tonumber(ARGV[2])
local _, held = take_back(ARGV[1], max)
if held < max then
  call('ZREM', base .. 'workers', ARGV[1])
  call('SREM', base .. 'known', ARGV[1])
  call('HDEL', base .. 'claims', ARGV[1])
  call('HDEL', base .. 'about', ARGV[1])
end
finish()
return held
