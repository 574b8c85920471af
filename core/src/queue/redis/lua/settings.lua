-- Returns the generation of a lane that begins as spilled, else 0.
-- ARGV: lane, paused (1 or 0), and where the rest is set too: concurrency (-1: unset), rate (0: none), ordered
call('SET', base .. 'gate', '')
local lane, generation = open(ARGV[1]), '0'
if ARGV[3] then
  local ordered = tonumber(ARGV[5])
  if lane.ord == 1 and ordered == 0 then lane.hold = 0 end
  lane.conc = tonumber(ARGV[3])
  lane.rate = tonumber(ARGV[4])
  lane.ord = ordered
  -- What waits in SQL goes before what is offered from now on, so it is filled from there first.
  if lane.told == 0 and ordered == 1 then
    generation = spill(lane)
  end
  lane.told = 1
  -- Whoever lost some of a lane's keys loses no count for good, and a lane that is told again is kept for as long again.
  lane.ready, lane.delayed = call('ZCARD', base .. 'r:' .. lane.name), call('ZCARD', base .. 'd:' .. lane.name)
  lane.flying = call('HLEN', base .. 'f:' .. lane.name)
  lane.packed = nil
end
lane.pause = tonumber(ARGV[2])
finish()
return generation
