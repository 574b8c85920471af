-- ARGV: lane. Returns the generation.
call('SET', base .. 'gate', '')
local generation = spill(open(ARGV[1]))
finish()
return generation
