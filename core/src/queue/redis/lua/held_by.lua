-- ARGV: worker, most leases. Returns job .. lane of each.
return call('SRANDMEMBER', base .. 'w:' .. ARGV[1], tonumber(ARGV[2]))
