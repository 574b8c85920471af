-- ARGV: worker, lease in ms, then the claims of this worker whose answers never came
call('ZADD', base .. 'workers', int(now + tonumber(ARGV[2])), ARGV[1])
for at = 3, #ARGV do take_back(ARGV[1], 0, ARGV[at]) end
this_since()
local fresh = call('SADD', base .. 'known', ARGV[1])
finish()
return 1 - fresh
