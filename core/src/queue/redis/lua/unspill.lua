-- ARGV: lane, generation
call('SET', base .. 'gate', '')
local lane = open(ARGV[1])
if int(lane.gen) ~= ARGV[2] then return 0 end
lane.spill = 0
call('ZREM', base .. 'spilled', lane.name)
finish()
return 1
