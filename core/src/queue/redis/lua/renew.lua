-- ARGV: worker, lease in ms, then the claims of this worker whose answers never came
call('ZADD', base .. 'workers', int(now + tonumber(ARGV[2])), ARGV[1])
for at = 3, #ARGV do take_back(ARGV[1], 0, ARGV[at]) end
-- A server that restarted, or a replica that was promoted, may hold what was true before: to it every worker is new,
-- and each tells it what it runs. Where INFO is forbidden that is not noticed.
local about = redis.pcall('INFO', 'server')
local run = type(about) == 'string' and string.match(about, 'run_id:(%x+)')
if run and call('GET', base .. 'run') ~= run then
  call('SET', base .. 'run', run)
  call('DEL', base .. 'known')
end
local fresh = call('SADD', base .. 'known', ARGV[1])
finish()
return 1 - fresh
