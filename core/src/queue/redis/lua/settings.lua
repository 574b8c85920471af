-- Returns the generation of a lane that begins as spilled, else 0.
-- ARGV: lane, paused (1, 0 or empty to leave it), and where the rest is set too: concurrency, rate (0: none), ordered
call('SET', base .. 'gate', '')
local lane, generation = open(ARGV[1]), '0'
if ARGV[3] then
  local ordered = tonumber(ARGV[5])
  if lane.ord == 1 and ordered == 0 then set(lane, 'hold', 0) end
  set(lane, 'conc', tonumber(ARGV[3]))
  set(lane, 'rate', tonumber(ARGV[4]))
  set(lane, 'ord', ordered)
  -- What waits in SQL goes before what is offered from now on, so it is filled from there first.
  if lane.told == 0 and ordered == 1 then
    generation = spill(lane)
  end
  set(lane, 'told', 1)
end
set(lane, 'pause', tonumber(ARGV[2]))
finish()
return generation
