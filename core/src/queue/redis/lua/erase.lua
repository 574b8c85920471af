-- ARGV: a cursor, '0' at first. Removes some of the shard's keys. Returns the next cursor, '0' at the end.
local found = call('SCAN', ARGV[1], 'MATCH', string.gsub(base, '[%[%]*?\\]', '\\%0') .. '*', 'COUNT', 1000)
if #found[2] > 0 then call('UNLINK', unpack(found[2])) end
return found[1]
