-- ARGV: worker, what it says of itself
call('HSET', base .. 'about', ARGV[1], ARGV[2])
return 1
